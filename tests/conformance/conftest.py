"""Fixtures of the conformance suite: a world is one database with its vault and clock, on either engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conformance.world import World
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """An empty database on each engine."""
    url = "sqlite:///store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    made = World(url, tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def sqlite_world(tmp_path: Path) -> AsyncIterator[World]:
    """An empty SQLite file."""
    made = World("sqlite:///store.db", tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def postgres_world(postgres_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """An empty PostgreSQL database."""
    made = World(postgres_url, tmp_path)
    yield made
    await made.close()
