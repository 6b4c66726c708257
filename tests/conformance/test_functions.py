"""Rows of functions of agents' own: a turn is open and is cut off, a claim is in its agent's hands."""

from __future__ import annotations

import pytest

from jit_auth.model import CLAIMED, Cut, Insert, Rouse
from jit_auth.storage.retention import Keep
from tests.conformance.world import AGENT, ALICE, BO, World, execution, written

HOUR = 3_600_000


async def test_a_turn_is_due_at_its_end_and_a_claim_at_its_own(world: World) -> None:
    store = await world.open()
    now = store.now()
    turn = execution(store, state="released", due=now + 1_000)
    claimed = execution(store, process=CLAIMED, intent=True, attempt=1, deadline=now + 2_000, due=now + 2_000)
    await written(store, Insert(turn), Insert(claimed))
    assert await store.due() == ()
    world.clock.offset = 1_500
    assert await store.due() == (turn.id,)
    world.clock.offset = 2_500
    assert await store.due() == (turn.id, claimed.id)
    found = await store.execution(claimed.id)
    assert found is not None
    assert found.claimed


async def test_a_start_leaves_claims_in_their_agents_hands(sqlite_world: World) -> None:
    first = await sqlite_world.open()
    now = first.now()
    claimed = execution(first, process=CLAIMED, intent=True, attempt=1, deadline=now + HOUR, due=now + HOUR)
    ours = execution(first, process=first.process, intent=True, due=now + HOUR)
    await written(first, Insert(claimed), Insert(ours))
    await first.close()
    second = await sqlite_world.open()
    assert await second.due() == (ours.id,)


@pytest.mark.parametrize(
    "cut",
    [{"agent": AGENT}, {"user": ALICE}, {"connector": "mail"}],
    ids=["agent", "user", "connector"],
)
async def test_a_kill_switch_finds_turns(world: World, cut: dict[str, str]) -> None:
    store = await world.open()
    now = store.now()
    turn = execution(store, state="released", action="mail.send", due=now + HOUR)
    paused = execution(store, state="paused", action="mail.send", due=now + HOUR)
    claimed = execution(store, process=CLAIMED, intent=True, action="mail.send", deadline=now + HOUR, due=now + HOUR)
    other = execution(
        store, state="released", agent="otherbot", chain=("otherbot",), user=BO, action="mails.send", due=now + HOUR
    )
    await written(store, *(Insert(row) for row in (turn, paused, claimed, other)))
    ((kind, name),) = cut.items()
    assert sorted(await store.cuts.paused(kind, name)) == sorted([turn.id, paused.id])
    await written(store, Cut(now, **cut))
    assert sorted(await store.due()) == sorted([turn.id, paused.id])


async def test_what_a_person_takes_back_has_their_turns_judged_anew(world: World) -> None:
    store = await world.open()
    now = store.now()
    mine = execution(store, state="released", due=now + HOUR)
    others = execution(store, state="released", user=BO, due=now + HOUR)
    await written(store, Insert(mine), Insert(others))
    await written(store, Rouse(ALICE, now))
    assert await store.due() == (mine.id,)


async def test_what_is_released_is_open(world: World) -> None:
    store = await world.open()
    store.keep = Keep(params=1_000, results=1_000)
    turn = execution(store, state="released", due=store.now() + HOUR)
    over = execution(store, state="succeeded")
    await written(store, Insert(turn), Insert(over))
    assert await store.erasing.open(ALICE) == (turn.id,)
    world.clock.offset = 10_000
    await store.sweep()
    still, gone = await store.execution(turn.id), await store.execution(over.id)
    assert still is not None
    assert gone is not None
    assert (still.gone, gone.gone) == ((), ("params",))
    assert await store.lists.executions(AGENT, states=("released",), user=None, updated_since=None, limit=5,
                                        cursor=None) is not None  # fmt: skip


async def test_turns_of_an_agent_are_found_by_an_index(sqlite_world: World) -> None:
    await sqlite_world.open()
    plan = await sqlite_world.sql(
        "EXPLAIN QUERY PLAN UPDATE execution SET due = 5 WHERE state = 'released' AND agent = 'bot'"
    )
    assert "execution_released" in str(plan)
