"""The service of these tests: on SQLite, or on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.service.kit import Kit, kit


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything, the service running on SQLite."""
    async with kit(tmp_path) as found, found.running():
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything, the service running, once on each database."""
    storage = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, storage=storage) as found, found.running():
        yield found


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything but the service: tests start and restart it."""
    async with kit(tmp_path) as found:
        yield found


@pytest.fixture
async def replicas(tmp_path: Path, postgres_url: str) -> AsyncIterator[tuple[Kit, Kit]]:
    """Two services on one PostgreSQL database, with the same files but for the address; one world around them."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(kit(tmp_path / "one", storage=postgres_url))
        two = one.twin(tmp_path / "two")
        await stack.enter_async_context(one.running())
        await stack.enter_async_context(two.running())
        yield one, two
