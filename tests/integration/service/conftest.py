"""The service of these tests, on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.service.kit import Kit, kit


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path) as found, found.running():
        yield found


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything but the service: tests start and restart it."""
    async with kit(tmp_path) as found:
        yield found
