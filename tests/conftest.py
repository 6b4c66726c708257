"""What all tests share: a PostgreSQL server and a way to start processes, each made when a test first asks for it; the
mark `attack`."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.attack.register import named
from tests.commands import close_commands
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

LONG = ("crash", "browser", "chaos", "examples", "openapi", "acceptance", "operators", "attacks", "signin")
"""Folders whose files take longest: they begin, so that no process is left alone with one of them at the end."""


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    """What starts processes of ours ends with the session."""
    yield
    close_commands()


def pytest_collection_finish() -> None:
    """What the collection has made stays to the end: no garbage collection of a test walks through it again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what THREAT_MODEL.md and docs/security.md name, and all of tests/attack: `-m attack` runs exactly those. The
    files that take longest come first."""
    attacks = named()
    for item in items:
        if item.path.parent.name == "attack" or (isinstance(item, pytest.Function) and item.originalname in attacks):
            item.add_marker(pytest.mark.attack)
    items.sort(key=lambda item: next((at for at, name in enumerate(LONG) if name in item.path.parts), len(LONG)))
