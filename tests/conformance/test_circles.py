"""What waits for people: copies, open questions, tallies, approvals for a while; and units with several records."""

from __future__ import annotations

import sqlite3
from typing import Any

from jit_auth.model import Applied, Change, Insert, Outbox, Pass, Stale, Tally, Unit
from jit_auth.storage.store import Store
from tests.conformance.world import (
    AGENT,
    ALICE,
    BO,
    World,
    approval_ask,
    audit,
    card,
    consent_ask,
    execution,
    idem,
    make_id,
    refused,
    together,
    unit,
    written,
)

HOUR = 3_600_000


def standing(store: Store, **fields: Any) -> Pass:
    now = store.now()
    values: dict[str, Any] = {
        "id": make_id("pas", store), "digest": "sha256:1", "agent": AGENT, "chain": (AGENT,), "user": ALICE,
        "action": "mailhub.note", "account": "1234", "voters": (BO,), "ask": "apr_1", "touch": "sha256:t",
        "summary": "Leave a note", "uses": 2, "until": now + HOUR, "created": now,
    }  # fmt: skip
    return Pass(**(values | fields))


async def test_a_pass_is_found_by_its_digest_while_it_can_be_used(world: World) -> None:
    store = await world.open()
    good = standing(store)
    rows = [good, standing(store, uses=0), standing(store, until=store.now()), standing(store, ended="denied"),
            standing(store, digest="sha256:2")]  # fmt: skip
    await written(store, *(Insert(row) for row in rows))
    assert await store.circles.passes("sha256:1") == (good,)
    assert {found.digest for found in await store.circles.passes()} == {"sha256:1", "sha256:2"}
    assert await store.standing(rows[3].id) == rows[3]
    world.clock.offset += HOUR
    assert await store.circles.passes("sha256:1") == ()


async def test_of_two_units_for_the_last_use_one_gets_it(world: World) -> None:
    store = await world.open()
    row = standing(store, uses=1)
    await written(store, Insert(row))
    answers = await together(*(store.apply(unit(Change(row, {"uses": 0}))) for _ in range(8)))
    assert sum(isinstance(answer, Applied) for answer in answers) == 1
    assert {answer.which for answer in answers if isinstance(answer, Stale)} == {"version"}


async def test_a_tally_is_counted_without_loss_and_swept_past_its_time(world: World) -> None:
    store = await world.open()
    key, until = '["mailbot","alice@example.com","pay",{"to":"x"}]', store.now() + HOUR

    async def count() -> None:
        while True:
            known = (await store.circles.crowd(AGENT, key, 0)).tally
            op = (Insert(Tally(key=key, times=1, until=until)) if known is None
                  else Change(known, {"times": known.times + 1, "denied_at": store.now()}))  # fmt: skip
            if isinstance(await store.apply(unit(op)), Applied):
                return

    await together(*(count() for _ in range(10)))
    found = (await store.circles.crowd(AGENT, key, 0)).tally
    assert found is not None
    assert (found.times, found.key) == (10, key)
    assert (await store.circles.crowd(AGENT, key + "?", 0)).tally is None
    for table in await world.sql("SELECT * FROM tally"):
        assert b"alice" not in repr(table).encode()
    world.clock.offset += HOUR
    await store.sweep()
    assert (await store.circles.crowd(AGENT, key, 0)).tally is None


async def test_paused_executions_are_counted_no_further_than_asked(world: World) -> None:
    store = await world.open()
    rows = [execution(store, state="paused") for _ in range(4)] + [execution(store), execution(store, agent="other")]
    await written(store, *(Insert(row) for row in rows))
    assert (await store.circles.crowd(AGENT, "k", 100)).paused == 4
    assert (await store.circles.crowd(AGENT, "k", 3)).paused == 3
    assert (await store.circles.crowd("nobody", "k", 3)).paused == 0


