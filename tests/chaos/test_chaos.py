"""Short versions of all scenarios; the long ones are `make chaos`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.deaths import database_killed, killed, told_to_stop
from tests.chaos.server import Mortal
from tests.chaos.stage import SQLITE


@pytest.fixture(scope="module")
def mortal() -> Iterator[Mortal]:
    server = Mortal(Path(tempfile.mkdtemp(prefix="pg-")))
    yield server
    server.close()


async def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    found = await killed(tmp_path / "w", SQLITE, kills=4)
    assert found.wrong == []
    assert found.calls > 10, found


async def test_kill_9_of_two_replicas(tmp_path: Path, mortal: Mortal) -> None:
    found = await killed(tmp_path / "w", mortal.database(), kills=4, replicas=2)
    assert found.wrong == []
    assert found.calls > 10, found


async def test_sigterm_drains(tmp_path: Path) -> None:
    found = await told_to_stop(tmp_path / "w", times=1)
    assert found.wrong == []


async def test_the_database_server_is_killed_and_comes_back(tmp_path: Path, mortal: Mortal) -> None:
    found = await database_killed(tmp_path / "w", mortal, times=1)
    assert found.wrong == []
