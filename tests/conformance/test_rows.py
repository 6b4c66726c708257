"""Every record comes back as it was written, and every op and refusal does what the model says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from jit_auth.model import (
    Applied,
    Ask,
    Card,
    Change,
    Consent,
    Decision,
    Delete,
    Execution,
    Insert,
    Raise,
    Result,
    Stale,
    Token,
    Touch,
    Trouble,
    Vote,
    Want,
)
from jit_auth.storage.rows import SHAPES
from tests.conformance.world import (
    ALICE,
    BO,
    World,
    approval_ask,
    audit,
    card,
    consent_ask,
    execution,
    flow,
    grant,
    idem,
    outbox,
    refused,
    together,
    unit,
    vote,
    written,
)

replace = msgspec.structs.replace


async def test_an_execution_comes_back_as_it_was_written(world: World) -> None:
    store = await world.open()
    full = execution(
        store, state="paused", chain=("lead", "mailbot"), verified=False, reason="Because\nit is \u202e due",
        asked_account="work", account="1234", account_name="alice@mailhub.example", grant="grt_1",
        decision=Decision("require_approval", ("a", "b"), ("why",), (Want((f"user:{BO}",), 1, 60_000, ("a",)),),
                          ("r: broken",), "sha256:p", ("page",)),
        intent=True, attempt=3, process="prc_1", deadline=1, due=2, not_after=3, met=4, trouble_since=5, tries=6,
        refreshed=True, rescoped=True, params={"n": 1.0, "i": 1, "deep": {"list": [None, True, "ü"]}},
        result=Result(201, {"etag": "x"}, {"a": [1, 2.5]}, True), error=Trouble("code", "message", "hint", BO, "no"),
    )  # fmt: skip
    await written(store, Insert(full))
    assert await store.execution(full.id) == full
    bare = execution(store, user=None)
    await written(store, Insert(bare))
    assert await store.execution(bare.id) == bare
    assert await store.execution("exe_none") is None


async def test_a_result_that_json_libraries_refuse_is_still_recorded(world: World) -> None:
    store = await world.open()
    one = execution(store)
    await written(store, Insert(one))
    odd = Result(200, {}, {"lone": "\ud800", "big": 2**80, "neg": -(2**70)})
    await written(store, Change(one, {"result": odd, "state": "succeeded"}))
    found = await store.execution(one.id)
    assert found is not None
    assert found.result == odd


async def test_asks_votes_and_cards_come_with_their_execution(world: World) -> None:
    store = await world.open()
    paused = execution(store, state="paused")
    consent, approval = consent_ask(store, paused), approval_ask(store, paused)
    copy, said = card(store, approval, ref="ts-1", process=store.process), vote(store, approval)
    other = vote(store, approval, person=ALICE, verdict="deny", feedback=None)
    await written(store, *(Insert(row) for row in (paused, consent, approval, copy, said, other)))
    opened = await store.opened(paused.id)
    assert opened is not None
    assert opened.execution == paused
    assert set(opened.asks) == {consent, approval}
    assert await store.cards(paused.id) == (copy,)
    assert {v.person: v for v in opened.votes} == {BO: said, ALICE: other}
    assert await store.ask(approval.id) == approval
    assert await store.card(copy.id) == copy
    assert await store.opened("exe_none") is None


async def test_grants_come_with_their_consents_and_without_their_tokens(world: World) -> None:
    store = await world.open()
    one, two = grant(store, id="grt_1"), grant(store, id="grt_2", account="5678", scopes=())
    gone = grant(store, account="9", state="revoked")
    foreign = grant(store, user=BO)
    may = Consent(grant=one.id, agent="mailbot", scopes=("mail.read",), at=store.now())
    other = Consent(grant=foreign.id, agent="mailbot", scopes=("mail.read",), at=store.now())
    await written(store, *(Insert(row) for row in (one, two, gone, foreign, may, other)))
    grants, consents = await store.grants(ALICE, "mailhub")
    assert [replace(g, token=None) for g in grants] == [replace(g, token=None) for g in (one, two)]
    assert all(isinstance(g.token, bytes) and b"secret" not in g.token for g in grants)
    assert consents == (may,)
    assert await store.reveal(grants[0]) == one.token
    assert await store.grants("nobody@example.com", "mailhub") == ((), ())
    assert await store.grants(ALICE, "other") == ((), ())
    found = await store.grant(gone.id)
    assert found is not None
    assert found.state == "revoked"


async def test_flows_outbox_and_idempotency_keys_come_back(world: World) -> None:
    store = await world.open()
    one, trip, owed = execution(store), flow(store), outbox(store)
    key = idem(one)
    await written(store, *(Insert(row) for row in (one, trip, owed, key)))
    assert await store.flow(trip.id) == trip
    (found,) = await store.outbox_due()
    assert replace(found, token=owed.token) == owed
    assert await store.reveal(found) == owed.token
    row = await store.idem(key.scope)
    assert row is not None
    assert (row.scope, row.execution, row.until) == (key.scope, one.id, key.until)
    assert store.same_body(row, key.body)
    assert not store.same_body(row, "sha256:other")
    assert await store.idem("another") is None


async def test_changes_raise_the_version_and_touch_only_what_they_name(world: World) -> None:
    store = await world.open()
    row = execution(store, state="paused", open_key="k")
    await written(store, Insert(row))
    to: dict[str, Any] = {
        "state": "succeeded", "open_key": None, "result": Result(200, {}, "ok"), "met": 7, "reason": "changed",
        "chain": ("a", "b"), "updated": row.updated + 1,
    }  # fmt: skip
    await written(store, Change(row, to))
    assert await store.execution(row.id) == replace(row, version=2, **to)
    held = grant(store)
    allowed = Consent(grant=held.id, agent="mailbot", scopes=("a",), at=1)
    await written(store, Insert(held), Insert(allowed))
    await written(store, Change(held, {"token": Token(access="new")}), Change(allowed, {"scopes": ("a", "b")}))
    (found,), (consent,) = await store.grants(ALICE, "mailhub")
    assert (found.version, await store.reveal(found)) == (2, Token(access="new"))
    assert consent == replace(allowed, version=2, scopes=("a", "b"))
    key = idem(row)
    await written(store, Insert(key))
    await written(store, Change(key, {"until": 1}))
    again = await store.idem(key.scope)
    assert again is not None
    assert again.until == 1


async def test_a_deleted_row_is_gone_and_is_deleted_once(world: World) -> None:
    store = await world.open()
    trip, said = flow(store), Consent(grant="grt_1", agent="mailbot", at=1)
    await written(store, Insert(trip), Insert(said))
    assert await refused(store, Delete(replace(trip, version=2))) == "version"
    await written(store, Delete(trip), Delete(said))
    assert await store.flow(trip.id) is None
    assert await refused(store, Delete(trip)) == "version"
    assert await refused(store, Delete(said)) == "version"


async def test_a_touched_ask_makes_its_cards_due_and_outdates_whoever_shows_them(world: World) -> None:
    store = await world.open()
    paused = execution(store, state="paused")
    one, two = approval_ask(store, paused), approval_ask(store, paused)
    mine, other = card(store, one, due=None), card(store, two, due=None)
    await written(store, Insert(mine), Insert(other))
    assert await store.cards_due() == ()
    await written(store, Touch(one.id, store.now()))
    (due,) = await store.cards_due()
    assert (due.id, due.version) == (mine.id, 2)
    assert await refused(store, Change(mine, {"shown": 1, "due": None})) == "version"
    await written(store, Change(due, {"shown": 1, "due": None}))
    assert await store.cards_due() == ()


async def test_every_taken_key_has_its_word(world: World) -> None:
    store = await world.open()
    paused = execution(store, state="paused", open_key="same call")
    ask = approval_ask(store, paused)
    key, said, held = idem(paused), vote(store, ask), grant(store)
    await written(store, *(Insert(row) for row in (paused, ask, key, said, held)))
    fresh = execution(store)
    assert await refused(store, Insert(fresh), Insert(idem(fresh))) == "idem"
    assert await refused(store, Insert(execution(store, state="paused", open_key="same call"))) == "open"
    assert await refused(store, Insert(vote(store, ask, verdict="deny"))) == "vote"
    assert await refused(store, Insert(ask)) == "exists"
    assert await refused(store, Insert(grant(store))) == "exists"
    assert await refused(store, Change(paused, {"state": "executing"}), Insert(ask)) == "exists"
    assert await refused(store, Change(replace(paused, version=9), {"state": "executing"})) == "version"
    other = execution(store, state="paused")
    await written(store, Insert(other))
    assert await refused(store, Change(other, {"open_key": "same call"})) == "open"
    both = execution(store, state="paused", open_key="same call")
    assert await refused(store, Insert(both), Insert(idem(both))) == "idem"
    joined = await store.joined("same call")
    assert joined is not None
    assert joined.id == paused.id
    # Nothing of the refused units is there.
    assert await store.execution(fresh.id) is None
    assert await store.execution(paused.id) == replace(paused, open_key=joined.open_key)


async def test_a_refused_unit_leaves_no_audit_row(world: World) -> None:
    store = await world.open()
    await written(store, Insert(execution(store)))
    ((before,),) = await world.sql("SELECT count(*) FROM audit")
    await refused(store, Change(execution(store), {"state": "failed"}))
    ((after,),) = await world.sql("SELECT count(*) FROM audit")
    assert before == after


async def test_a_revoked_grant_frees_its_account_for_a_new_row(world: World) -> None:
    store = await world.open()
    first = grant(store)
    await written(store, Insert(first))
    await written(store, Change(first, {"state": "revoked", "token": None}))
    await written(store, Insert(grant(store)))
    (found,), _ = await store.grants(ALICE, "mailhub")
    assert found.id != first.id
    assert await refused(store, Change(replace(first, version=2), {"state": "live"})) == "exists"


async def test_a_lost_compare_never_fails_its_neighbours(world: World) -> None:
    store = await world.open()
    rows = [execution(store) for _ in range(30)]
    await written(store, *(Insert(row) for row in rows))
    ask = approval_ask(store, rows[0])
    units = [unit(Change(row, {"state": "succeeded"})) for row in rows[:10]]
    units += [unit(Change(replace(row, version=5), {"state": "failed"})) for row in rows[10:20]]
    units += [unit(Insert(execution(store)), Insert(vote(store, ask))) for _ in range(3)]
    lost = replace(rows[21], version=5)
    units += [unit(Change(rows[20], {"state": "failed"}), Change(lost, {"state": "failed"}))]
    answers = await together(*(store.apply(one) for one in units))
    assert [type(answer) for answer in answers[:10]] == [Applied] * 10
    assert answers[10:20] == [Stale("version", store.epoch)] * 10
    assert [type(answer) for answer in answers[20:23]].count(Applied) == 1
    assert answers[23] == Stale("version", store.epoch)
    untouched = await store.execution(rows[20].id)
    assert untouched == rows[20]


async def test_units_for_one_row_follow_each_other(world: World) -> None:
    store = await world.open()
    row = execution(store)
    await written(store, Insert(row))
    chain = [unit(Change(replace(row, version=1 + n), {"tries": n + 1})) for n in range(20)]
    answers = await together(*(store.apply(one) for one in chain))
    assert all(isinstance(answer, Applied) for answer in answers)
    found = await store.execution(row.id)
    assert found is not None
    assert (found.version, found.tries) == (21, 20)


async def test_a_unit_that_cannot_be_written_says_so_at_once(world: World) -> None:
    store = await world.open()
    row = execution(store)
    with pytest.raises(TypeError, match="cannot be changed"):
        await store.apply(unit(Change(row, {"version": 3})))
    with pytest.raises(TypeError, match="cannot be changed"):
        await store.apply(unit(Change(row, {"nonsense": 3})))
    with pytest.raises(TypeError, match="touches one row"):
        await store.apply(unit(Insert(row), Change(row, {"state": "failed"})))
    with pytest.raises(TypeError, match="once"):
        await store.apply(unit(Raise(), Raise()))
    with pytest.raises(TypeError, match="in the clear"):
        await store.apply(unit(Insert(grant(store, token=b"sealed elsewhere"))))


async def test_a_value_that_the_database_refuses_fails_its_unit_alone(world: World) -> None:
    store = await world.open()
    await written(store, Insert(execution(store)))
    good, bad = execution(store), execution(store, due=2**70)
    answers = await together(
        *(store.apply(unit(Insert(row))) for row in (good, bad)), store.apply(unit(Insert(execution(store)))),
        return_exceptions=True,
    )  # fmt: skip
    assert isinstance(answers[0], Applied)
    assert isinstance(answers[2], Applied)
    assert type(answers[1]).__name__ == "StorageError"
    assert not answers[1].unknown


def test_every_field_of_every_record_has_a_place() -> None:
    for kind, shape in SHAPES.items():
        placed = {
            *shape.plain,
            *shape.lists,
            *shape.macs,
            *shape.derived,
            shape.holder,
            "token" if shape.token else None,
        }
        placed.update(name for group in shape.groups() for name in group.fields)
        assert {field.name for field in msgspec.structs.fields(kind)} <= placed
        assert shape.columns() == tuple(column.name for column in shape.table.c)
    assert {Execution, Ask, Vote, Card} <= set(SHAPES)
    assert audit().user == ALICE
