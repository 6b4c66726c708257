"""What a task has touched: which executions count, of whom, and that nobody slips through beside another."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from jit_auth.model import Applied, Change, Execution, History, Insert, Past, Stale, Task
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.history import Bound, Counts
from jit_auth.storage.store import Store
from tests.conformance.world import AGENT, ALICE, World, at, execution, together, unit, written

READ, FETCH, SEND = "mailhub.get_message", "web.fetch", "mailhub.send_message"
EXPOSES: dict[str, tuple[Any, ...]] = {
    READ: ("private", "untrusted"), FETCH: ("untrusted", "external"), SEND: ("external",), "mailhub.note": (),
}  # fmt: skip
FACTS = ("task_private", "task_untrusted", "task_external", "task_count")
REFUND = Task("refund-7", "Refund of order 7")


def past(**fields: Any) -> Past:
    values = {"agent": AGENT, "user": ALICE, "action": SEND, "names": FACTS, "task": REFUND.id, "exposes": EXPOSES}
    return Past(**(values | fields))


async def ran(store: Store, action: str, **fields: Any) -> Execution:
    row = execution(store, **({"action": action, "task": REFUND, "state": "succeeded", "attempt": 1} | fields))
    await written(store, Insert(row))
    return row


def touched(*what: str, count: int = 0) -> History:
    return History(
        task_private="private" in what, task_untrusted="untrusted" in what, task_external="external" in what,
        task_count=count,
    )  # fmt: skip


async def test_what_ran_in_a_task_adds_up(world: World) -> None:
    store = await world.open()
    assert await store.history(past()) == touched()
    await ran(store, "mailhub.note")
    assert await store.history(past()) == touched(count=1)
    await ran(store, READ)
    assert await store.history(past()) == touched("private", "untrusted", count=2)
    await ran(store, SEND)
    assert await store.history(past()) == touched("private", "untrusted", "external", count=3)
    assert await store.history(past(names=("task_external",))) == touched("external"), "no more than is read"


@pytest.mark.parametrize("state", ["executing", "succeeded", "failed", "unknown", "denied", "cancelled", "expired"])
async def test_whatever_became_of_what_may_have_run(world: World, state: Any) -> None:
    store = await world.open()
    await ran(store, READ, state=state)
    assert await store.history(past()) == touched("private", "untrusted", count=1)


async def test_what_never_left_touched_nothing(world: World) -> None:
    store = await world.open()
    for state in ("denied", "cancelled", "expired", "failed"):
        await ran(store, READ, state=state, attempt=0)
    assert await store.history(past()) == touched()
    for state in ("paused", "executing"):
        await ran(store, READ, state=state, attempt=0)
    assert await store.history(past()) == touched(count=2), "what still may run counts, and has touched nothing yet"


async def test_of_which_task_and_agent_but_of_any_user(world: World) -> None:
    store = await world.open()
    await ran(store, READ, task=Task("refund-8"))
    await ran(store, READ, task=None)
    await ran(store, READ, agent="otherbot", chain=("otherbot",))
    assert await store.history(past()) == touched()
    await ran(store, FETCH, user="carl@example.com")
    await ran(store, SEND, user=None)
    assert await store.history(past()) == touched("untrusted", "external", count=2), "the agent knows what it has read"
    await ran(store, READ, agent="helper", chain=(AGENT, "helper"))
    assert await store.history(past()) == touched("private", "untrusted", "external", count=3)
    assert await store.history(past(agent="helper")) == touched()
    assert await store.history(past(user="nobody@example.com")) == await store.history(past())


async def test_an_action_that_is_gone_has_touched_everything(world: World) -> None:
    store = await world.open()
    await ran(store, "old.read")
    assert await store.history(past()) == touched("private", "untrusted", "external", count=1)


async def test_a_send_counts_what_was_touched_until_then_and_not_itself(world: World) -> None:
    store = await world.open()
    await ran(store, "mailhub.note")
    own = await ran(store, SEND, state="paused", attempt=0, history={"task_count": 1})
    await ran(store, READ)
    mine = past(id=own.id, at=own.created, known={"task_count": 1})
    assert await store.history(mine) == touched("private", "untrusted", count=1)
    assert await store.history(past(id=own.id, at=own.created)) == touched("private", "untrusted", count=1)
    await written(store, Change(own, {"attempt": 1, "state": "executing"}))
    assert not (await store.history(mine)).task_external, "a second attempt is no other execution"
    assert await store.history(past(id=own.id, at=own.created, then=True)) == touched(count=1), "as it was admitted"


async def test_a_list_holds_its_own_task_alone(world: World) -> None:
    store = await world.open()
    first, second = await ran(store, READ), await ran(store, SEND, state="paused", attempt=0)
    await ran(store, READ, task=Task("refund-8"))
    await ran(store, READ, task=None)
    await ran(store, READ, agent="otherbot", chain=("otherbot",))
    assert [row.id for row in (await store.lists.executions(AGENT, task=REFUND.id)).items] == [second.id, first.id]
    page = await store.lists.executions(AGENT, task=REFUND.id, limit=1)
    rest = await store.lists.executions(AGENT, task=REFUND.id, limit=1, cursor=page.next)
    assert [row.id for row in (*page.items, *rest.items)] == [second.id, first.id]
    assert (await store.lists.executions(AGENT, task=REFUND.id, states=("paused",))).items == page.items
    assert (await store.lists.executions(AGENT, task="refund-9")).items == ()


async def test_neither_task_nor_metadata_lies_in_the_clear(world: World) -> None:
    store = await world.open()
    row = await ran(store, READ, metadata={"ticket": "secret-ticket-4711"})
    assert await store.execution(row.id) == row
    for (value,) in await world.sql("SELECT asked FROM execution"):
        assert b"secret-ticket" not in bytes(value)
    (columns,) = await world.sql("SELECT * FROM execution")
    for text in ("refund-7", "Refund of order", "secret-ticket"):
        assert all(text.encode() not in (v if isinstance(v, bytes) else str(v).encode()) for v in columns), text


def clean(**fields: Any) -> Past:
    return past(names=("task_private",), holds=lambda then: not then.task_private, **fields)


def few(limit: int, **fields: Any) -> Past:
    return past(names=("task_count",), holds=lambda then: then.task_count < limit, **fields)


async def test_what_its_batch_reads_counts_for_who_acts_after_it(world: World) -> None:
    store = await world.open()
    reads = unit(
        Insert(execution(store, action=READ, task=REFUND, attempt=1)),
        at=at(store, send=True, past=past(action=READ, names=("task_external",), holds=lambda _: True)),
    )
    acts = [
        unit(Insert(execution(store, task=REFUND, attempt=1)), at=at(store, send=True, past=clean())) for _ in range(3)
    ]
    answers = await together(store.apply(acts[0]), store.apply(reads), *(store.apply(act) for act in acts[1:]))
    assert [isinstance(one, Applied) for one in answers] == [True, True, False, False]
    assert {one.which for one in answers if isinstance(one, Stale)} == {"history"}
    late = unit(Insert(execution(store, task=REFUND, attempt=1)), at=at(store, send=True, past=clean()))
    assert isinstance(await store.apply(late), Stale)


async def test_exactly_so_many_of_one_task(world: World) -> None:
    store = await world.open()

    def one(task: Task) -> Any:
        row = execution(store, task=task, attempt=1)
        return store.apply(unit(Insert(row), at=at(store, send=True, past=few(3, task=task.id))))

    answers = await together(*(one(REFUND) for _ in range(20)), *(one(Task("other")) for _ in range(2)))
    assert sum(isinstance(answer, Applied) for answer in answers[:20]) == 3
    assert all(isinstance(answer, Applied) for answer in answers[20:])


async def test_two_replicas_count_a_task_as_one(postgres_world: World) -> None:
    stores = [await postgres_world.open(), await postgres_world.second()]
    calls = []
    for turn in range(40):
        store = stores[turn % 2]
        row = execution(store, task=REFUND, attempt=1)
        calls.append(store.apply(unit(Insert(row), at=at(store, send=True, past=few(3)))))
    assert sum(isinstance(answer, Applied) for answer in await together(*calls)) == 3


async def test_a_task_is_served_by_indices_of_its_own(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    await ran(store, READ)
    counts = Counts(Compiler("sqlite"))
    with sqlite3.connect(sqlite_world.path) as database:
        for name in FACTS:
            text, args = counts.query(name, Bound(past(), "", b"mac"), store.now())
            plan = json.dumps([row[3] for row in database.execute("EXPLAIN QUERY PLAN " + text.sql, args)])
            assert "COVERING INDEX execution_task (origin=? AND task=?" in plan, (name, plan)
        text = store.lists._text((0, False, True, False, False))
        args = text.args(agent=AGENT, task=b"mac", most=50)
        plan = json.dumps([row[3] for row in database.execute("EXPLAIN QUERY PLAN " + text.sql, args)])
        assert "execution_of_task (agent=? AND task=?)" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
