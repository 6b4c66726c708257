"""Fixtures of the conformance suite: a world is one database with its vault and clock, on either engine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jit_auth.storage import postgres, tables
from jit_auth.storage.remote import prepare_postgres
from jit_auth.vault import Vault
from tests.conformance.world import World
from tests.postgres import Server

KEPT = {"epoch", "secret", "alembic_version"}

KEY = os.urandom(32)
"""The vault's key in every PostgreSQL world of this session: they are one database, emptied for each test."""

EMPTY = "; ".join(
    (
        *(f'TRUNCATE "{table.name}"' for table in tables.metadata.sorted_tables if table.name not in KEPT),
        "UPDATE epoch SET n = 1, bundle = ''",
    )
)


@pytest.fixture(scope="session")
def postgres_made(postgres_server: Server) -> str:
    """A database that has the schema: emptying it is much faster than making one."""
    url = postgres_server.database()
    with ThreadPoolExecutor(1) as thread:
        made = prepare_postgres(url, Vault([("k1", KEY)]), upgrade=False)
        thread.submit(asyncio.run, made).result()
    return url


@pytest.fixture
def postgres_emptied(postgres_server: Server, postgres_made: str) -> str:
    """A database with the schema and no rows, for one test."""
    postgres_server.do(EMPTY, postgres_made)
    return postgres_made


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    """A database without rows on each engine."""
    # Whatever can be one statement is one, however slow the machine; what cannot goes step by step.
    monkeypatch.setattr(postgres, "WARM", 60.0)
    if request.param == "sqlite":
        made = World("sqlite:///store.db", tmp_path)
    else:
        made = World(request.getfixturevalue("postgres_emptied"), tmp_path, KEY)
    yield made
    await made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty_world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A database without tables on each engine."""
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
async def postgres_world(postgres_emptied: str, tmp_path: Path) -> AsyncIterator[World]:
    """A PostgreSQL database without rows."""
    made = World(postgres_emptied, tmp_path, KEY)
    yield made
    await made.close()


@pytest.fixture
async def empty_postgres_world(postgres_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A PostgreSQL database without tables."""
    made = World(postgres_url, tmp_path)
    yield made
    await made.close()
