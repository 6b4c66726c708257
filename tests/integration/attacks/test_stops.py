"""Kill switches thrown at the worst moment (THREAT_MODEL 9, 25)."""

from __future__ import annotations

import contextlib

import pytest

from jit_auth.engine.memory import Memory
from jit_auth.engine.withdrawals import Withdrawals
from tests.fakes.browser import Browser
from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
SUBJECTS = [("agent", "mailbot"), ("user", "alice@example.com"), ("provider", "mailhub"), ("connector", "mailhub")]


async def grant_id(world: Kit) -> str:
    assert world.service is not None
    grants, _ = await world.service.store.grants("alice@example.com", "mailhub")
    return grants[0].id


@pytest.mark.parametrize(("kind", "id"), [*SUBJECTS, ("grant", "")])
async def test_a_stop_between_judgement_and_intent_stops_the_send(
    ready: Kit, meddler: Meddler, kind: str, id: str
) -> None:
    id = id or await grant_id(ready)
    meddler.do("before", "send", lambda: meddler.stop(kind, id))
    answer = await ready.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert ready.mail.counts["POST"] == 0


@pytest.mark.parametrize("agent", ["mailbot", "*"])
async def test_an_agent_stopped_by_its_user_between_judgement_and_intent_sends_nothing_for_them(
    ready: Kit, meddler: Meddler, agent: str
) -> None:
    bob = await ready.execute("note", user="bob@example.com", params={"text": "x"})
    await ready.connect(bob, user="bob")
    assert (await ready.ended(bob.json["id"]))["status"] == "succeeded"
    ready.mail.counts.clear()
    meddler.do("before", "send", lambda: meddler.stop("own", f"{agent}/alice@example.com"))
    answer = await ready.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert "user has stopped" in answer.json["detail"]
    assert ready.mail.counts["POST"] == 0
    # Another user's call that was decided before the very same stop goes on.
    meddler.do("before", "send", lambda: meddler.stop("own", f"{agent}/alice@example.com"))
    went = await ready.execute("note", user="bob@example.com", params={"text": "y"})
    assert went.json["status"] == "succeeded"
    assert ready.mail.counts["POST"] == 1


async def test_what_a_user_takes_back_between_judgement_and_intent_is_not_used(ready: Kit, meddler: Meddler) -> None:
    assert ready.service is not None
    withdrawals = Withdrawals(
        ready.service.store, Memory(ready.service.store), ready.service.engine.current, ready.service.engine.dispatcher
    )
    grant = await grant_id(ready)
    meddler.do("before", "send", lambda: withdrawals.withdraw("alice@example.com", grant, "mailbot"))
    answer = await ready.execute("note", params={"text": "x"})
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"]
    assert ready.mail.counts["POST"] == 0


async def test_an_account_disconnected_between_judgement_and_intent_is_not_used(ready: Kit, meddler: Meddler) -> None:
    assert ready.service is not None
    withdrawals = Withdrawals(
        ready.service.store, Memory(ready.service.store), ready.service.engine.current, ready.service.engine.dispatcher
    )
    grant = await grant_id(ready)
    meddler.do("before", "send", lambda: withdrawals.disconnect("alice@example.com", grant))
    answer = await ready.execute("note", params={"text": "x"})
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"]
    assert ready.mail.counts["POST"] == 0


async def test_an_account_disconnected_during_a_refresh_gives_the_new_token_back(ready: Kit, meddler: Meddler) -> None:
    assert ready.service is not None
    withdrawals = Withdrawals(
        ready.service.store, Memory(ready.service.store), ready.service.engine.current, ready.service.engine.dispatcher
    )
    grant = await grant_id(ready)
    ready.clock.offset += 3_590_000
    ready.provider.revoked.clear()
    meddler.do("before", "refresh", _nothing, lambda: withdrawals.disconnect("alice@example.com", grant))
    answer = await ready.execute("list_messages")
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"]
    await ready.service.worker.turn()
    assert not ready.provider.families[-1].live
    assert ready.mail.counts["GET"] == 0


async def test_a_halt_between_judgement_and_intent_is_503_halted_and_leaves_nothing(
    ready: Kit, meddler: Meddler
) -> None:
    meddler.do("before", "send", lambda: meddler.stop("all", ""))
    answer = await ready.execute("note", params={"text": "x"}, key="k")
    assert (answer.status, answer.json["code"]) == (503, "halted"), answer.json
    assert ready.mail.counts["POST"] == 0
    await meddler.stop("all", "", active=False)
    assert ready.service is not None
    await ready.service.worker._renew()
    assert (await ready.execute("note", params={"text": "x"}, key="k")).json["status"] == "succeeded"


async def test_a_halt_between_judgement_and_intent_is_503_also_where_nobody_waits(ready: Kit, meddler: Meddler) -> None:
    meddler.do("before", "send", lambda: meddler.stop("all", ""))
    answer = await ready.execute("note", params={"text": "x"}, prefer="wait=0")
    assert (answer.status, answer.json["code"]) == (503, "halted"), answer.json