async def test_open_questions_and_a_persons_copies_of_them(world: World) -> None:
    store = await world.open()
    one, two = execution(store, state="paused"), execution(store, state="paused")
    asks = [approval_ask(store, one), approval_ask(store, two), consent_ask(store, one), approval_ask(store, one)]
    asks[3] = approval_ask(store, one, state="superseded")
    cards = [card(store, asks[0]), card(store, asks[1], person="channel:slack"), card(store, asks[3]),
             card(store, asks[1], role="notice"), card(store, asks[1])]  # fmt: skip
    await written(store, *(Insert(row) for row in (one, two, *asks, *cards)))
    found = await store.circles.open_asks("approval")
    assert [ask.id for ask, _ in found] == sorted([asks[0].id, asks[1].id])
    assert {(ask.id, about.id) for ask, about in found} == {(asks[0].id, one.id), (asks[1].id, two.id)}
    assert len(await store.circles.open_asks()) == 3
    assert [one.id for one in await store.circles.open_cards(BO)] == sorted([cards[0].id, cards[4].id])
    assert [one.id for one in await store.circles.open_cards("channel:slack")] == [cards[1].id]
    assert await store.circles.open_cards("stranger@example.com") == ()


async def test_what_a_person_was_shown_lately_is_counted(world: World) -> None:
    store = await world.open()
    row = execution(store, state="paused")
    ask = approval_ask(store, row, expires=store.now() + 48 * HOUR)
    cards = [
        card(store, ask, ref="r", via="email"),
        card(store, ask, via="email"),
        card(store, ask, ref="r"),
        card(store, ask, ref="gathered", via="email"),
        card(store, ask, ref="none", via="email"),
        card(store, ask, ref="r", via="email", role="notice"),
    ]
    await written(store, Insert(row), Insert(ask), *(Insert(one) for one in cards))
    assert await store.circles.shown_since(BO, "email", store.now() - HOUR) == 1
    assert await store.circles.shown_since(ALICE, "email", store.now() - HOUR) == 0
    world.clock.offset += 2 * HOUR
    assert await store.circles.shown_since(BO, "email", store.now() - HOUR) == 0


async def test_the_last_ones_of_an_action_that_are_over(world: World) -> None:
    store = await world.open()
    rows = []
    for number in range(8):
        rows.append(execution(store, state="succeeded" if number != 3 else "paused"))
        world.clock.offset += 1
    other = execution(store, action="mailhub.other", state="denied")
    await written(store, *(Insert(row) for row in (*rows, other)))
    found = await store.circles.recent(AGENT, "mailhub.send_message", 5)
    assert [row.id for row in found] == [rows[number].id for number in (7, 6, 5, 4, 2)]


async def test_a_gathered_card_and_an_event_have_neither_question_nor_user(world: World) -> None:
    store = await world.open()
    now = store.now()
    gathered = card(store, approval_ask(store, execution(store)), role="gather", ask="", execution="")
    event = Outbox(id=make_id("out", store), kind="event", agent=AGENT, endpoint="callback",
                   url="http://127.0.0.1:9/x", payload='{"type":"x"}', due=now, until=now + HOUR)  # fmt: skip
    loose = Outbox(id=make_id("out", store), kind="event", endpoint="webhook:ops", payload="{}", due=now, until=now + 1)
    await written(store, Insert(gathered), Insert(event), Insert(loose))
    assert {row.id: row for row in await store.outbox_due()} == {event.id: event, loose.id: loose}
    assert [found.id for found in await store.cards_due()] == [gathered.id]
    for row in await world.sql("SELECT * FROM outbox"):
        assert b"127.0.0.1" not in repr(row).encode()


async def test_a_unit_with_several_records_is_written_whole(world: World) -> None:
    store = await world.open()
    one, two = execution(store, state="paused"), execution(store, state="paused")
    await written(store, Insert(one), Insert(two))
    both = Unit(None, (Change(one, {"due": 1}), Change(two, {"due": 1})), audit(execution=one.id),
                (audit(execution=two.id),))  # fmt: skip
    assert isinstance(await store.apply(both), Applied)
    assert [await recorded(store, row.id) for row in (one, two)] == [1, 1]
    assert isinstance(await store.apply(both), Stale)
    assert [await recorded(store, row.id) for row in (one, two)] == [1, 1]
    assert (await store.audit.verify()).breaks == ()


