"""Commands as people run them: what they print, and their exit codes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jit_auth import __version__
from jit_auth.cli.main import COMMANDS, main, parser
from tests.ports import free_port
from tests.unit.catalog.kit import ACTION, HEAD, PROVIDER, write

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JIT_AUTH_CONFIG", raising=False)


@pytest.fixture
def made(tmp_path: Path, capsys: Captured) -> Path:
    assert main(["init", "it"]) == 0
    capsys.readouterr()
    return tmp_path / "it"


def test_init_writes_what_check_accepts(tmp_path: Path, capsys: Captured) -> None:
    old = os.umask(0o022)
    try:
        assert main(["init", "deep/er"]) == 0
    finally:
        os.umask(old)
    folder = tmp_path / "deep" / "er"
    out = capsys.readouterr().out
    (token,) = re.findall(r"jat_agt_[0-9a-f]{64}", out)
    text = (folder / "config.toml").read_text()
    assert hashlib.sha256(token.encode()).hexdigest() in text
    for path in folder.iterdir():
        assert token not in (path.read_text() if path.is_file() else "")
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert main(["check", "-c", str(folder / "config.toml")]) == 0
    assert capsys.readouterr() == ("ok\n", "")
    assert not (folder / "jit-auth.db").exists()


def test_init_never_overwrites(made: Path, capsys: Captured) -> None:
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    assert main(["init", "it"]) == 1
    assert "exists already; nothing was written" in capsys.readouterr().err
    for name in before:
        if name != "vault.key":
            (made / name).unlink()
    assert main(["init", "it"]) == 1
    assert {path.name for path in made.iterdir()} == {"vault.key", "connectors"}
    assert (made / "vault.key").read_bytes() == before["vault.key"]


def test_init_follows_no_link(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "vault.key").symlink_to(tmp_path / "elsewhere")
    assert main(["init", "it"]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()


def test_two_inits_share_nothing(capsys: Captured) -> None:
    assert main(["init", "one", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["init", "two", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["token"] != second["token"]
    for name in ("vault.key", "admin.token"):
        assert Path("one", name).read_text() != Path("two", name).read_text()


def test_the_policies_of_init_pass_their_tests(made: Path, capsys: Captured) -> None:
    assert main(["policy", "test", "-c", str(made / "config.toml")]) == 0
    assert "3 passed" in capsys.readouterr().out


def test_the_result_of_init_serves(made: Path) -> None:
    config = made / "config.toml"
    config.write_text(config.read_text().replace(":8080", f":{free_port()}"))
    with subprocess.Popen(
        [sys.executable, "-m", "jit_auth", "serve", "-c", str(config)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if "listens on" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(30) == 0, told
    for path in made.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert main(["check", "-c", str(config)]) == 0


def test_check_names_every_fault(made: Path, capsys: Captured) -> None:
    config = made / "config.toml"
    config.write_text(config.read_text().replace("[users]", "[users]\nverfiy = 'x'") + "[limits]\nx = 1\n")
    assert main(["check", "-c", str(config)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 2
    assert all(re.match(r"it/config\.toml:\d+: unknown key", line) for line in out)
    assert main(["check", "-c", str(config), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    assert [set(fault) for fault in told["faults"]] == [{"file", "line", "message"}] * 2


def test_check_loads_connectors_policies_and_database(made: Path, capsys: Captured) -> None:
    write(made / "connectors", HEAD + PROVIDER + ACTION.replace("high", "hihg"))
    config = ["-c", str(made / "config.toml")]
    assert main(["check", *config]) == 1
    assert "it/connectors/mailhub/connector.toml:15: actions.send.risk" in capsys.readouterr().out
    write(made / "connectors", HEAD + PROVIDER + ACTION)
    policies = made / "policies.toml"
    text = policies.read_text()
    policies.write_text(text.replace("action.effect == 'read'", "action.efect == 'read'"))
    assert main(["check", *config]) == 1
    assert "it/policies.toml:" in capsys.readouterr().out
    policies.write_text(text)
    (made / "jit-auth.db").write_bytes(b"this is no database" * 100)
    (made / "jit-auth.db").chmod(0o600)
    assert main(["check", *config]) == 1
    assert re.match(r"it/config\.toml:\d+: storage\.url: ", capsys.readouterr().out)


def test_check_warns_of_what_is_probably_not_meant(made: Path, capsys: Captured) -> None:
    config = made / "config.toml"
    text = (
        config.read_text()
        .replace('"github.*"', '"githbu.*"')
        .replace('users = ["me@', 'trusts_users = false\nusers = ["*", "me@')
    )
    config.write_text(text)
    write(made / "connectors", HEAD + PROVIDER + ACTION + "params.a = { type = 'object' }\n")
    assert main(["check", "-c", str(config)]) == 0
    out, err = capsys.readouterr()
    assert out == "ok\n"
    assert "'githbu.*' of agent my-agent fits no known action" in err
    assert "may act for anyone" in err
    assert "holds a free-form object" in err


def test_check_refuses_what_is_not_loopback(made: Path, capsys: Captured) -> None:
    config = made / "config.toml"
    config.write_text(config.read_text().replace('listen = "127.0.0.1', 'listen = "0.0.0.0'))
    for command in ("check", "serve"):
        assert main([command, "-c", str(config)]) == 1
        out, err = capsys.readouterr()
        assert "it/config.toml:4: server.public_url: https is required" in out + err
        assert re.search(r'it/config\.toml:\d+: verify = "none" is for loopback', out + err)


def test_the_configuration_is_found(made: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert main(["check"]) == 1
    assert capsys.readouterr().out.startswith(
        "config.toml:0: cannot be read: No such file or directory (`jit-auth init`"
    )
    monkeypatch.setenv("JIT_AUTH_CONFIG", str(made / "config.toml"))
    assert main(["check"]) == 0
    monkeypatch.delenv("JIT_AUTH_CONFIG")
    monkeypatch.chdir(made)
    assert main(["check"]) == 0


def test_agent_new_prints_a_table_that_loads(made: Path, capsys: Captured) -> None:
    assert main(["agent", "new", "my.bot-1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["secret_sha256"] == hashlib.sha256(told["token"].encode()).hexdigest()
    assert re.fullmatch(r"jat_agt_[0-9a-f]{64}", told["token"])
    config = made / "config.toml"
    config.write_text(config.read_text() + "\n" + told["table"])
    assert main(["check", "-c", str(config)]) == 0
    assert "agent my.bot-1 may do nothing" in capsys.readouterr().err
    assert main(["agent", "new", "mailbot"]) == 0
    out = capsys.readouterr().out
    assert out.count("jat_agt_") == 1
    assert "[agents.mailbot]" in out
    assert main(["agent", "new", "a:b"]) == 1


def test_connectors_list(capsys: Captured) -> None:
    assert main(["connectors", "list"]) == 0
    assert "github  GitHub" in capsys.readouterr().out
    assert main(["connectors", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [item["id"] for item in told["items"]] == ["gcal", "github", "gmail", "slack"]


def test_connectors_show_what_to_register(made: Path, capsys: Captured) -> None:
    config = made / "config.toml"
    config.write_text(
        config.read_text() + "\n[providers.google]\nclient_id = 'c'\nclient_secret = { env = 'NOT_SET' }\n"
    )
    assert main(["connectors", "show", "gmail", "-c", str(config)]) == 0
    out = capsys.readouterr().out
    for text in ("http://127.0.0.1:8080/oauth/callback/google", "gmail.googleapis.com", "gmail.trash_message",
                 "risk high", "https://www.googleapis.com/auth/gmail.modify"):  # fmt: skip
        assert text in out
    assert main(["connectors", "show", "gmail", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["redirect_uri"].endswith("/oauth/callback/google")
    assert "oauth2.googleapis.com" in told["hosts"]
    assert main(["connectors", "show", "gmali"]) == 1
    assert "no connector 'gmali' (did you mean 'gmail'?)" in capsys.readouterr().err


def test_connectors_check(tmp_path: Path, capsys: Captured) -> None:
    path = write(tmp_path / "c", HEAD + PROVIDER + ACTION)
    write(tmp_path / "c", "id = 1\n", "broken")
    for where in (path, path.parent, Path("c/mailhub")):
        assert main(["connectors", "check", str(where)]) == 0
        assert capsys.readouterr().out == "ok: mailhub\n"
    assert main(["connectors", "check", "c"]) == 1
    assert "c/broken/connector.toml:1: id: expected a string or nothing, got an integer" in capsys.readouterr().out
    write(tmp_path / "c", HEAD + PROVIDER + ACTION + "params.a = {}\n")
    assert main(["connectors", "check", "c/mailhub", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [fault["line"] for fault in told["faults"]] == [17]
    (tmp_path / "empty").mkdir()
    assert main(["connectors", "check", "empty"]) == 1
    assert main(["connectors", "check", "nothing"]) == 1


def test_connectors_check_of_the_shipped_ones(capsys: Captured) -> None:
    root = Path(__file__).parents[3] / "connectors"
    assert main(["connectors", "check", str(root)]) == 0
    assert capsys.readouterr().out == "ok: gcal, github, gmail, slack\n"
    assert main(["connectors", "check", str(root / "gmail")]) == 0


@pytest.mark.parametrize("words", [[], ["nothing"], ["agent"], ["agent", "new"], ["check", "--nothing"], ["connectors"],
                                   ["approvals"], ["approvals", "show"], ["approvals", "link", "apr_1"],
                                   ["revoke", "agent"], ["halt"], ["access"], ["keys"],
                                   ["keys", "callback"],
                                   ["connectors", "import", "openapi", "x"]])  # fmt: skip
def test_usage_errors_exit_2(words: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "usage: jit-auth" in capsys.readouterr().err


def test_help_lists_every_command(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert all(f"  {command}" in out for command in COMMANDS)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"jit-auth {__version__}\n"


def test_every_command_takes_a_configuration() -> None:
    for line in ("serve", "init", "check", "agent new x", "connectors list", "connectors show x", "connectors check x",
                 "policy check x", "policy test", "audit verify", "audit export", "audit tail",
                 "approvals list", "approvals show x", "approvals link x --as y", "keys callback x",
                 "db migrate"):  # fmt: skip
        words = line.split()
        args = parser(words).parse_args([*words, "-c", "other.toml"])
        assert args.config == Path("other.toml")
        assert callable(args.run)


def test_a_closed_pipe_is_no_traceback(made: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "jit_auth", "connectors", "show", "github", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        stack.enter_context(process)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
