"""The service of these attacks: the kit's, on SQLite; `meddler` stands between it and its database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import Kit, kit


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path) as found, found.running():
        yield found


@pytest.fixture
async def ready(world: Kit) -> Kit:
    """Alice has connected her account for mailbot; counting begins now."""
    await world.connected()
    world.mail.counts.clear()
    world.provider.counts.clear()
    return world


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything but the service: tests start and restart it."""
    async with kit(tmp_path) as found:
        yield found


@pytest.fixture
def meddler(world: Kit) -> Meddler:
    assert world.service is not None
    return Meddler(world.service.store)
