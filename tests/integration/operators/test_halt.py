"""Halt and resume: nothing is sent, people go on deciding, and no deadline passes meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.operators.conftest import admin, command, facts
from tests.integration.service.kit import Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
WHY = {"reason": "an incident"}


async def ready(world: Kit) -> tuple[int, str]:
    async with world.session.get(world.url + "/readyz") as reply:
        return reply.status, await reply.text()


async def test_halted_nothing_is_sent_and_votes_count(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    link = await world.approval_link(paused)
    halted = await admin(world, "halt", WHY, role="operator")
    assert (halted.status, halted.json["halted"]) == (200, True)
    assert await ready(world) == (503, "halted")
    for action, params in (("note", {"text": "x"}), ("list_messages", {}), ("send_message", SEND)):
        answer = await world.execute(action, params=params)
        assert (answer.status, answer.json["code"]) == (503, "halted"), action
        assert int(answer.headers["Retry-After"]) > 0
    assert (await world.decide(link)).status == 200
    assert (await world.call("GET", f"/executions/{paused}?wait=1")).json["status"] == "paused"
    assert world.mail.counts["POST"] == 0
    resumed = await admin(world, "resume", {"reason": "over"}, role="operator")
    assert (resumed.status, resumed.json["halted"]) == (200, False)
    assert await ready(world) == (200, "ok")
    assert (await world.ended(paused))["status"] == "succeeded"
    assert world.mail.counts["POST"] == 1
    told = [(fact["do"], fact["why"], fact["actor"]) for fact in await facts(world, "halted", "resumed")]
    assert told == [("halted", "an incident", "admin:operator"), ("resumed", "over", "admin:operator")]


async def test_a_consent_given_while_halted_counts_afterwards(world: Kit) -> None:
    waits = await world.execute("note", user="bob@example.com", params={"text": "x"})
    await admin(world, "halt", WHY)
    await world.connect(waits, user="bob")
    assert (await world.call("GET", f"/executions/{waits.json['id']}")).json["status"] == "paused"
    await admin(world, "resume", WHY)
    assert (await world.ended(waits.json["id"]))["status"] == "succeeded"


@pytest.mark.parametrize("resumed", [False, True])
async def test_deadlines_stand_still(world: Kit, resumed: bool) -> None:
    paused = (await world.execute("send_message", params=SEND, expires_in=600)).json["id"]
    link = await world.approval_link(paused)
    world.clock.offset += 300_000
    await admin(world, "halt", WHY)
    world.clock.offset += 86_400_000
    assert world.service is not None
    await world.service.worker.turn()
    assert (await world.call("GET", f"/executions/{paused}")).json["status"] == "paused"
    if resumed:
        await admin(world, "resume", WHY)
        world.clock.offset += 200_000
        await world.service.worker.turn()
    assert (await world.decide(link)).status == 200, "the link lives as long as the request"
    if not resumed:
        world.clock.offset += 86_400_000
        await admin(world, "resume", WHY)
    assert (await world.ended(paused))["status"] == "succeeded"


async def test_after_a_halt_the_rest_of_the_time_is_left_and_no_more(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND, expires_in=600)).json["id"]
    link = await world.approval_link(paused)
    for _ in range(2):
        await admin(world, "halt", WHY)
        world.clock.offset += 3_600_000
        await admin(world, "resume", WHY)
        world.clock.offset += 290_000
    assert world.service is not None
    await world.service.worker.turn()
    assert (await world.call("GET", f"/executions/{paused}")).json["status"] == "paused"
    world.clock.offset += 30_000
    await world.service.worker.turn()
    assert (await world.call("GET", f"/executions/{paused}")).json["status"] == "expired"
    assert (await world.decide(link)).status == 410
    later = (await world.execute("send_message", params={**SEND, "subject": "later"}, expires_in=60)).json["id"]
    world.clock.offset += 61_000
    await world.service.worker.turn()
    assert (await world.call("GET", f"/executions/{later}")).json["status"] == "expired", "it has seen no halt"


async def test_a_halt_between_decision_and_intent_stops_the_send(world: Kit, meddler: Meddler) -> None:
    meddler.do("before", "send", lambda: admin(world, "halt", WHY))
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (503, "halted")
    assert world.mail.counts["POST"] == 0


async def test_halting_twice_and_resuming_what_runs(world: Kit) -> None:
    first = await admin(world, "halt", WHY)
    world.clock.offset += 60_000
    second = await admin(world, "halt", {"reason": "still"})
    assert first.json["since"] == second.json["since"]
    assert (await admin(world, "resume", WHY)).json["seconds"] >= 60
    assert (await admin(world, "resume", WHY)).json == {"halted": False, "seconds": 0.0}


async def test_a_reason_may_be_left_out_and_else_is_words(world: Kit) -> None:
    wrong: list[Any] = [{"reason": reason} for reason in ("", "  ", 7, "x" * 2001)]
    for body in wrong:
        for path in ("halt", "resume"):
            assert (await admin(world, path, body)).status == 422, (path, body)
    assert (await admin(world, "halt", {"reason": "x", "why": "y"})).json["code"] == "unknown_field"
    assert await ready(world) == (200, "ok")
    for nothing in (None, {}, {"reason": None}):
        assert (await admin(world, "halt", nothing)).json["halted"] is True
        assert await ready(world) == (503, "halted")
        assert (await admin(world, "resume", nothing)).json["halted"] is False
    assert not any("why" in fact for fact in await facts(world, "halted", "resumed"))


async def test_by_command(world: Kit) -> None:
    ran = await command(world, "halt", "--reason", "an incident")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("halted since ")
    world.clock.offset += 1_000
    assert await ready(world) == (503, "halted"), "at once, though another process halted"
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (503, "halted")
    ran = await command(world, "resume", "--reason", "over", "--json")
    assert (ran.code, ran.json["halted"]) == (0, False)
    world.clock.offset += 1_000
    assert await ready(world) == (200, "ok")
    assert (await world.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    assert [fact["actor"] for fact in await facts(world, "halted", "resumed")] == ["operator", "operator"]
    for words in (("halt",), ("resume",), ("halt", "--reason")):
        assert (await command(world, *words)).code == 2, words


@pytest.mark.parametrize("many", [4, 16])
async def test_many_at_once_are_all_answered(world: Kit, many: int) -> None:
    halts = await asyncio.gather(*(admin(world, "halt", {"reason": f"no {n}"}) for n in range(many)))
    assert {(answer.status, answer.json["halted"]) for answer in halts} == {(200, True)}
    assert await ready(world) == (503, "halted")
    assert len(await facts(world, "halted")) == many
    mixed = await asyncio.gather(*(admin(world, ("halt", "resume")[n % 2], WHY) for n in range(many)))
    assert {answer.status for answer in mixed} == {200}
    resumes = await asyncio.gather(*(admin(world, "resume", WHY) for _ in range(many)))
    assert {(answer.status, answer.json["halted"]) for answer in resumes} == {(200, False)}
    assert await ready(world) == (200, "ok")
