"""Documents say what is true: links lead somewhere, TOML loads, named tests exist, the diagram is the code."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from jit_auth.core.step import ALLOWED
from tests.project.tree import ROOT, files, shown

PAGES = files(".md")
ROW = re.compile(r"^\| (\d+) \| ", re.MULTILINE)


def blocks(path: Path, language: str) -> list[tuple[int, str]]:
    """(line, text) of each fenced block of a language."""
    text = path.read_text()
    pattern = re.compile(rf"^```{language}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(text[: match.start()].count("\n") + 2, match[1]) for match in pattern.finditer(text)]


TOML = [(path, line, text) for path in PAGES for line, text in blocks(path, "toml")]


@pytest.mark.parametrize(("path", "line", "text"), TOML, ids=[f"{shown(path)}:{line}" for path, line, _ in TOML])
def test_toml_blocks_are_toml(path: Path, line: int, text: str) -> None:
    tomllib.loads(text)


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), f"{shown(path)}: {target}"


def pictures(path: Path) -> list[tuple[Path, str]]:
    """(file, what it says in words) of each picture of a page."""
    tags = re.findall(r'<img src="([^"]+)"[^>]*? alt="([^"]*)">', path.read_text())
    return [((path.parent / source).resolve(), words) for source, words in tags]


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_pictures_exist_and_are_told_in_words(path: Path) -> None:
    found = pictures(path)
    assert len(found) == path.read_text().count("<img")
    assert [source for source, _ in found if not source.exists()] == []
    assert [words for _, words in found if len(words) < 40] == []


def test_pictures_are_small_and_each_is_used() -> None:
    kept = sorted((ROOT / "docs" / "images").resolve().glob("*.png"))
    assert [shown(each) for each in kept if each.stat().st_size > 150_000] == []
    assert kept == sorted({source for path in PAGES for source, _ in pictures(path)})


@cache
def known_tests() -> frozenset[str]:
    # (Not by `ast`: in Python 3.11 one parser that is entered while another works fails both.)
    defined = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)
    return frozenset(name for path in files(".py", under="tests") for name in defined.findall(path.read_text()))


def threats() -> list[list[str]]:
    """The rows of THREAT_MODEL.md's tables of attacks as cells: number, attack, rule, tests, state."""
    rows = []
    for line in (ROOT / "THREAT_MODEL.md").read_text().splitlines():
        if ROW.match(line):
            cells = line.replace("\\|", "\0").strip().strip("|").split("|")
            rows.append([cell.strip().replace("\0", "|") for cell in cells])
    return rows


def test_threat_model_has_a_line_for_each_of_the_forty() -> None:
    numbers = [int(row[0]) for row in threats()]
    assert numbers[:40] == list(range(1, 41))
    assert numbers == sorted(set(numbers))


def test_threat_model_names_tests_that_exist() -> None:
    known = known_tests()
    missing, unproven = [], []
    for row in threats():
        assert len(row) == 5, row
        number, _, rule, tests, state = row
        named = re.findall(r"`(test_\w+)`", tests)
        missing += [f"{number}: {name}" for name in named if name not in known]
        if not state.startswith("open") and (not rule or not named or not state.startswith("covered")):
            unproven.append(number)
    assert missing == []
    assert unproven == []


def test_state_diagram_is_what_the_code_allows() -> None:
    drawn: dict[str, set[str]] = {state: set() for state in ALLOWED}
    (_, diagram), *more = blocks(ROOT / "docs" / "state-machine.md", "mermaid")
    assert more == []
    for source, target in re.findall(r"^\s*(\S+) --> (\S+)", diagram, re.MULTILINE):
        if target != "[*]":
            drawn["new" if source == "[*]" else source].add(target)
    assert drawn == {state: {to for to in targets if to != state} for state, targets in ALLOWED.items()}
    (_, short), *_ = blocks(ROOT / "README.md", "mermaid")
    assert set(re.findall(r"^\s*(\w+) --> ", short, re.MULTILINE)) <= set(ALLOWED)


def test_every_design_note_is_listed() -> None:
    folder = ROOT / "docs" / "design"
    index = (folder / "README.md").read_text()
    assert [path.name for path in folder.glob("0*.md") if f"]({path.name})" not in index] == []
