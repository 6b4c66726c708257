"""What one person may see of their own, and what is taken back in their name; by the indices that make it fast."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any

import pytest

from jit_auth.errors import BadRequest
from jit_auth.model import Consent, Insert, Pass, Raise, Rouse, Stop, Withdraw
from jit_auth.storage.store import Store
from tests.conformance.world import (
    AGENT,
    ALICE,
    BO,
    World,
    approval_ask,
    at,
    consent_ask,
    execution,
    grant,
    make_id,
    refused,
    unit,
    vote,
    written,
)


def paused(store: Store, **fields: Any) -> Any:
    return execution(store, **({"state": "paused", "due": store.now() + 3_600_000} | fields))


async def test_a_person_reads_their_own_newest_first_by_pages(world: World) -> None:
    store = await world.open()
    mine = [execution(store) for _ in range(5)]
    for row in (*mine, execution(store, user=BO), execution(store, user=None)):
        await written(store, Insert(row))
    first = await store.own.executions(ALICE, 3, None)
    rest = await store.own.executions(ALICE, 3, first.next)
    assert [row.id for row in (*first.items, *rest.items)] == sorted((row.id for row in mine), reverse=True)
    assert rest.next is None
    assert (await store.own.executions("nobody@example.com", 3, None)).items == ()
    with pytest.raises(BadRequest):
        await store.own.executions(ALICE, 3, "x")


async def test_what_waits_for_a_persons_consent_and_what_is_held_up(world: World) -> None:
    store = await world.open()
    mine, other, done = paused(store, chain=("first", AGENT)), paused(store, user=BO), execution(store)
    asks = [consent_ask(store, of) for of in (mine, other, done)]
    closed = consent_ask(store, mine, state="met")
    await written(store, *(Insert(row) for row in (mine, other, done, *asks, closed)))
    newest = max(asks[0], asks[2], key=lambda ask: ask.id)
    assert [ask.id for ask, _ in await store.own.consents(ALICE, 1)] == [newest.id]
    assert {ask.id for ask, _ in await store.own.consents(ALICE, 9)} == {asks[0].id, asks[2].id}
    assert await store.own.held(ALICE) == ((mine.id, ("first", AGENT)),)
    assert await store.own.held("nobody@example.com") == ()
    assert await store.own.consents("nobody@example.com", 9) == ()


async def test_who_decided_about_a_persons_calls(world: World) -> None:
    store = await world.open()
    rows = sorted((paused(store) for _ in range(3)), key=lambda row: row.id)  # as they sort within a millisecond
    asks = [approval_ask(store, row) for row in rows]
    votes = [
        vote(store, asks[0]),
        vote(store, asks[0], person="cy@example.com", at=store.now() + 1),
        vote(store, asks[2]),
    ]
    foreign = paused(store, user=BO)
    foreign_ask = approval_ask(store, foreign)
    await written(store, *(Insert(row) for row in (*rows, *asks, foreign, foreign_ask)))
    for each in (*votes, vote(store, foreign_ask, person=ALICE)):
        await written(store, Insert(each))
    assert await store.own.votes(ALICE, rows[0].id, rows[2].id) == {
        rows[0].id: (votes[0], votes[1]),
        rows[2].id: (votes[2],),
    }
    assert await store.own.votes(ALICE, rows[1].id, rows[2].id) == {rows[2].id: (votes[2],)}
    every = [ask.id for ask in (*asks, foreign_ask)]
    assert await store.own.voted(BO, every) == {asks[0].id, asks[2].id}
    assert await store.own.voted(ALICE, every) == {foreign_ask.id}
    assert await store.own.voted(ALICE, []) == await store.own.voted("nobody@example.com", every) == frozenset()


async def test_the_last_uses_of_an_account(world: World) -> None:
    store = await world.open()
    for fields in ({"grant": "grt_1", "attempt": 1, "chain": ("first", AGENT)}, {"grant": "grt_1"}, {"attempt": 1}):
        await written(store, Insert(execution(store, **fields)))
    (use,) = await store.own.uses(ALICE)
    assert (use.agent, use.grant) == ("first", "grt_1")


async def test_passes_of_whoever_gave_them_or_is_concerned(world: World) -> None:
    store = await world.open()
    now = store.now()

    def standing(**fields: Any) -> Pass:
        values: dict[str, Any] = {
            "id": make_id("pas", store), "digest": "sha256:1", "agent": AGENT, "chain": (AGENT,), "user": ALICE,
            "action": "mailhub.note", "voters": (BO,), "uses": 3, "until": now + 60_000, "created": now,
        }  # fmt: skip
        return Pass(**(values | fields))

    good, other = standing(), standing(user="cy@example.com", voters=(ALICE,))
    spent = [standing(uses=0), standing(until=now - 1), standing(ended="denied"), standing(user=BO, voters=(BO,))]
    await written(store, *(Insert(row) for row in (good, other, *spent)))
    assert {row.id for row in await store.own.passes(ALICE, now)} == {good.id, other.id}
    assert {row.id for row in await store.own.passes("cy@example.com", now)} == {other.id}
    assert await store.own.passes("nobody@example.com", now) == ()


@pytest.mark.parametrize("agent", [AGENT, "*"])
async def test_consents_are_taken_back_beside_a_raise(world: World, agent: str) -> None:
    store = await world.open()
    now = store.now()
    mine, others = grant(store), grant(store, user=BO)
    consents = [
        Consent(grant=of.id, agent=name, scopes=("mail.send",), at=now)
        for of in (mine, others) for name in (AGENT, "otherbot")
    ]  # fmt: skip
    await written(store, *(Insert(row) for row in (mine, others, *consents)))
    stop = Stop(kind="own", id=f"{agent}/{ALICE}", epoch=0, active=True, who=f"person:{ALICE}")
    before = at(store)
    await written(store, Withdraw(ALICE, agent), Raise((stop,)))
    _, left = await store.own.grants(ALICE)
    assert [each.agent for each in left] == ([] if agent == "*" else ["otherbot"])
    assert len((await store.own.grants(BO))[1]) == 2
    # One that was decided before comes too late.
    assert await refused(store, Insert(consents[0]), at=before) == "stopped"


async def test_what_waits_in_a_persons_name_is_made_due(world: World) -> None:
    store = await world.open()
    later = store.now() + 3_600_000
    mine, other, sending = paused(store), paused(store, user=BO), execution(store, due=later)
    asks = [approval_ask(store, of) for of in (mine, other, sending)]
    await written(store, *(Insert(row) for row in (mine, other, sending, *asks)))
    assert await store.due() == ()
    await written(store, Rouse(ALICE, store.now()))
    assert await store.due() == (mine.id,)
    row = await store.execution(mine.id)
    assert row is not None
    assert row.version == mine.version


async def test_a_withdrawal_waits_for_no_consent_that_is_being_written(world: World) -> None:
    """Consents and stops at once, many times: none that was written is left, whatever came first."""
    store, other = await world.open(), await world.second()
    for _ in range(10):
        row = grant(store)
        row = type(row)(**{name: getattr(row, name) for name in row.__struct_fields__} | {"account": row.id})
        await written(store, Insert(row))
        await other.stops()
        stop = Stop(kind="own", id=f"{AGENT}/{ALICE}", epoch=0, active=True, who=f"person:{ALICE}")
        consent = Consent(grant=row.id, agent=AGENT, scopes=("mail.send",), at=store.now())
        ground = at(other)
        await asyncio.gather(
            _try(other, Insert(consent), ground), written(store, Withdraw(ALICE, AGENT), Raise((stop,)))
        )
        assert (await store.own.grants(ALICE))[1] == ()


async def _try(store: Store, op: Any, ground: Any) -> None:
    await store.apply(unit(op, at=ground))


async def test_a_persons_reads_are_served_by_indices(sqlite_world: World) -> None:
    """No read of a page looks at every call or question there is (the plan says so, whatever the machine)."""
    store = await sqlite_world.open()
    own = store.own._texts
    values = {"person": "p", "most": 1, "before": "b", "first": "a", "last": "b", "now": 0}
    with sqlite3.connect(sqlite_world.path) as database:
        for name, index in (
            ("done", "execution_person"), ("done_before", "execution_person"), ("uses", "execution_person"),
            ("votes", "execution_person"), ("held", "ask_open"), ("asks", "ask_open"), ("grants", "grant_person"),
            ("sessions", "session_person"), ("passes", "pass_until"), ("passes_for", "pass_until"),
        ):  # fmt: skip
            text = getattr(own, name)
            plan = database.execute("EXPLAIN QUERY PLAN " + text.sql, text.args(**values)).fetchall()
            said = json.dumps([row[3] for row in plan])
            assert index in said, (name, said)
            for table in ("execution", "ask", "vote", "pass"):
                assert f'"SCAN {table}"' not in said, (name, said)
            assert not (name.startswith("done") and "TEMP B-TREE" in said), said
