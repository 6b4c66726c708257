"""The database goes away: nothing is lost without a word, and the store goes on when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jit_auth.errors import StorageError
from jit_auth.model import Insert
from jit_auth.storage import postgres, sqlite
from tests.conformance.world import World, at, execution, together, unit, written


class Wire:
    """A door to the server that can be shut, or made to break at a COMMIT."""

    def __init__(self, real: str, folder: Path) -> None:
        self._real = real
        self.folder = folder
        self.shut = False
        self.commit: str | None = None
        """None: let it pass; "before": break instead of passing it on; "after": pass it on, then break."""
        self.mark = b"COMMIT"
        """What a COMMIT is known by; b"": any message of the client's."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> asyncio.Server:
        """Listen where the driver looks."""
        return await asyncio.start_unix_server(self._serve, self.folder / ".s.PGSQL.5432")

    def break_all(self) -> None:
        """Cut every connection now."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.shut:
            writer.transport.abort()
            return
        to_server, from_server = None, None
        from_server, to_server = await asyncio.open_unix_connection(self._real)
        self._writers |= {writer, to_server}
        back = asyncio.create_task(self._pass(from_server, writer))
        try:
            while data := await reader.read(65_536):
                if self.commit is not None and self.mark in data:
                    if self.commit == "after":
                        await self._end(back)
                        to_server.write(data)
                        await from_server.read(100)  # the server has answered
                    break
                to_server.write(data)
                await to_server.drain()
        except OSError:
            pass
        finally:
            await self._end(back)
            for each in (writer, to_server):
                self._writers.discard(each)
                each.transport.abort()

    async def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.transport.abort()


@pytest.fixture
async def wired(postgres_world: World) -> AsyncIterator[tuple[World, Wire]]:
    """A world whose way to the server is a wire."""
    world = postgres_world
    prefix, _, socket = world.url.partition("?host=")
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        wire = Wire(f"{socket}/.s.PGSQL.5432", Path(folder))
        server = await wire.open()
        world.url = f"{prefix}?host={folder}"
        yield world, wire
        wire.commit, wire.shut = None, False
        await world.close()
        server.close()
        wire.break_all()
        await asyncio.sleep(0)


@pytest.mark.parametrize("whole", [False, True])
async def test_a_commit_that_nobody_heard_of_is_unknown(
    wired: tuple[World, Wire], whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, wire = wired
    if whole:
        wire.mark = b""  # the batch is one statement: whatever is sent is it
        monkeypatch.setattr(postgres, "WARM", 60.0)
    else:
        monkeypatch.setattr(postgres, "WARM", 0.0)
    store = await world.open()
    for _ in range(3):
        await written(store, Insert(execution(store)))
    for commit, there in (("before", False), ("after", True)):
        row, other = execution(store), execution(store)
        wire.commit = commit
        answers = await together(*(store.apply(unit(Insert(each))) for each in (row, other)), return_exceptions=True)
        assert all(isinstance(answer, StorageError) and answer.unknown for answer in answers)
        wire.commit = None
        assert (await store.execution(row.id) is not None) is there
        # It goes on at once, under a chain of its own, and the record is whole.
        await written(store, Insert(execution(store)), at=at(store))
        await written(store, Insert(execution(store)), at=at(store))
        verified = await store.audit.verify()
        assert verified.breaks == ()


async def test_an_idle_connection_that_died_costs_nothing(
    wired: tuple[World, Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, wire = wired
    monkeypatch.setattr(postgres, "WARM", 0.0)
    store = await world.open()
    row = execution(store)
    await written(store, Insert(row))
    wire.break_all()
    await written(store, Insert(execution(store)))
    wire.break_all()
    assert await store.execution(row.id) == row


async def test_a_server_that_is_away_is_told_and_comes_back(
    wired: tuple[World, Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, wire = wired
    monkeypatch.setattr(postgres, "WARM", 0.0)
    store = await world.open()
    row = execution(store)
    await written(store, Insert(row))
    wire.shut = True
    wire.break_all()
    with pytest.raises(StorageError) as raised:
        await store.apply(unit(Insert(execution(store))))
    assert not raised.value.unknown
    assert raised.value.code == "storage_unavailable"
    with pytest.raises(StorageError):
        await store.execution(row.id)
    with pytest.raises(StorageError):
        await store.renew()
    with pytest.raises(StorageError):
        await world.open()
    wire.shut = False
    await written(store, Insert(execution(store)))
    assert await store.execution(row.id) == row
    assert (await store.audit.verify()).breaks == ()


async def test_a_killed_backend_is_told_and_comes_back(postgres_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "WARM", 0.0)
    store = await postgres_world.open()
    await written(store, Insert(execution(store)))
    where = " FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    killed = [pid for _, pid in await postgres_world.sql("SELECT pg_terminate_backend(pid), pid" + where)]
    while (await postgres_world.sql("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(?)", killed))[0][0]:
        pass  # a signal is on its way until the backend has gone
    await written(store, Insert(execution(store)))
    assert (await store.audit.verify()).rows == 3


async def test_a_full_disk_is_told_and_nothing_is_half_written(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    await written(store, Insert(execution(store)))
    before = await sqlite_world.sql("SELECT count(*) FROM execution")
    wal = sqlite_world.path.with_name("store.db-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal + 4_096, hard))
    try:
        rows = [execution(store, params={"text": "x" * 20_000}) for _ in range(5)]
        answers = await together(*(store.apply(unit(Insert(row))) for row in rows), return_exceptions=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [answer.unknown for answer in answers] == [False] * 5, answers
    assert await sqlite_world.sql("SELECT count(*) FROM execution") == before
    await written(store, Insert(rows[0]))
    assert (await store.audit.verify()).breaks == ()


async def test_a_locked_file_is_waited_for_and_then_told(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await sqlite_world.open()
    await written(store, Insert(execution(store)))
    other = sqlite3.connect(sqlite_world.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.apply(unit(Insert(execution(store)))))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    other.execute("COMMIT")
    await waiting
    monkeypatch.setattr(sqlite, "BUSY", 50)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked"):
        await store.apply(unit(Insert(execution(store))))
    other.execute("COMMIT")
    other.close()
    await written(store, Insert(execution(store)))
