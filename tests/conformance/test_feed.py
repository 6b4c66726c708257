"""Streams of all events: several writers at once, readers that come and go, and rows that are committed out of time."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from jit_auth.core.ids import new_id
from jit_auth.core.position import MOST, OVERLAP, Position, read_position
from jit_auth.engine import tail as engine_tail
from jit_auth.engine.tail import Tail, Told
from jit_auth.engine.waits import Waits
from jit_auth.model import Audit, Unit
from jit_auth.storage import feed
from jit_auth.storage.store import Store
from tests.conformance.world import AGENT, World

ENDED = ({"do": "outcome", "state": "succeeded"},)
_FACTS = '[{"do":"outcome","state":"succeeded"}]'
PAUSED = ({"do": "request"}, {"do": "ask", "kind": "approval", "ask": "apr_1"})


async def tell(store: Store, execution: str, *, agent: str = AGENT, what: tuple[dict[str, str], ...] = ENDED) -> None:
    await store.apply(Unit(None, (), Audit(actor="engine", what=what, agent=agent, execution=execution)))


async def tell_raw(world: World, writer: str, seq: int, at: int, execution: str, *, told: bool = False) -> None:
    """A row as a process of another time or clock would have left it."""
    await world.sql(
        "INSERT INTO audit (writer, seq, at, actor, person, agent, execution, what, key, mac, told) "
        "VALUES (?, ?, ?, 'engine', NULL, ?, ?, ?, 'k1', ?, ?)",
        writer, seq, at, AGENT, execution, _FACTS, b"0" * 32, told,
    )  # fmt: skip


async def read(tail: Tail, last: str | None, most: int, patience: float) -> AsyncIterator[Told]:
    """At most so many events after `last`; the reader goes when none came for so long."""
    async with tail.subscribed(AGENT) as reader:
        if last is not None:
            async for told in tail.missed(AGENT, read_position(last), reader.start):
                yield told
                most -= 1
                if most <= 0:
                    return
        while most > 0:
            reader.came.clear()
            while reader.told and most > 0:
                yield reader.told.popleft()
                most -= 1
            if not most:
                return
            try:
                async with asyncio.timeout(patience):
                    await reader.came.wait()
            except TimeoutError:
                return


async def rest(tail: Tail, last: str | None) -> list[str]:
    return [told.execution async for told in read(tail, last, 1_000_000, 0.05)]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_readers_that_come_and_go_miss_nothing(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    for module in (feed, engine_tail):
        monkeypatch.setattr(module, "CHUNK", 7)
    chance = random.Random(seed)  # noqa: S311 - repeatable, no secret
    stores = [await world.open(serve=True), await world.second(), await world.second()]
    waits = Waits()
    tails = [Tail(stores[0].audit.feed, waits), Tail(stores[-1].audit.feed, Waits())]
    async with tails[0].subscribed(AGENT) as first:
        last = first.start.text()
    told: list[str] = []

    async def write() -> None:
        for number in range(60):
            some = [(chance.choice(stores), f"exe_{number}_{n}") for n in range(chance.randrange(1, 5))]
            told.extend(name for _, name in some)
            foreign = tell(stores[0], "exe_x", agent="otherbot")
            await asyncio.gather(*(tell(store, name) for store, name in some), foreign)
            waits.moved("exe_0_0")

    writing = asyncio.create_task(write())
    found: Counter[str] = Counter()
    while not writing.done():
        async for each in read(chance.choice(tails), last, chance.randrange(1, 30), 0.1):
            found[each.execution] += 1
            last = each.id
    await writing
    found.update(await rest(tails[1], last))
    assert set(found) == set(told)
    assert set(found.values()) == {1}


async def test_a_row_that_is_committed_long_after_its_time_is_told(world: World) -> None:
    store = await world.open()
    tail, late = Tail(store.audit.feed, Waits()), new_id("prc", store.now() - 60_000, os.urandom(10))
    async with tail.subscribed(AGENT) as reader:
        await tell(store, "exe_early")
        await tell_raw(world, late, 0, store.now() - 30_000, "exe_late")
        names: list[str] = []
        while len(names) < 2:
            async with asyncio.timeout(10):
                await reader.came.wait()
            reader.came.clear()
            while reader.told:
                last = reader.told.popleft()
                names.append(last.execution)
        assert sorted(names) == ["exe_early", "exe_late"]
    await tell_raw(world, late, 1, store.now() - 50_000, "exe_later_still")
    assert await rest(tail, last.id) == ["exe_later_still"]
    other = new_id("prc", store.now() - 60_000, os.urandom(10))
    await tell_raw(world, other, 0, store.now() - OVERLAP // 2, "exe_of_another")
    assert await rest(tail, last.id) == ["exe_of_another", "exe_later_still"]


async def test_from_now_on_is_from_now_on_and_only_ones_own(world: World) -> None:
    store = await world.open()
    await tell(store, "exe_before")
    tail = Tail(store.audit.feed, Waits())
    assert await rest(tail, None) == []
    async with tail.subscribed(AGENT) as reader, tail.subscribed("otherbot") as other:
        await tell(store, "exe_after")
        await tell(store, "exe_foreign", agent="otherbot")
        async with tail.subscribed(AGENT) as later:  # looks before it begins
            assert [each.execution for each in reader.told] == ["exe_after"]
            assert [each.execution for each in other.told] == ["exe_foreign"]
            assert later.start.text() == tail.position
            assert not later.told


async def test_more_writers_than_an_id_names_repeat_and_lose_nothing(world: World) -> None:
    store = await world.open()
    tail = Tail(store.audit.feed, Waits())
    writers = [new_id("prc", store.now() + number, os.urandom(10)) for number in range(MOST + 6)]
    async with tail.subscribed(AGENT) as first:
        last = first.start.text()
    for number, writer in enumerate(writers):
        await tell_raw(world, writer, 0, store.now(), f"exe_{number}")
    have = [each async for each in read(tail, last, MOST + 3, 0.05)]
    for number, writer in enumerate(writers):
        await tell_raw(world, writer, 1, store.now(), f"exe_{number}_again")
    names = [each.execution for each in have] + await rest(tail, have[-1].id)
    assert set(names) == {f"exe_{number}{more}" for number in range(len(writers)) for more in ("", "_again")}


async def test_who_is_cut_off_within_a_row_gets_it_again(world: World) -> None:
    store = await world.open()
    tail = Tail(store.audit.feed, Waits())
    async with tail.subscribed(AGENT) as first:
        last = first.start.text()
    await tell(store, "exe_1", what=PAUSED)
    events = [each async for each in read(tail, last, 10, 0.05)]
    assert [each.event.type for each in events] == ["execution.paused", "approval.requested"]
    again = [each async for each in read(tail, events[0].id, 10, 0.05)]
    assert [each.event.type for each in again] == ["execution.paused", "approval.requested"]
    assert [each async for each in read(tail, events[1].id, 10, 0.05)] == []


async def test_an_id_that_was_never_given_opens_nothing(world: World) -> None:
    store = await world.open()
    await tell(store, "exe_1")
    await tell(store, "exe_2", agent="otherbot")
    tail = Tail(store.audit.feed, Waits())
    assert await rest(tail, Position().text()) == ["exe_1"]
    ahead = f"0.{store.process.removeprefix('prc_')}-{'9' * 15}"
    assert await rest(tail, ahead) == []
    assert await rest(tail, f"{'9' * 15}.{'0' * 26}-1") == []


async def test_of_one_execution_too_clocks_that_disagree_a_little_leave_nothing_out(world: World) -> None:
    store = await world.open()
    one, two = (new_id("prc", store.now(), os.urandom(10)) for _ in range(2))
    now = store.now()
    await tell_raw(world, one, 0, now, "exe_1", told=True)
    await tell_raw(world, two, 0, now - 20, "exe_1", told=True)  # committed after the other
    assert [entry.id for entry in await store.audit.after("exe_1", f"{one}-0")] == [f"{two}-0"]


async def test_of_many_writers_one_after_the_other_few_are_held_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that was started a thousand times, and an id of long ago (THREAT_MODEL 74)."""
    store = await world.open()
    began = store.now() - 50 * OVERLAP
    for number in range(20):
        writer = new_id("prc", began + number * 2 * OVERLAP, os.urandom(10))
        for seq in range(3):
            await tell_raw(world, writer, seq, began + number * 2 * OVERLAP + seq, f"exe_{number}_{seq}")
    tail = Tail(store.audit.feed, Waits())
    read_from: set[str] = set()
    rows = store.audit.feed.rows

    async def counted(writer: str, after: int, upto: int, agent: str | None = None) -> Sequence[feed.Row]:
        read_from.add(writer)
        return await rows(writer, after, upto, agent)

    monkeypatch.setattr(store.audit.feed, "rows", counted)
    names: list[str] = []
    async for told in read(tail, Position().text(), 60, 0.05):
        names.append(told.execution)
        assert len(read_from) <= len(names) // 3 + 2
    assert names == [f"exe_{number}_{seq}" for number in range(20) for seq in range(3)]


async def test_a_writer_whose_machine_was_ahead_is_not_passed_over(world: World) -> None:
    """It names itself by a clock that is hours ahead; its rows have the database's time. The reader is cut off after
    each event, and goes on where it was."""
    store = await world.open()
    began, half = store.now() - 20 * OVERLAP, OVERLAP // 2
    right, ahead = (new_id("prc", at, os.urandom(10)) for at in (began, began + 15 * OVERLAP))
    for seq in range(8):
        await tell_raw(world, right, seq, began + seq * half, f"exe_{seq}")
    for seq, at in enumerate((began + 1, began + 17 * OVERLAP)):
        await tell_raw(world, ahead, seq, at, f"exe_ahead_{seq}")
    tail = Tail(store.audit.feed, Waits())
    names: list[str] = []
    last = Position().text()
    for _ in range(20):
        async for told in read(tail, last, 1, 0.05):
            names.append(told.execution)
            last = told.id
    assert sorted(names) == sorted([*(f"exe_{seq}" for seq in range(8)), "exe_ahead_0", "exe_ahead_1"])
