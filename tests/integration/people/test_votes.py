"""Groups, quorum, requesters, edits, approvals for a while, denials: through HTTP, on a whole service."""

from __future__ import annotations

import asyncio

from tests.integration.people.conftest import links
from tests.integration.service.kit import Kit

MAIL = {"to": ["x@example.com"], "subject": "hi"}


async def test_two_rules_need_two_people_and_one_in_both_groups_counts_once(world: Kit) -> None:
    asked = await world.execute("send_message", params=MAIL)
    assert asked.status == 202
    found = await links(world, asked.json["id"])
    assert set(found) == {"ana@example.com", "bo@example.com", "cy@example.com", "dee@example.com"}  # never alice
    waits = asked.json["waiting_for"]
    assert [(one["from"], one["need"]) for one in waits] == [(["group:directors"], 1), (["group:finance"], 1)]
    assert len({one["id"] for one in waits}) == 1
    assert (await world.decide(found["cy@example.com"])).json["status"] == "paused"
    assert (await world.decide(found["cy@example.com"])).status == 409
    done = await world.decide(found["ana@example.com"])
    assert done.status == 200
    assert (await world.ended(asked.json["id"]))["status"] == "succeeded"
    late = await world.decide(found["dee@example.com"])
    assert (late.status, late.json["code"]) == (409, "already_decided")
    assert {one["by"] for one in late.json["decided"]} == {"ana@example.com", "cy@example.com"}


async def test_whom_no_allowed_channel_reaches_cannot_be_asked(world: Kit) -> None:
    answer = await world.execute("delete_message", params={"id": "m1"})
    if answer.status == 202:  # the consent comes first
        raise AssertionError(answer.json)
    assert (answer.status, answer.json["execution"]["error"]["code"]) == (403, "no_approver")


async def test_an_approval_for_a_while_covers_the_same_call_as_often_as_allowed(world: Kit) -> None:
    first = await world.execute("note", params={"text": "again"})
    found = await links(world, first.json["id"])
    too_long = await world.decide(found["ana@example.com"], **{"for": "2h"})
    assert (too_long.status, too_long.json["code"]) == (422, "invalid_params")
    assert (await world.decide(found["ana@example.com"], **{"for": "30m"})).status == 200
    assert (await world.ended(first.json["id"]))["status"] == "succeeded"
    for _ in range(2):
        assert (await world.execute("note", params={"text": "again"})).json["status"] == "succeeded"
    assert (await world.execute("note", params={"text": "another"})).status == 202
    assert (await world.execute("note", params={"text": "again"})).status == 202  # both uses are taken


async def test_an_approval_for_a_while_ends_with_its_time_and_with_a_denial(world: Kit) -> None:
    first = await world.execute("note", params={"text": "a"})
    found = await links(world, first.json["id"])
    await world.decide(found["ana@example.com"], **{"for": "30m"})
    await world.ended(first.json["id"])
    world.clock.offset += 31 * 60_000
    again = await world.execute("note", params={"text": "a"})
    assert again.status == 202
    found = await links(world, again.json["id"])
    await world.decide(found["bo@example.com"], **{"for": "30m"})
    await world.ended(again.json["id"])
    assert (await world.execute("note", params={"text": "a"})).json["status"] == "succeeded"


async def test_an_edit_drops_the_votes_asks_anew_and_its_editor_does_not_decide(world: Kit) -> None:
    asked = await world.execute("note", params={"text": "pay 100"})
    execution_id = asked.json["id"]
    before = await links(world, execution_id)
    other = await world.decide(before["ana@example.com"], params={"nosuch": 1})
    assert other.status == 422
    edited = await world.decide(before["ana@example.com"], params={"text": "pay 10"})
    assert edited.status == 200, edited.json
    now = (await world.call("GET", f"/executions/{execution_id}")).json
    assert now["params"] == {"text": "pay 10"}
    assert now["edited_by"]
    assert now["waiting_for"][0]["id"] != asked.json["waiting_for"][0]["id"]
    assert (await world.decide(before["bo@example.com"])).json["code"] == "superseded"
    after = await links(world, execution_id)
    assert set(after) == {"bo@example.com", "cy@example.com"}
    await world.decide(after["bo@example.com"])
    done = await world.ended(execution_id)
    assert (done["status"], done["params"]) == ("succeeded", {"text": "pay 10"})


