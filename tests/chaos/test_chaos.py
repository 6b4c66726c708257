"""Short versions of the scenarios; the long ones are `make chaos`. What a machine cannot do is skipped by name.

A clock apart from PostgreSQL's is played in the long run alone.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jit_auth.errors import StorageError
from jit_auth.model import Applied, Insert, Stale
from jit_auth.storage import room
from jit_auth.storage.store import Store
from tests.chaos import disks
from tests.chaos.clocks import jumps
from tests.chaos.deaths import database_killed, killed, told_to_stop
from tests.chaos.guards import guarded
from tests.chaos.server import Mortal
from tests.chaos.wires import SHORT, to_database, to_mail_server, to_provider
from tests.conformance.world import World, execution, together, unit, written


@pytest.fixture(scope="module")
def mortal() -> Iterator[Mortal]:
    server = Mortal(Path(tempfile.mkdtemp(prefix="pg-")))
    yield server
    server.close()


async def test_kill_9_at_any_moment(tmp_path: Path) -> None:
    found = await killed(tmp_path / "w", kills=2)
    assert found.wrong == []
    assert found.calls > 5, found


async def test_kill_9_of_two_replicas(tmp_path: Path, mortal: Mortal) -> None:
    found = await killed(tmp_path / "w", mortal.database(), kills=2, replicas=2)
    assert found.wrong == []
    assert found.calls > 5, found


async def test_kill_9_of_agents_and_service_while_guarded_functions_run(tmp_path: Path) -> None:
    found = await guarded(tmp_path / "w", kills=10)
    assert found.wrong == []
    assert found.notes["runs"] > 5, found
    assert min(found.notes["kills of agents"], found.notes["kills of the service"]) > 0, found


async def test_sigterm_drains(tmp_path: Path) -> None:
    assert (await told_to_stop(tmp_path / "w", times=1)).wrong == []


async def test_the_database_server_is_killed_and_comes_back(tmp_path: Path, mortal: Mortal) -> None:
    assert (await database_killed(tmp_path / "w", mortal, times=1)).wrong == []


async def test_a_full_disk_by_a_limit(tmp_path: Path) -> None:
    assert (await disks.full(tmp_path / "w", disks.limited, seconds=0.2)).wrong == []


async def test_a_full_disk(tmp_path: Path) -> None:
    try:
        with disks.small(tmp_path / "disk"):
            assert (await disks.full(tmp_path / "disk", disks.filled, seconds=0.2)).wrong == []
    except disks.Unable as error:
        pytest.skip(str(error))


async def test_a_disk_that_sqlites_own_log_has_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little room is enough: the log is written into the file then, instead of growing until it is full again."""
    monkeypatch.setattr(room, "GIVE_WAY", 0.0)
    try:
        with disks.small(tmp_path / "disk", 4):
            world = World("sqlite:///store.db", tmp_path / "disk")
            store = await world.open()
            with pytest.raises(StorageError):
                await _write(store, 1000)
            disks.resize(tmp_path / "disk", 5)
            await _write(store, 250)
            await world.close()
    except disks.Unable as error:
        pytest.skip(str(error))


class Ticks:
    """A clock that goes on by `step` seconds whenever somebody looks at it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.step = 0.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


async def test_what_was_written_when_room_came_back_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room again, of which the journal knows nothing yet: a batch of which a part is in, and a part is refused
    for its own fault, is not tried again when it looks."""
    ticks = Ticks()
    monkeypatch.setattr(room, "time", ticks)
    try:
        with disks.small(tmp_path / "disk", 4):
            world = World("sqlite:///store.db", tmp_path / "disk")
            store = await world.open()
            first = execution(store)
            await written(store, Insert(first))
            reading = sqlite3.connect(world.path, isolation_level=None)
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM execution").fetchone()  # while it lasts, the log cannot begin anew
            with pytest.raises(StorageError):
                await _write(store, 1000)
            reading.execute("ROLLBACK")
            reading.close()
            before = (await world.sql("SELECT count(*) FROM execution"))[0][0]
            disks.resize(tmp_path / "disk", 8)
            ticks.step = room.GIVE_WAY * 0.6  # before the batch it is too early to look, after it no more
            fresh = [execution(store) for _ in range(4)]
            units = [unit(Insert(row)) for row in (*fresh[:2], first, *fresh[2:])]
            answers = await together(*(store.apply(each) for each in units))
            assert [type(answer) for answer in answers] == [Applied, Applied, Stale, Applied, Applied]
            assert (await world.sql("SELECT count(*) FROM execution"))[0][0] == before + 4
            await _write(store, 250)
            assert (await store.audit.verify()).breaks == ()
            await world.close()
    except disks.Unable as error:
        pytest.skip(str(error))


async def _write(store: Store, times: int) -> None:
    for _ in range(times):
        await written(store, Insert(execution(store)))


async def test_a_disk_that_turns_read_only(tmp_path: Path) -> None:
    try:
        assert (await disks.read_only(tmp_path / "disk", drains=False)).wrong == []
    except disks.Unable as error:
        pytest.skip(str(error))


async def test_the_clock_jumps(tmp_path: Path) -> None:
    try:
        assert (await jumps(tmp_path / "w", times=1)).wrong == []
    except disks.Unable as error:
        pytest.skip(str(error))


async def test_the_way_to_the_database(tmp_path: Path, mortal: Mortal) -> None:
    assert (await to_database(tmp_path / "w", mortal, SHORT)).wrong == []


async def test_the_way_to_the_provider(tmp_path: Path) -> None:
    assert (await to_provider(tmp_path / "w", SHORT, short_tokens=True)).wrong == []


async def test_the_way_to_the_mail_server(tmp_path: Path) -> None:
    assert (await to_mail_server(tmp_path / "w", SHORT, asks=1)).wrong == []
