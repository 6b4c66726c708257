"""Clocks that are set, and waits for locks: what has run out counts for nothing, whoever's clock says what."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from jit_auth.model import Applied, Insert, Stale
from jit_auth.storage import postgres
from jit_auth.storage.clock import Clock
from tests.conformance.world import World, at, execution, unit

HOUR = 3_600_000


class Hands(Clock):
    """The wall clock of a machine on which somebody sets it."""

    __slots__ = ("moved",)

    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    def wall(self) -> int:
        return time.time_ns() // 1_000_000 + self.moved


@pytest.mark.parametrize("moved", [HOUR, -HOUR])
async def test_a_clock_that_is_set_moves_nothing_that_postgresql_is_asked_for(
    postgres_world: World, moved: int
) -> None:
    """No due time and no lease is written an hour off; it is noticed at once, and over at once."""
    postgres_world.clock = hands = Hands()
    store = await postgres_world.open()
    before = store.now()
    hands.moved = moved
    assert 0 <= store.now() - before < 60_000
    assert abs(store.skew + moved) < 60_000
    await store.renew()
    assert await store.apply(unit(Insert(execution(store)), at=at(store, send=True))) == Stale("lease", store.epoch)
    ((until,),) = await postgres_world.sql("SELECT lease_until FROM process")
    assert abs(until - before) < 60_000
    answer = await store.apply(unit(Insert(execution(store)), at=at(store)))  # nothing is sent; what was asked is kept
    assert isinstance(answer, Applied)
    assert abs(answer.at - before) < 60_000
    hands.moved = 0
    assert abs(store.skew) < 5_000
    assert isinstance(await store.apply(unit(Insert(execution(store)), at=at(store, send=True))), Applied)


async def test_a_lease_that_a_jump_ended_is_renewed_at_the_next_look(world: World) -> None:
    store = await world.open()
    world.clock.offset += HOUR
    assert await store.apply(unit(Insert(execution(store)), at=at(store, send=True))) == Stale("lease", store.epoch)
    await store.look()
    assert isinstance(await store.apply(unit(Insert(execution(store)), at=at(store, send=True))), Applied)


async def test_a_clock_that_is_set_back_revives_nothing_on_sqlite(sqlite_world: World) -> None:
    sqlite_world.clock = hands = Hands()
    store = await sqlite_world.open()
    deadline = store.now() + HOUR
    hands.moved = 2 * HOUR
    await store.renew()  # whatever was written then
    hands.moved = 0
    assert store.now() >= deadline
    assert await store.apply(unit(Insert(execution(store)), at=at(store, not_after=deadline))) == Stale(
        "late", store.epoch
    )


@pytest.mark.parametrize("warm", [60.0, 0.0], ids=["one statement", "step by step"])
async def test_what_runs_out_while_a_lock_is_waited_for_is_late(
    postgres_world: World, warm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever held the lock gave up: the row that was waited for is the same, and only the time has gone on."""
    monkeypatch.setattr(postgres, "WARM", warm)
    store = await postgres_world.open()
    for _ in range(3):
        await store.apply(unit(Insert(execution(store)), at=at(store)))
    holding = await asyncpg.connect(postgres_world.url)
    watching = await asyncpg.connect(postgres_world.url)
    held = holding.transaction()
    await held.start()
    await holding.execute("SELECT n FROM epoch FOR UPDATE")
    deadline = store.now() + 300
    waiting = asyncio.create_task(store.apply(unit(Insert(execution(store)), at=at(store, not_after=deadline))))
    while not await watching.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        assert not waiting.done()
    await watching.fetchval("SELECT pg_sleep_until(to_timestamp($1::float8 / 1000))", deadline + 1)
    await held.rollback()
    assert await waiting == Stale("late", store.epoch)
    await holding.close()
    await watching.close()