async def test_an_edit_that_cannot_be_sent_is_refused_and_changes_nothing(world: Kit) -> None:
    """Two lines fit the schema of a subject, and no header."""
    asked = await world.execute("send_mail", params=MAIL | {"text": "t"})
    found = await links(world, asked.json["id"])
    edited = await world.decide(found["ana@example.com"], params={"subject": "hi\nBcc: eve@evil.example"})
    assert (edited.status, edited.json["code"]) == (422, "invalid_params")
    assert edited.json["faults"][0]["pointer"] == "/params/subject"
    assert (await world.decide(found["ana@example.com"])).status == 200
    done = await world.ended(asked.json["id"])
    assert (done["status"], done["params"]["subject"]) == ("succeeded", "hi")


async def test_a_denied_agent_that_asks_every_second_gets_one_card(world: Kit) -> None:
    asked = await world.execute("note", params={"text": "again and again"})
    found = await links(world, asked.json["id"])
    await world.decide(found["bo@example.com"], "deny", feedback="no")
    printed = len(world.printed)
    for _ in range(20):
        world.clock.offset += 1_000
        answer = await world.execute("note", params={"text": "again and again"})
        assert (answer.status, answer.json["execution"]["error"]["code"]) == (403, "recently_denied")
    assert len(world.printed) == printed
    world.clock.offset += 600_000
    assert (await world.execute("note", params={"text": "again and again"})).status == 202


async def test_twenty_equal_calls_while_one_is_paused_are_one(world: Kit) -> None:
    first = await world.execute("note", params={"text": "same"}, key="k0")
    await links(world, first.json["id"])
    printed = len(world.printed)
    answers = await asyncio.gather(*(world.execute("note", params={"text": "same"}, key=f"k{n}") for n in range(1, 20)))
    assert {answer.json["id"] for answer in answers} == {first.json["id"]}
    assert all(answer.json["joined"] for answer in answers)
    assert len(world.printed) == printed
    again = await world.execute("note", params={"text": "same"}, key="k7")
    assert again.json["id"] == first.json["id"]
    mismatch = await world.execute("note", params={"text": "other"}, key="k7")
    assert (mismatch.status, mismatch.json["code"]) == (422, "idempotency_mismatch")


async def test_reminders_warnings_and_escalation_come_once_each(world: Kit) -> None:
    asked = await world.execute("note_again", params={"text": "slow"})
    found = await links(world, asked.json["id"])
    assert set(found) == {"ana@example.com", "bo@example.com", "cy@example.com"}
    world.clock.offset += 61 * 60_000
    assert world.service is not None
    await world.service.worker.turn()
    found = await links(world, asked.json["id"])
    for _ in range(300):
        if "dee@example.com" in (found := await links(world, asked.json["id"])):
            break
        await asyncio.sleep(0.01)
    assert (await world.decide(found["dee@example.com"])).status == 200
    assert (await world.decide(found["ana@example.com"])).status == 200
    assert (await world.ended(asked.json["id"]))["status"] == "succeeded"
    facts = [fact async for row in world.service.store.audit.rows(execution=asked.json["id"]) for fact in row.what]
    assert [fact["do"] for fact in facts].count("escalate") == 1
    assert [fact["do"] for fact in facts].count("remind") == 1


async def test_what_is_told_at_once_is_what_is_read_afterwards(world: Kit) -> None:
    """Nobody else is connected: a consent, and approvals of one or two groups, are asked at once; again by key, and by
    an equal call that joins."""
    for number, (action, params) in enumerate(
        (("send_message", MAIL), ("note", {"text": "t"}), ("note", {"text": "x"}))
    ):
        call = {"params": params, "user": "gil@example.com"}
        first = (await world.execute(action, key=f"told-{number}", **call)).json
        kinds = [item["kind"] for item in first["waiting_for"]]
        assert kinds == ["consent", *["approval"] * (2 - number)]
        read = (await world.call("GET", f"/executions/{first['id']}")).json
        again = (await world.execute(action, key=f"told-{number}", **call)).json
        joined = (await world.execute(action, prefer="wait=0", **call)).json
        assert joined.pop("joined")
        assert first == read == again == joined