async def test_a_halt_just_before_a_question_asks_nobody(world: Kit, meddler: Meddler) -> None:
    meddler.do("before", "ask", lambda: meddler.stop("all", ""))
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (503, "halted"), answer.json
    assert (await world.call("GET", "/executions")).json["items"] == []


@pytest.mark.parametrize(("kind", "id"), SUBJECTS)
async def test_a_consent_link_from_before_a_stop_connects_nothing_after_it(
    world: Kit, meddler: Meddler, kind: str, id: str
) -> None:
    answer = await world.execute("list_messages")
    await meddler.stop(kind, id)
    assert world.service is not None
    await world.service.worker._renew()
    async with Browser() as browser:
        await browser.get(answer.json["waiting_for"][0]["url"])
        with contextlib.suppress(LookupError):
            await browser.submit()
            await browser.consent()
    grants, consents = await world.service.store.grants("alice@example.com", "mailhub")
    assert (grants, consents) == ((), ())
    assert (await world.ended(answer.json["id"]))["error"]["code"] == "revoked"


@pytest.mark.parametrize(("kind", "id"), SUBJECTS)
async def test_a_stop_during_the_trip_revokes_what_comes_back(world: Kit, meddler: Meddler, kind: str, id: str) -> None:
    answer = await world.execute("list_messages")
    meddler.do("after", "connect.callback", lambda: meddler.stop(kind, id))
    browser = await world.connect(answer)
    assert browser.page.status >= 400
    assert world.service is not None
    grants, consents = await world.service.store.grants("alice@example.com", "mailhub")
    assert (grants, consents) == ((), ())
    await world.service.worker.turn()
    assert len(world.provider.revoked) == 2
    assert not any(family.live for family in world.provider.families)


async def test_a_stop_that_was_lifted_during_the_trip_still_counts(world: Kit, meddler: Meddler) -> None:
    answer = await world.execute("list_messages")

    async def thrown_and_lifted() -> None:
        await meddler.stop("user", "alice@example.com")
        await meddler.stop("user", "alice@example.com", active=False)

    meddler.do("after", "connect.callback", thrown_and_lifted)
    browser = await world.connect(answer)
    assert browser.page.status >= 400
    # The link is still good: what was lifted does not bar a new trip.
    assert world.service is not None
    await world.service.worker._renew()
    await world.connect(answer)
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"


async def test_a_grant_that_was_stopped_during_a_trip_gets_no_new_token(ready: Kit, meddler: Meddler) -> None:
    ready.mail.faults = ["403"]
    answer = await ready.execute("note", params={"text": "x"})
    assert ready.service is not None
    (before,), _ = await ready.service.store.grants("alice@example.com", "mailhub")
    meddler.do("after", "connect.callback", lambda: meddler.stop("grant", before.id))
    await ready.connect(answer)
    (after,), _ = await ready.service.store.grants("alice@example.com", "mailhub")
    assert after.token == before.token


async def test_a_stop_during_a_refresh_gives_the_new_token_back(ready: Kit, meddler: Meddler) -> None:
    ready.clock.offset += 3_590_000
    ready.provider.revoked.clear()

    meddler.do("before", "refresh", _nothing, lambda: meddler.stop("user", "alice@example.com"))
    answer = await ready.execute("list_messages")
    assert (answer.status, answer.json["code"]) == (403, "revoked"), answer.json
    assert ready.service is not None
    await ready.service.worker.turn()
    assert len(ready.provider.revoked) == 2
    assert ready.mail.counts["GET"] == 0


async def test_a_stopped_person_casts_no_vote(ready: Kit, meddler: Meddler) -> None:
    answer = await ready.execute("send_message", params=SEND)
    link = await ready.approval_link(answer.json["id"])
    await meddler.stop("user", "ana@example.com")
    refused = await ready.decide(link)
    assert refused.status >= 400, refused.json
    assert ready.mail.counts["POST"] == 0


async def test_a_vote_of_somebody_who_was_stopped_since_opens_no_send(world: Kit, meddler: Meddler) -> None:
    answer = await world.execute("send_message", params=SEND)
    assert (await world.decide(await world.approval_link(answer.json["id"]))).status == 200
    meddler.do("before", "grant.created", lambda: meddler.stop("user", "ana@example.com"))
    await world.connect(answer)
    found = await world.ended(answer.json["id"])
    assert (found["status"], found["error"]["code"]) == ("denied", "no_approver")
    assert world.mail.counts["POST"] == 0


async def test_a_voter_stopped_between_recount_and_intent_opens_no_send(ready: Kit, meddler: Meddler) -> None:
    answer = await ready.execute("send_message", params=SEND)
    meddler.do("before", "send", lambda: meddler.stop("user", "ana@example.com"))
    await ready.decide(await ready.approval_link(answer.json["id"]))
    await ready.call("GET", f"/executions/{answer.json['id']}?wait=1")
    assert ready.mail.counts["POST"] == 0


async def _nothing() -> None:
    pass
