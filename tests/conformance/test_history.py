"""Earlier attempts: what counts, as of when, and that nobody is counted past under load (THREAT_MODEL 21)."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from jit_auth.core.ids import new_id
from jit_auth.model import MOST_COUNTED, Applied, Change, Execution, History, Insert, Past, Stale
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.history import Bound, Counts
from jit_auth.storage.store import Store
from tests.conformance.world import (
    AGENT,
    ALICE,
    World,
    approval_ask,
    at,
    execution,
    idem,
    make_id,
    together,
    unit,
    written,
)

HOUR = 3_600_000
ALL = tuple(name for name in History.__struct_fields__ if not name.startswith("task_"))
SEND, LIST = "mailhub.send_message", "mailhub.list_messages"


def past(**fields: Any) -> Past:
    values = {"agent": AGENT, "user": ALICE, "action": SEND, "names": ALL, "writes": (SEND, "mailhub.note")}
    return Past(**(values | fields))


async def tried(store: Store, ago: int = 0, **fields: Any) -> Execution:
    """An attempt of that long ago."""
    then = store.now() - ago
    row = execution(store, id=new_id("exe", then, make_id("x", store).encode()[-10:]), created=then, updated=then,
                    **fields)  # fmt: skip
    await written(store, Insert(row))
    return row


async def test_whatever_became_of_them(world: World) -> None:
    store = await world.open()
    assert await store.history(past()) == History(first_seen=True)
    for state in ("executing", "paused", "succeeded", "failed", "denied", "expired", "cancelled", "unknown"):
        await tried(store, state=state)
    assert await store.history(past()) == History(
        same_action_1h=8, same_action_24h=8, denied_24h=1, agent_action_1h=8, agent_writes_1h=8, first_seen=True
    )
    names = ("denied_24h", "same_action_1h")
    assert await store.history(past(names=names)) == History(denied_24h=1, same_action_1h=8), "no more than is read"


async def test_of_whom_and_of_what(world: World) -> None:
    store = await world.open()
    await tried(store)
    await tried(store, user="carl@example.com")
    await tried(store, user=None)
    await tried(store, action=LIST)
    await tried(store, action="mailhub.note")
    await tried(store, agent="otherbot", chain=("otherbot",))
    await tried(store, agent="helper", chain=(AGENT, "helper"))  # what it has others do is its own
    found = await store.history(past())
    assert (found.same_action_1h, found.agent_action_1h, found.agent_writes_1h) == (2, 4, 5)
    assert (await store.history(past(user=None))).same_action_1h == 1
    assert (await store.history(past(user="nobody@example.com"))).same_action_1h == 0
    assert (await store.history(past(agent="helper"))).agent_writes_1h == 0
    assert (await store.history(past(action=LIST))).same_action_1h == 1
    assert (await store.history(past(writes=()))).agent_writes_1h == 0


async def test_how_far_back(world: World) -> None:
    store = await world.open()
    for ago in (0, HOUR - 2_000, HOUR + 2_000, 24 * HOUR - 2_000, 24 * HOUR + 2_000):
        await tried(store, ago, state="denied")
    found = await store.history(past())
    assert (found.same_action_1h, found.same_action_24h, found.agent_action_1h) == (2, 4, 2)
    assert (found.agent_writes_1h, found.denied_24h) == (2, 4)
    world.clock.offset += 23 * HOUR
    assert await store.history(past()) == History(same_action_24h=2, denied_24h=2, first_seen=True)


async def test_a_denial_counts_from_when_it_was_said(world: World) -> None:
    store = await world.open()
    row = await tried(store, 30 * HOUR, state="paused", open_key="k")
    assert (await store.history(past())).denied_24h == 0
    await written(store, Change(row, {"state": "denied", "open_key": None, "updated": store.now()}))
    found = await store.history(past())
    assert (found.denied_24h, found.same_action_24h) == (1, 0)


async def test_first_seen_is_no_longer_so_after_an_approved_or_an_old_success(world: World) -> None:
    store = await world.open()
    for state in ("succeeded", "unknown", "failed", "denied"):
        await tried(store, state=state)
    await tried(store, 25 * HOUR, state="failed")
    asked = await tried(store, state="succeeded")
    for state in ("open", "denied", "superseded", "closed"):
        await written(store, Insert(approval_ask(store, asked, state=state)))
    await written(store, Insert(approval_ask(store, asked, state="met", kind="consent")))
    assert (await store.history(past())).first_seen
    await written(store, Insert(approval_ask(store, asked, state="met")))
    assert not (await store.history(past())).first_seen
    for other in ({"user": "carl@example.com"}, {"action": LIST}, {"agent": "otherbot"}):
        assert (await store.history(past(**other))).first_seen
    await tried(store, 25 * HOUR, state="succeeded", action=LIST)
    assert not (await store.history(past(action=LIST))).first_seen


async def test_for_an_execution_those_before_it_count(world: World) -> None:
    store = await world.open()
    for _ in range(3):
        await tried(store, HOUR + HOUR // 2)
    own = await tried(store, HOUR)
    for _ in range(5):
        await tried(store)
    mine = past(id=own.id, at=own.created)
    found = await store.history(mine)
    assert (found.same_action_1h, found.same_action_24h, found.agent_action_1h, found.agent_writes_1h) == (3, 3, 3, 3)
    kept = await store.history(past(id=own.id, at=own.created, known={"same_action_1h": 7, "agent_writes_1h": 1}))
    assert (kept.same_action_1h, kept.agent_writes_1h, kept.same_action_24h) == (7, 1, 3)
    known = past(id=own.id, at=own.created, names=("same_action_1h",), known={"same_action_1h": 7})
    assert await store.history(known) == History(same_action_1h=7)
    assert (await store.history(mine, own.created)).denied_24h == 0


async def test_nothing_is_counted_without_end(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    row = await tried(store)
    columns = [name for (name,) in await sqlite_world.sql("SELECT name FROM pragma_table_info('execution')")]
    chosen = ", ".join(f"'{row.id[:-8]}' || printf('%08d', i)" if name == "id" else f'e."{name}"' for name in columns)
    await sqlite_world.sql(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= {MOST_COUNTED}) "  # noqa: S608 - ours
        f"INSERT INTO execution SELECT {chosen} FROM execution e, n WHERE e.id = ?",
        row.id,
    )
    found = await store.history(past())
    assert (found.same_action_1h, found.agent_writes_1h) == (MOST_COUNTED, MOST_COUNTED)


async def test_every_count_is_served_by_an_index_of_its_own(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    await tried(store)
    person = (await sqlite_world.sql("SELECT pid FROM person LIMIT 1"))[0][0]
    counts = Counts(Compiler("sqlite"))
    indices = {
        "same_action_1h": "execution_same (person=? AND action=? AND origin=? AND id>? AND id<?)",
        "same_action_24h": "execution_same (person=? AND action=? AND origin=? AND id>? AND id<?)",
        "agent_action_1h": "execution_origin (origin=? AND action=? AND id>? AND id<?)",
        "agent_writes_1h": "execution_origin (origin=? AND action=? AND id>? AND id<?)",
        "denied_24h": "execution_denied (person=? AND action=? AND origin=? AND updated>? AND updated<?)",
        "first_seen": "execution_succeeded (person=? AND action=? AND origin=? AND updated<?)",
    }
    assert set(indices) == set(ALL)
    with sqlite3.connect(sqlite_world.path) as database:
        for name, index in indices.items():
            text, args = counts.query(name, Bound(past(), person), store.now())
            plan = json.dumps([row[3] for row in database.execute("EXPLAIN QUERY PLAN " + text.sql, args)])
            assert index in plan, (name, plan)


def counting(limit: int, **fields: Any) -> Past:
    return past(names=("same_action_1h",), holds=lambda then: then.same_action_1h < limit, **fields)


async def raced(stores: list[Store], number: int, *, collide: bool = False) -> list[Applied | Stale]:
    """So many attempts at once, none of which has seen another; `collide`: one in the middle has a key that exists."""
    units = []
    for turn in range(number):
        store = stores[turn % len(stores)]
        row = execution(store)
        ops = [Insert(row)] if not (collide and turn in (5, 6)) else [Insert(row), Insert(idem(row, "taken"))]
        units.append(store.apply(unit(*ops, at=at(store, send=not collide, past=counting(3)))))
    return await together(*units)


@pytest.mark.parametrize("collide", [False, True])
async def test_exactly_so_many_are_let_through(world: World, collide: bool) -> None:
    store = await world.open()
    if collide:
        taken = execution(store, action=LIST)
        await written(store, Insert(taken), Insert(idem(taken, "taken")))
    for _ in range(2):
        answers = await raced([store], 40, collide=collide)
        assert {one.which for one in answers if isinstance(one, Stale)} <= {"history", "idem"}
        assert sum(isinstance(one, Applied) for one in answers) == (3 if _ == 0 else 0)
    assert (await store.history(past())).same_action_1h == 3


async def test_two_replicas_count_as_one(postgres_world: World) -> None:
    stores = [await postgres_world.open(), await postgres_world.second()]
    answers = await raced(stores, 60)
    assert sum(isinstance(one, Applied) for one in answers) == 3
    assert (await stores[0].history(past())).same_action_1h == 3


async def test_what_its_batch_adds_counts_for_who_reads_it(world: World) -> None:
    store = await world.open()

    def after(limit: int, name: str, **fields: Any) -> Past:
        return past(names=(name,), holds=lambda then: getattr(then, name) < limit, **fields)

    rows = [execution(store, user=f"u{number}@example.com", action="mailhub.note") for number in range(3)]
    writes = [
        store.apply(unit(Insert(row), at=at(store, past=after(2, "agent_writes_1h", user=row.user, action=row.action))))
        for row in rows
    ]
    assert sum(isinstance(one, Applied) for one in await together(*writes)) == 2
    denied = [
        store.apply(unit(Insert(execution(store, state="denied")), at=at(store, past=after(1, "denied_24h"))))
        for _ in range(3)
    ]
    assert [isinstance(one, Applied) for one in await together(*denied)] == [True, False, False]
    paused = [await tried(store, state="paused") for _ in range(2)]
    ended = [
        store.apply(unit(
            Change(row, {"state": "denied", "updated": store.now()}),
            at=at(store, past=after(2, "denied_24h", id=row.id, at=row.created)),
        ))
        for row in paused
    ]  # fmt: skip
    assert [isinstance(one, Applied) for one in await together(*ended)] == [True, False]


async def test_who_does_not_ask_is_not_held_up(world: World) -> None:
    """A unit that has counted nothing is written whatever was counted; one that only looks has no say either."""
    store = await world.open()
    answers = await together(*(store.apply(unit(Insert(execution(store)), at=at(store, send=True))) for _ in range(9)))
    answers += [await store.apply(unit(Insert(execution(store)), at=at(store, send=True, past=past())))]
    assert all(isinstance(one, Applied) for one in answers)


async def test_the_numbers_that_an_execution_is_admitted_with_are_kept(world: World) -> None:
    store = await world.open()
    row = await tried(store, history={"same_action_1h": 3})
    assert (await store.execution(row.id)) == row
    await written(store, Change(row, {"state": "paused"}))
    assert (await store.execution(row.id)).history == {"same_action_1h": 3}  # type: ignore[union-attr]  # it is there

    def sees(number: int) -> Past:
        return past(id=row.id, at=row.created, known=row.history, names=("same_action_1h", "denied_24h"),
                    holds=lambda then: then == History(same_action_1h=3, denied_24h=number))  # fmt: skip

    await tried(store, state="denied")
    assert await store.history(sees(1)) == History(same_action_1h=3, denied_24h=1)
    now = await store.execution(row.id)
    assert now is not None
    stale = await store.apply(unit(Change(now, {"tries": 1}), at=at(store, past=sees(0))))
    assert isinstance(stale, Stale)
    assert stale.which == "history"
    assert isinstance(await store.apply(unit(Change(now, {"tries": 1}), at=at(store, past=sees(1)))), Applied)
