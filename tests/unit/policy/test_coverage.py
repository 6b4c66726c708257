"""Coverage of `policy test`: which rules were seen both matching and not, and what is let off."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from jit_auth.cli.main import main
from jit_auth.config.init import init
from jit_auth.policy.cases import run

from .world import policy, rule

SMALL = '[[test]]\nname = "small"\naction = "pay.refund"\nset = { "params.amount" = 1 }\nexpect.effect = "allow"\n'
BIG = '[[test]]\nname = "big"\naction = "pay.refund"\nset = { "params.amount" = 9 }\nexpect.effect = "deny"\n'
RULES = (
    rule("small", "allow", "pay.refund", when="params.amount < 5")
    + rule("never", "deny", "pay.refund", when="params.amount < 0")
    + rule("tried", "deny", "pay.refund", when="params.amount == 9").replace("effect", 'mode = "shadow"\neffect')
)


def covered(text: str, *let_off: str) -> tuple[float, dict[str, tuple[bool, bool]]]:
    report = run(policy(text), let_off)
    assert not report.failed
    return report.coverage, {one.rule: (one.matched, one.unmatched) for one in report.cover}


def test_a_rule_is_covered_once_it_was_seen_both_ways() -> None:
    assert covered(RULES) == (0.0, {"small": (False, False), "never": (False, False), "tried": (False, False)})
    percent, seen = covered(RULES + SMALL)
    assert (percent, seen["small"], seen["tried"]) == (0.0, (True, False), (False, True))
    percent, seen = covered(RULES + SMALL + BIG)
    assert seen == {"small": (True, True), "never": (False, True), "tried": (True, True)}
    assert percent == pytest.approx(200 / 3)


def test_what_is_let_off_counts_for_nothing() -> None:
    assert covered(RULES + SMALL + BIG, "never")[0] == 100.0
    assert covered(RULES, "small", "never", "tried")[0] == 100.0
    assert covered(RULES + SMALL + BIG, "small")[0] == 50.0


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as `init` makes it, with a rule that no test sees."""
    init(tmp_path / "made")
    path = tmp_path / "made" / "policies.toml"
    path.write_text(
        path.read_text() + '[[rule]]\nid = "night"\nmatch = ["*"]\nwhen = "now.hour < 6"\neffect = "deny"\n'
    )
    monkeypatch.chdir(tmp_path / "made")
    monkeypatch.delenv("JIT_AUTH_CONFIG", raising=False)
    return path


def test_the_default_is_all_rules_and_one_is_let_off_by_name(tried: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = next(n for n, one in enumerate(tried.read_text().splitlines()) if "night" in one)
    assert main(["policy", "test"]) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"policies.toml:{line}: rule night was never seen matching",
        "3 passed, 0 failed, 75 % of 4 rules covered",
        "coverage is below 100 %",
    ]
    assert main(["policy", "test", "policies.toml", "--allow-uncovered", "night"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 100 % of 3 rules covered, 1 left out"
    assert main(["policy", "test", "--allow-uncovered", "night", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["coverage"]
    assert (found["percent"], found["min"], found["rules"][3]["let_off"]) == (100.0, 100.0, True)


@pytest.mark.parametrize(
    "words", [["--allow-uncovered"], ["policies.toml", "--allow-uncovered"], ["--allow-uncovered", "policies.toml"]]
)
def test_without_a_name_every_rule_is_let_off(
    words: list[str], tried: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "test", *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "3 passed, 0 failed, 100 % of 0 rules covered, 4 left out"


def test_a_failed_test_is_no_matter_of_coverage(tried: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = '[[test]]\nname = "wrong"\naction = "gmail.send_message"\nexpect = { rules = ["night"] }\n'
    tried.write_text(f"{tried.read_text()}\n{wrong}")
    assert main(["policy", "test", "--allow-uncovered"]) == 1
    assert "1 failed" in capsys.readouterr().out


def test_an_unknown_rule_cannot_be_let_off(tried: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test", "--allow-uncovered", "nigth"]) == 1
    assert capsys.readouterr().out == "--allow-uncovered:0: no rule 'nigth' (did you mean 'night'?)\n"


def test_what_init_writes_is_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")
    assert main(["policy", "test"]) == 0


def test_the_demos_rules_are_covered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    examples = Path(__file__).parents[3] / "examples"
    assert tomllib.loads((examples / "demo" / "policies.toml").read_text())["test"]
    init(tmp_path / "made")
    config = tmp_path / "made" / "config.toml"
    paths = f'paths = ["{examples / "mailhub" / "connectors"}"]\nallow_private_hosts = ["127.0.0.1"]'
    text = config.read_text().replace('paths = ["connectors"]', paths)
    config.write_text(text + '[providers.mailhub]\nclient_id = "x"\nclient_secret = "y"\n[people."bo@example.com"]\n')
    assert main(["policy", "test", str(examples / "demo" / "policies.toml"), "-c", str(config)]) == 0
