"""The record: what was altered, removed or moved is found, while the service goes on writing (THREAT_MODEL 12)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jit_auth.model import Audit, Change, Insert, Unit
from jit_auth.storage.store import Store
from tests.conformance.world import AGENT, ALICE, World, audit, execution, written


async def some_rows(store: Store, count: int) -> None:
    """`count` units."""
    for number in range(count):
        row = execution(store)
        record = audit(what=({"do": "step", "n": number},), execution=row.id)
        await store.apply(Unit(None, (Insert(row),), record))


async def breaks(store: Store) -> list[tuple[str, int]]:
    """Where the record is broken."""
    return [(one.writer, one.seq) for one in (await store.audit.verify()).breaks]


async def test_a_whole_record_verifies_over_several_writers(world: World) -> None:
    for _ in range(3):
        store = await world.open()
        await some_rows(store, 4)
        await store.close()
    last = await world.open()
    verified = await last.audit.verify()
    assert (verified.rows, verified.writers, verified.breaks) == (15, 3, ())


async def test_a_reader_writes_no_row(world: World) -> None:
    store = await world.open(serve=False)
    assert (await store.audit.verify()).rows == 0
    assert await store.audit.tail(5) == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [("at", 1), ("actor", "engine:x"), ("person", None), ("agent", "other"), ("execution", None), ("what", "[]"),
     ("mac", bytes(32)), ("key", "k9")],
)  # fmt: skip
async def test_an_altered_column_is_found(world: World, column: str, value: object) -> None:
    store = await world.open()
    await some_rows(store, 4)
    await world.sql(f"UPDATE audit SET {column} = ? WHERE seq = 2", value)  # noqa: S608 - of this list
    found = await breaks(store)
    # A changed MAC also breaks its successor's.
    assert found == ([(store.process, 2), (store.process, 3)] if column == "mac" else [(store.process, 2)])


@pytest.mark.parametrize(
    ("statement", "where"),
    [
        ("DELETE FROM audit WHERE seq = 2", [2]),
        ("DELETE FROM audit WHERE seq IN (2, 3)", [2]),
        ("DELETE FROM audit WHERE seq = 0", [0]),
        ("UPDATE audit SET seq = 20 WHERE seq = 2", [2, 5]),
        ("UPDATE audit SET what = (SELECT a.what FROM audit a WHERE a.seq = 3) WHERE seq = 2", [2]),
    ],
)
async def test_a_removed_or_moved_row_is_found(world: World, statement: str, where: Sequence[int]) -> None:
    store = await world.open()
    await some_rows(store, 4)
    await world.sql(statement)
    assert [seq for _, seq in await breaks(store)] == where


async def test_a_row_that_somebody_inserts_is_found(world: World) -> None:
    store = await world.open()
    await some_rows(store, 2)
    columns = "writer, seq, at, actor, person, agent, execution, told, what, key, mac"
    copied = "at, actor, person, agent, execution, told, what, key, mac FROM audit WHERE seq = 2"
    for place in ("writer, 3", "'prc_forged', 0"):
        await world.sql(f"INSERT INTO audit ({columns}) SELECT {place}, {copied}")
    assert set(await breaks(store)) == {(store.process, 3), ("prc_forged", 0)}


async def test_a_writer_that_vanishes_is_missed_by_the_next_one(world: World) -> None:
    first = await world.open()
    await some_rows(first, 3)
    await first.close()
    second = await world.open()
    await some_rows(second, 1)
    await world.sql("DELETE FROM audit WHERE writer = ?", first.process)
    assert await breaks(second) == [(first.process, 3)]


async def test_a_tail_that_another_writer_saw_is_missed(world: World) -> None:
    first = await world.open()
    await some_rows(first, 3)
    second = await world.second()
    await some_rows(second, 1)
    await world.sql("DELETE FROM audit WHERE writer = ? AND seq = 3", first.process)
    assert await breaks(second) == [(first.process, 3)]


async def test_it_verifies_while_others_write(world: World) -> None:
    store = await world.open()
    await some_rows(store, 3)
    writing = asyncio.create_task(some_rows(store, 200))
    counts = []
    while not writing.done():
        verified = await store.audit.verify()
        assert verified.breaks == ()
        counts.append(verified.rows)
    await writing
    assert counts == sorted(counts)
    assert (await store.audit.verify()).rows == 204


async def test_rows_and_tail_come_in_order_of_time_over_writers(world: World) -> None:
    one = await world.open()
    two = await world.second()
    for number in range(6):
        store = (one, two)[number % 2]
        record = audit(what=({"do": "step", "n": number},), execution=f"exe_{number}")
        world.clock.offset += 10_000
        await store.renew()
        await store.apply(Unit(None, (Insert(execution(store)),), record))
    steps = [entry async for entry in one.audit.rows() if entry.what[0]["do"] == "step"]
    assert [entry.what[0]["n"] for entry in steps] == [0, 1, 2, 3, 4, 5]
    assert list(await two.audit.tail(3)) == steps[-3:]
    since = [entry async for entry in two.audit.rows(since=steps[3].at)]
    assert since == steps[3:]
    assert [entry async for entry in two.audit.rows(execution="exe_4")] == [steps[4]]
    assert len(await two.audit.tail(100)) == 8


async def test_a_unit_of_an_agent_alone_is_recorded_under_its_pseudo_person(world: World) -> None:
    store = await world.open()
    row = execution(store, user=None)
    record = Audit(actor=f"agent:{AGENT}", what=({"do": "request"},), agent=AGENT, execution=row.id)
    await store.apply(Unit(None, (Insert(row),), record))
    await written(store, Change(row, {"state": "succeeded"}))
    entries = [entry async for entry in store.audit.rows()]
    assert [entry.user for entry in entries] == [None, None, ALICE]
