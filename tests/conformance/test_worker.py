"""What the worker finds: due rows, orphans, cards, what waits for a consent, and what is swept."""

from __future__ import annotations

import msgspec
import pytest

from jit_auth.errors import BadRequest
from jit_auth.model import Change, Insert
from jit_auth.storage.store import Store
from tests.conformance.world import (
    AGENT,
    ALICE,
    BO,
    World,
    approval_ask,
    consent_ask,
    execution,
    flow,
    idem,
    outbox,
    written,
)

replace = msgspec.structs.replace


async def test_due_executions_come_in_order_and_only_when_due(world: World) -> None:
    store = await world.open()
    now = store.now()
    late = execution(store, state="paused", due=now - 5_000)
    later = execution(store, state="paused", due=now - 10_000)
    coming = execution(store, state="paused", due=now + 60_000)
    owed_nothing = execution(store, state="succeeded")
    await written(store, *(Insert(row) for row in (late, later, coming, owed_nothing)))
    assert await store.due() == (later.id, late.id)
    assert await store.due(1) == (later.id,)
    world.clock.offset = 120_000
    assert await store.due() == (later.id, late.id, coming.id)


async def test_what_another_living_process_executes_is_not_due(world: World) -> None:
    store = await world.open()
    now = store.now()
    mine = execution(store, process=store.process, due=now - 3)
    nobodys = execution(store, process=None, due=now - 2)
    others = execution(store, process="prc_other", due=now - 1)
    paused = execution(store, state="paused", process="prc_other", due=now)
    await written(store, *(Insert(row) for row in (mine, nobodys, others, paused)))
    await world.sql("INSERT INTO process (id, lease_until, keys) VALUES (?, ?, '')", "prc_other", now + 15_000)
    assert await store.due() == (mine.id, nobodys.id, paused.id)
    world.clock.offset = 16_000
    await store.renew()
    assert await store.due() == (mine.id, nobodys.id, others.id, paused.id)


async def test_a_start_on_sqlite_takes_over_at_once(sqlite_world: World) -> None:
    world = sqlite_world
    first = await world.open()
    row = execution(first, process=first.process, intent=True, due=first.now() + 45_000)
    paused = execution(first, state="paused", due=first.now() + 45_000)
    await written(first, Insert(row), Insert(paused))
    dead = first.process
    await first.close()
    await world.sql("INSERT INTO process (id, lease_until, keys) VALUES (?, ?, '')", dead, first.now() + 15_000)
    second = await world.open()
    assert await second.due() == (row.id,)
    found = await second.execution(row.id)
    assert found is not None
    assert (found.version, found.process) == (1, dead)


async def test_a_replica_takes_over_once_the_lease_has_run_out(postgres_world: World) -> None:
    world = postgres_world
    first = await world.open()
    second = await world.open()
    row = execution(first, process=first.process, intent=True, due=first.now() - 1)
    await written(first, Insert(row))
    assert await second.due() == ()
    assert await first.due() == (row.id,)
    world.clock.offset = 16_000
    assert await second.due() == (row.id,)
    await first.renew()
    assert await second.due() == ()
    await first.close()  # gives its lease up
    assert await second.due() == (row.id,)


async def test_a_consent_finds_what_it_unblocks(world: World) -> None:
    store = await world.open()
    rows = {
        "waits": (execution(store, state="paused"), {}),
        "other agent": (execution(store, state="paused", agent="otherbot"), {}),
        "other user": (execution(store, state="paused", user=BO), {}),
        "other provider": (execution(store, state="paused"), {"provider": "calhub"}),
        "answered": (execution(store, state="paused"), {"state": "closed"}),
        "running": (execution(store), {}),
    }
    for row, fields in rows.values():
        await written(store, Insert(row), Insert(consent_ask(store, row, **fields)))
    asked_twice = rows["waits"][0]
    await written(store, Insert(consent_ask(store, asked_twice)), Insert(approval_ask(store, asked_twice)))
    assert await store.waiting(AGENT, ALICE, "mailhub") == (asked_twice.id,)
    assert await store.waiting(AGENT, "nobody@example.com", "mailhub") == ()


async def test_the_outbox_is_due_until_it_is_done(world: World) -> None:
    store = await world.open()
    owed, later = outbox(store), outbox(store, due=store.now() + 60_000)
    await written(store, Insert(owed), Insert(later))
    (found,) = await store.outbox_due()
    await written(store, Change(found, {"due": store.now() + 60_000, "tries": 1}))
    assert await store.outbox_due() == ()
    world.clock.offset = 61_000
    assert {row.tries for row in await store.outbox_due()} == {0, 1}


async def test_the_sweep_takes_what_is_past_its_time_and_nothing_else(world: World) -> None:
    store = await world.open()
    row = execution(store)
    old, new = flow(store, until=store.now() + 1_000), flow(store)
    gone, kept = idem(row, "old", until=store.now() + 1_000), idem(row, "new")
    await written(store, *(Insert(each) for each in (row, old, new, gone, kept)))
    world.clock.offset = 2_000
    await store.sweep()
    assert await store.flow(old.id) is None
    assert await store.flow(new.id) is not None
    assert await store.idem(gone.scope) is None
    assert await store.idem(kept.scope) is not None


async def every_page(store: Store, limit: int, **filters: object) -> list[str]:
    """Ids of all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.lists.executions(AGENT, limit=limit, cursor=cursor, **filters)  # type: ignore[arg-type]  # as given
        assert len(page.items) <= limit
        found += [item.id for item in page.items]
        if page.next is None:
            return found
        cursor = page.next


async def test_lists_are_the_agents_own_newest_first(world: World) -> None:
    store = await world.open()
    made = [execution(store, id=f"exe_{n:026d}", updated=n, state=("paused", "failed")[n % 2]) for n in range(25)]
    await written(store, *(Insert(row) for row in made), Insert(execution(store, agent="otherbot")))
    bos = execution(store, id="exe_1" + "0" * 25, user=BO, updated=100)
    await written(store, Insert(bos))
    newest = [bos.id, *(row.id for row in reversed(made))]
    for limit in (1, 7, 25, 26, 200):
        assert await every_page(store, limit) == newest
    assert await every_page(store, 3, user=ALICE) == newest[1:]
    assert await every_page(store, 3, user=BO) == [bos.id]
    assert await every_page(store, 3, user="nobody@example.com") == []
    assert await every_page(store, 4, states=("failed",)) == [row.id for row in reversed(made) if row.state == "failed"]
    assert await every_page(store, 4, states=("failed", "paused"), user=ALICE) == newest[1:]
    assert await every_page(store, 4, updated_since=20) == newest[:6]
    assert (await store.lists.executions("nobody")).items == ()


async def test_a_foreign_cursor_is_refused(world: World) -> None:
    store = await world.open()
    for cursor in ("", "x", "ü", "ZXhlX3g", "Y25zXzAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"):
        with pytest.raises(BadRequest) as raised:
            await store.lists.executions(AGENT, cursor=cursor)
        assert raised.value.code == "bad_query"
