"""`jit-auth policy check` and `policy test`: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jit_auth.cli.main import main

CONNECTOR = """\
id = "shop"
name = "Shop"
docs = "https://shop.example/docs"
base_url = "https://api.shop.example/v1"
[provider]
kind = "none"
[actions.pay]
title = "Pay"
method = "POST"
path = "/pay"
risk = "high"
effect = "create"
params.amount = { type = "number", required = true }
[actions.list]
title = "List"
method = "GET"
path = "/list"
risk = "low"
effect = "read"
"""
CONFIG = """\
[server]
public_url = "http://127.0.0.1:8080"
listen = "127.0.0.1:8080"
environment = "dev"
[storage]
url = "sqlite:///jit-auth.db"
[vault]
keys = [{ id = "k", env = "NOT_SET_ANYWHERE" }]
[users]
verify = "none"
[people."ana@example.com"]
groups = ["finance"]
aliases = ["ana.rossi@example.com"]
[connectors]
paths = ["connectors"]
[policies]
paths = ["policies.toml"]
"""
POLICIES = """\
format = 1
[[rule]]
id = "big"
match = ["shop.pay"]
when = "params.amount > 10.0"
unless = "'finance' in user.groups"
effect = "require_approval"
approval = { from = ["user:ana.rossi@example.com"] }
[[rule]]
id = "open"
match = ["shop.*"]
effect = "allow"
[[test]]
name = "a big one"
action = "shop.pay"
set = { "params.amount" = 11 }
expect = { effect = "require_approval", need = { "user:ana@example.com" = 1 } }
"""
SMALL = """\
[[test]]
name = "a small one"
action = "shop.pay"
set = { "params.amount" = 10 }
expect = { effect = "allow" }
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with configuration, one connector and policies; the working directory."""
    (tmp_path / "connectors" / "shop").mkdir(parents=True)
    (tmp_path / "connectors" / "shop" / "connector.toml").write_text(CONNECTOR)
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "policies.toml").write_text(POLICIES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JIT_AUTH_CONFIG", raising=False)
    return tmp_path


def test_check(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check", "policies.toml"]) == 0
    assert capsys.readouterr().out == "ok: 2 rules, 1 tests\n"
    assert main(["policy", "check", "policies.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["rules"], found["tests"], found["faults"]) == (True, 2, 1, [])
    assert found["policy"].startswith("sha256:")


def test_check_names_each_fault(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "bad.toml").write_text(POLICIES.replace("params.amount > 10.0", "params.amout > 10.0"))
    assert main(["policy", "check", "bad.toml"]) == 1
    assert capsys.readouterr().out == "bad.toml:5:16: no field 'amout' (did you mean 'amount'?)\n"
    assert main(["policy", "check", "--json", "bad.toml"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "faults": [
            {"file": "bad.toml", "line": 5, "column": 16, "message": "no field 'amout' (did you mean 'amount'?)"}
        ],
    }


def test_check_of_what_cannot_be_read(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "latin.toml").write_bytes(b"# \xe9\n")
    assert main(["policy", "check", "nix.toml", "latin.toml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "nix.toml:0: cannot be read: No such file or directory",
        "latin.toml:0: is not UTF-8",
    ]


def test_test(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test"]) == 1
    uncovered = [
        "ok    a big one",
        "policies.toml:2: rule big was never seen not matching",
        "policies.toml:9: rule open was never seen not matching",
        "1 passed, 0 failed, 0 % of 2 rules covered",
    ]
    assert capsys.readouterr().out.splitlines() == [*uncovered, "coverage is below 100 %"]
    assert main(["policy", "test", "--min-coverage", "0"]) == 0
    assert capsys.readouterr().out.splitlines() == uncovered


def test_coverage_decides_the_exit_code(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "more.toml").write_text(SMALL)
    both = ["policies.toml", "more.toml"]
    assert main(["policy", "test", *both, "--min-coverage", "50"]) == 0
    assert main(["policy", "test", *both, "--min-coverage", "51"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "coverage is below 51 %"
    assert main(["policy", "test", *both, "--min-coverage", "51", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["passed"], found["failed"]) == (False, 2, 0)
    assert found["coverage"]["percent"] == 50.0
    assert found["coverage"]["rules"][0] == {
        "id": "big", "file": "policies.toml", "line": 2, "matched": True, "unmatched": True, "covered": True,
        "let_off": False,
    }  # fmt: skip


def test_a_failing_test_says_what_came_instead(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "policies.toml").write_text(POLICIES.replace("= 11 }", "= 9 }"))
    assert main(["policy", "test"]) == 1
    assert capsys.readouterr().out.splitlines()[:3] == [
        "FAIL  policies.toml:13: a big one",
        "      effect: expected require_approval, got allow",
        "      need: expected {'user:ana@example.com': 1}, got {}",
    ]
    assert main(["policy", "test", "--json"]) == 1
    (ran,) = json.loads(capsys.readouterr().out)["tests"]
    assert ran == {
        "name": "a big one", "file": "policies.toml", "line": 13, "ok": False,
        "wrong": ["effect: expected require_approval, got allow", "need: expected {'user:ana@example.com': 1}, got {}"],
        "decision": {"effect": "allow", "rules": ["open"], "need": {}, "errors": []},
    }  # fmt: skip


def test_a_faulty_file_is_not_tested(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "policies.toml").write_text("[[meter]]\n")
    assert main(["policy", "test"]) == 1
    assert capsys.readouterr().out == "policies.toml:1: unknown key 'meter'\n"


def test_a_configuration_is_named_or_found(house: Path, capsys: pytest.CaptureFixture[str],
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (house / "elsewhere").mkdir()
    monkeypatch.chdir(house / "elsewhere")
    assert main(["policy", "check", "../policies.toml", "-c", "../config.toml"]) == 0
    monkeypatch.setenv("JIT_AUTH_CONFIG", str(house / "config.toml"))
    assert main(["policy", "test", "--min-coverage", "0"]) == 0
    monkeypatch.delenv("JIT_AUTH_CONFIG")
    capsys.readouterr()
    assert main(["policy", "test"]) == 1  # there is none
    assert capsys.readouterr().out.startswith(
        "config.toml:0: cannot be read: No such file or directory (`jit-auth init`"
    )
    assert main(["policy", "check", "../policies.toml"]) == 1  # only the shipped connectors, then
    assert "fits no known action" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [["policy"], ["policy", "check"], ["policy", "explain"], ["policy", "check", "--strict"],
     ["policy", "test", "--min-coverage", "101"], ["policy", "test", "--min-coverage", "x"]],
)  # fmt: skip
def test_usage(words: list[str], house: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