async def test_what_has_to_be_told_is_written_with_the_unit_or_not_at_all(world: World) -> None:
    store = await world.open()
    now, row = store.now(), execution(store)

    def told(unit: Unit) -> tuple[Insert, ...]:
        made = Outbox(id=make_id("out", store), kind="event", endpoint="webhook:ops", payload="{}", due=now, until=now)
        return (Insert(made),)

    store.outbox = told
    await written(store, Insert(row))
    assert len(await store.outbox_due()) == 1
    assert await refused(store, Insert(row)) == "exists"
    assert len(await store.outbox_due()) == 1


async def recorded(store: Store, execution_id: str) -> int:
    return len([row async for row in store.audit.rows(execution=execution_id)])


async def test_events_after_a_row_leave_nothing_out(world: World) -> None:
    first, second = await world.open(), await world.second()
    row = execution(first, state="paused")
    await written(first, Insert(row))
    for number in range(6):
        store = (first, second)[number % 2]
        known = await store.execution(row.id)
        assert known is not None
        told = audit(execution=row.id, what=({"do": f"n{number}"},))
        assert isinstance(await store.apply(Unit(None, (Change(known, {"due": number}),), told)), Applied)
    ids = [entry.id for entry in await first.audit.after(row.id, None)]
    assert len(ids) == 6
    named = ids[1]
    later = [entry.id for entry in await first.audit.after(row.id, named)]
    assert named not in later
    assert set(ids[2:]) <= set(later)
    assert len(await first.audit.after(row.id, "prc_nosuch-7")) == 6
    assert len(await first.audit.after(row.id, "nonsense")) == 6


async def test_a_call_that_goes_straight_through_is_in_no_list_of_events(world: World) -> None:
    store = await world.open()
    row = execution(store, intent=True)
    await written(store, Insert(row), Insert(idem(row)))
    known = await store.execution(row.id)
    assert known is not None
    await written(store, Change(known, {"state": "succeeded", "intent": False}))
    assert await store.audit.after(row.id, None) == ()


async def test_consents_without_a_call_are_found_by_agent_and_person_and_swept_a_week_after(world: World) -> None:
    store = await world.open()
    now = store.now()
    before: Any = {
        "execution": "", "actions": ("mailhub.note",), "epoch": 7, "another": True, "return_url": "http://b/",
        "account_id": "1234", "answered": now, "expires": now + HOUR,
    }  # fmt: skip
    call = execution(store, user=ALICE)
    mine = [consent_ask(store, call, **before) for _ in range(2)]
    others = [
        consent_ask(store, call), consent_ask(store, call, **before, agent="other"),
        consent_ask(store, call, **before, user=BO),
    ]  # fmt: skip
    closed = consent_ask(store, call, **before, state="met")
    await written(store, *(Insert(ask) for ask in (*mine, *others, closed)))
    assert set(await store.circles.connecting(AGENT, ALICE)) == {*mine, closed}
    assert await store.circles.connecting(AGENT, "nobody@example.com") == ()
    assert set(await store.circles.connecting_to(ALICE, 10)) == {*mine, others[1]}
    assert await store.circles.connecting_now(AGENT, 10) == 3
    assert await store.circles.connecting_now(AGENT, 2) == 2
    world.clock.offset += HOUR
    assert await store.circles.connecting_now(AGENT, 10) == 0
    await store.sweep()
    assert len(await store.circles.connecting(AGENT, ALICE)) == 3
    world.clock.offset += 7 * 24 * HOUR
    await store.sweep()
    assert await store.circles.connecting(AGENT, ALICE) == ()
    assert await store.ask(others[0].id) is not None, "a call's question stays with it"


async def test_reads_of_consents_without_a_call_are_served_by_an_index(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    values = {"agent": "a", "person": "p", "now": 0, "most": 1}
    with sqlite3.connect(sqlite_world.path) as database:
        for name in ("connecting", "connecting_to", "connecting_now"):
            text = getattr(store.circles._texts, name)
            plan = database.execute("EXPLAIN QUERY PLAN " + text.sql, text.args(**values)).fetchall()
            said = str([row[3] for row in plan])
            assert "SEARCH ask USING INDEX" in said, (name, said)
