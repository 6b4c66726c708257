"""The bill of materials is CycloneDX and complete; the audit is honest about its gaps; no check is waved through."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.attack.supply import ROOT, needed, runtime, sbom, told

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def plain(requirement: str) -> str:
    """A requirement's name as indexes write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ;]", requirement)[0]).lower()


def test_the_bill_of_materials_is_valid_and_names_what_is_needed(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    out = tmp_path / "sbom.json"
    assert sbom(out) == 0
    bom = json.loads(out.read_text())
    few = bom | {"components": bom["components"][:1]}  # the validator takes a third of a second for each
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(few)) is None
    names = {plain(each["name"]) for each in bom["components"]}
    assert {plain(each) for each in PROJECT["project"]["dependencies"]} <= names
    assert not names & {"pytest", "mypy", "ruff", "playwright", "pip-audit", "cyclonedx-bom", "django-oauth-toolkit"}
    assert all(each["version"] and each["purl"] for each in bom["components"])


def test_what_is_not_needed_is_left_out() -> None:
    bom = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": [{"bom-ref": "a==1", "name": "A"}, {"bom-ref": "b==1", "name": "b"}],
        "dependencies": [{"ref": "root", "dependsOn": ["a==1", "b==1"]}, {"ref": "a==1"}, {"ref": "b==1"}],
    }
    kept = needed(bom, {"a"})
    assert [each["bom-ref"] for each in kept["components"]] == ["a==1"]
    assert kept["dependencies"] == [{"ref": "root", "dependsOn": ["a==1"]}, {"ref": "a==1", "dependsOn": []}]
    assert "pytest" not in runtime(PROJECT["project"]["dependencies"])
    assert "typing-extensions" in runtime(["sqlalchemy"])


def test_an_audit_says_what_it_could_not_look_up(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"name": "a", "version": "1", "vulns": []}
    flawed = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}
    missed = {"name": "c", "skip_reason": "not found"}
    assert told([known, flawed, missed]) == 1
    out = capsys.readouterr().out
    assert "b 2: PYSEC-1, fixed in: 2.1" in out
    assert "not looked up: c" in out
    assert told([missed]) == 0
    assert "nothing was audited" in capsys.readouterr().out
    assert told([known]) == 0
    assert capsys.readouterr().out == "1 of 1 packages looked up, 0 advisories\n"


def test_no_security_rule_is_off_for_the_product() -> None:
    """ruff's S rules hold all of jit_auth but for two that take settings' names for passwords."""
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert {rule for rule in lint["ignore"] if rule.startswith("S")} == {"S105", "S106"}
    here = {rule for paths, rules in lint["per-file-ignores"].items() if paths.startswith("jit_auth") for rule in rules}
    assert not {rule for rule in here if rule.startswith("S")}
    blanket = re.compile(r"#\s*(ruff|flake8):\s*noqa|#\s*noqa\s*($|[^:])", re.IGNORECASE)
    product = (ROOT / "jit_auth").rglob("*.py")
    assert [path.name for path in product for line in path.read_text().splitlines() if blanket.search(line)] == []
