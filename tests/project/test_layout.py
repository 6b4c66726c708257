"""Modules stay small, say what they are for, and export what exists; the tree speaks of the project alone."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from tests.project.tree import ROOT, files, modules, shown

MODULES = modules()
LIMIT = 400
DRAWERS = {"utils", "util", "helpers", "helper", "managers", "manager", "mixins", "mixin", "common", "misc"}
FOREIGN = {
    r"\b(?!THREAT_MODEL\b|SELECT\b)[A-Z]{6,}(\.md)? \d+\b": "a numbered page that is not in this tree",
    r"(?<![\w.])/(home|root|work|Users)/\w": "a path of one machine",
    r"\bissue #?\d+\b": "an entry of a tracker",
}


def name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_module_is_small_and_says_its_job(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LIMIT, f"{shown(path)} has more than {LIMIT} lines: it has more than one job"
    assert path.stem not in DRAWERS, f"{shown(path)}: a drawer, not a job"
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, f"{shown(path)} does not say what it is for"


def test_test_and_example_modules_say_their_job() -> None:
    silent = [
        shown(path)
        for folder in ("tests", "examples", "benchmarks")
        for path in files(".py", under=folder)
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=shown)
def test_exported_names_exist_and_are_sorted(path: Path) -> None:
    if path.stem == "__main__" or "migrations" in path.parts:
        pytest.skip("runs when it is loaded")
    module = importlib.import_module(name(path))
    exported = getattr(module, "__all__", None)
    if exported is not None:
        assert [each for each in exported if not hasattr(module, each)] == []
        assert len(set(exported)) == len(exported)


def test_every_lint_exception_carries_its_reason() -> None:
    bare = re.compile(r"#\s*(noqa(:\s*[A-Z0-9, ]+)?|type:\s*ignore(\[[^\]]*\])?)\s*$", re.MULTILINE)
    found = [
        f"{shown(path)}: {match.group().strip()}"
        for folder in ("jit_auth", "tests", "examples", "benchmarks")
        for path in files(".py", under=folder)
        for match in bare.finditer(path.read_text())
    ]
    assert found == []


def test_nothing_is_left_to_do() -> None:
    words = re.compile(rf"\b({'|'.join(('TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'))})\b")
    assert [shown(path) for path in files(".py", ".md", ".toml") if words.search(path.read_text())] == []


def test_the_tree_speaks_of_the_project_alone() -> None:
    found = []
    for path in files():
        if path == Path(__file__) or path.name == "LICENSE":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found += [
                f"{shown(path)}:{number}: {why}: {line.strip()[:100]}"
                for pattern, why in FOREIGN.items()
                if re.search(pattern, line)
            ]
    assert found == [], "\n" + "\n".join(found)


def test_no_emoji() -> None:
    emoji = re.compile(r"[\U0001F300-\U0001FAFF]")
    spoken = (*modules(), *files(".md", ".toml"), *files(under="examples"))
    assert [shown(path) for path in spoken if emoji.search(path.read_text())] == []
