"""What becomes of a call: refused credentials, missing scopes, outages, limits, lost answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.service.kit import ADMIN, Answer, Kit


async def note(world: Kit, action: str = "note", **more: str) -> Answer:
    return await world.execute(action, params={"text": "x"}, **more)


@pytest.fixture
async def ready(world: Kit) -> Kit:
    await world.connected()
    world.mail.counts.clear()
    world.provider.counts.clear()
    return world


def over(found: Any) -> bool:
    return found["status"] not in ("executing", "paused")


def asks_people(found: Any) -> bool:
    return bool(found["waiting_for"])


async def settle(world: Kit, execution_id: str, seconds: int = 70, *, until: Callable[[Any], bool] = over) -> Any:
    """Let time pass, one second at a time, until it is over."""
    for _ in range(seconds):
        found = (await world.call("GET", f"/executions/{execution_id}")).json
        if until(found):
            return found
        world.clock.offset += 1000
        assert world.service is not None
        world.service.worker.wake()
        await asyncio.sleep(0.02)
    return found


async def test_a_refused_token_is_refreshed_once_and_the_call_sent_again(ready: Kit) -> None:
    ready.mail.faults = ["401"]
    answer = await note(ready)
    assert answer.json["status"] == "succeeded", answer.json
    assert (ready.mail.counts["POST"], ready.provider.counts["refresh_token"]) == (2, 1)


async def test_a_second_refusal_is_a_failure(ready: Kit) -> None:
    ready.mail.faults = ["401", "401"]
    answer = await note(ready)
    assert (answer.status, answer.json["status"], answer.json["error"]["code"]) == (200, "failed", "unauthorized")
    assert answer.json["result"]["status"] == 401
    assert ready.mail.counts["POST"] == 2


async def test_a_401_that_does_not_say_invalid_token_may_have_run(ready: Kit) -> None:
    ready.mail.faults = ["401-bare"]
    answer = await note(ready)
    assert answer.json["status"] == "failed"
    assert ready.mail.counts["POST"] == 1
    ready.mail.faults = ["401-bare"]
    assert (await note(ready, "note_again")).json["status"] == "succeeded"


async def test_a_scope_that_the_provider_misses_is_asked_for_once(ready: Kit) -> None:
    ready.mail.faults = ["403"]
    answer = await note(ready)
    assert answer.status == 202
    (item,) = answer.json["waiting_for"]
    assert item["missing_scopes"] == ["mail.send"]
    await ready.connect(answer)
    done = await ready.ended(answer.json["id"])
    assert done["status"] == "succeeded", done
    ready.mail.faults = ["403", "403"]
    answer = await note(ready)
    await ready.connect(answer)
    done = await ready.ended(answer.json["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "insufficient_scope")


async def test_a_plain_403_is_the_providers_answer(ready: Kit) -> None:
    ready.mail.faults = ["403-bare"]
    assert (await note(ready)).json["status"] == "failed"


async def test_rate_limits_within_a_minute_are_honoured(ready: Kit) -> None:
    ready.mail.faults = ["429:7"]
    answer = await note(ready, prefer="wait=0")
    assert answer.status == 202
    done = await settle(ready, answer.json["id"])
    assert done["status"] == "succeeded"
    ready.mail.faults = ["429:3600"]
    answer = await note(ready)
    assert (answer.json["status"], answer.json["error"]["code"]) == ("failed", "rate_limited")
    ready.mail.faults = ["429:soon"]
    assert (await note(ready)).json["status"] == "failed"


async def test_a_503_with_retry_after_counts_as_not_executed_unless_it_may_not_be_repeated(ready: Kit) -> None:
    ready.mail.faults = ["503:2"]
    answer = await note(ready, "note_again", prefer="wait=0")
    assert (await settle(ready, answer.json["id"]))["status"] == "succeeded"
    ready.mail.faults = ["503:2"]
    answer = await note(ready)
    assert (answer.json["status"], answer.json["result"]["status"]) == ("failed", 503)


@pytest.mark.parametrize("fault", ["hang-up", "408", "502", "504"])
async def test_a_lost_answer(ready: Kit, fault: str) -> None:
    ready.mail.faults = [fault]
    answer = await note(ready)
    assert (answer.status, answer.json["status"]) == (200, "unknown")
    assert ready.mail.counts["POST"] == 1
    ready.mail.faults = [fault]
    again = await note(ready, "note_again", prefer="wait=0")
    assert (await settle(ready, again.json["id"]))["status"] == "succeeded"


async def test_a_write_that_never_gets_an_answer_becomes_unknown_and_a_read_failed(ready: Kit) -> None:
    ready.mail.faults = ["502"] * 20
    answer = await note(ready, "note_again", prefer="wait=0")
    done = await settle(ready, answer.json["id"], 90)
    assert done["status"] == "unknown"
    ready.mail.faults = ["502"] * 20
    read = await ready.execute("list_messages", prefer="wait=0")
    done = await settle(ready, read.json["id"], 90)
    assert (done["status"], done["error"]["code"]) == ("failed", "provider_unavailable")


async def test_an_operator_resolves_what_is_unknown_once(ready: Kit) -> None:
    ready.mail.faults = ["hang-up"]
    path = f"/executions/{(await note(ready)).json['id']}/resolve"
    body = {"outcome": "succeeded", "note": "seen in the outbox"}
    assert (await ready.call("POST", path, body)).status == 401
    assert (await ready.call("POST", path, {"outcome": "succeeded"}, token=ADMIN)).status == 422
    resolved = await ready.call("POST", path, body, token=ADMIN)
    assert (resolved.status, resolved.json["status"]) == (200, "succeeded")
    assert (await ready.call("POST", path, body, token=ADMIN)).status == 409


async def test_the_providers_refusal_is_kept(ready: Kit) -> None:
    ready.mail.faults = ["500"]
    answer = await note(ready)
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert (answer.json["result"]["status"], answer.json["result"]["body"]) == (500, "no")
    assert answer.json["result"]["untrusted"] is True


async def test_redirects(ready: Kit) -> None:
    ready.mail.faults = [f"redirect:{ready.mail.url}/messages"]
    assert (await ready.execute("list_messages")).json["result"]["body"] == {"messages": ready.mail.messages}
    ready.mail.faults = ["redirect:http://127.0.0.1:1/elsewhere"]
    answer = await ready.execute("list_messages")
    assert (answer.json["status"], answer.json["result"]["status"]) == ("succeeded", 302)
    assert "location" not in answer.json["result"]["headers"]
    ready.mail.faults = [f"redirect:{ready.mail.url}/messages"]
    assert (await note(ready)).json["result"]["status"] == 302
    assert ready.mail.counts["POST"] == 1


async def test_an_echoed_credential_is_scrubbed(ready: Kit) -> None:
    ready.mail.faults = ["echo"]
    answer = await note(ready)
    assert answer.json["status"] == "succeeded"
    token = ready.provider.families[-1].access
    assert token not in str(answer.json)
    assert "[removed]" in str(answer.json)


async def test_24_callers_on_one_expired_token_refresh_it_once(ready: Kit) -> None:
    ready.clock.offset += 3_590_000
    answers = await asyncio.gather(*(ready.execute("list_messages") for _ in range(24)))
    assert {answer.json["status"] for answer in answers} == {"succeeded"}
    assert ready.provider.counts["refresh_token"] == 1


EARLY = (400, "application/json", '{"error":"access_denied","error_description":"access_token not expired"}')


@pytest.mark.parametrize("fault", [EARLY, (503, "text/html", "busy")])
async def test_a_refresh_that_is_refused_for_now_holds_nothing_up_while_the_token_lasts(
    ready: Kit, fault: tuple[int, str, str]
) -> None:
    ready.clock.offset += 3_550_000  # fifty seconds are left
    ready.provider.faults = [fault]
    assert (await note(ready)).json["status"] == "succeeded"
    assert (ready.mail.counts["POST"], ready.provider.counts["refresh_token"]) == (1, 1)
    ready.clock.offset += 50_000  # none are left
    ready.provider.faults = [fault]
    answer = await note(ready, prefer="wait=0")
    assert answer.json["status"] == "executing"
    assert ready.mail.counts["POST"] == 1
    assert (await settle(ready, answer.json["id"]))["status"] == "succeeded"


async def test_a_refresh_whose_answer_was_lost_sends_nothing_with_the_old_token(ready: Kit) -> None:
    """At many providers it died with the refresh."""
    ready.clock.offset += 3_550_000
    ready.provider.hang_up = ["after"]
    answer = await note(ready, prefer="wait=0")
    assert answer.json["status"] in ("executing", "paused")
    await ready.connect(Answer(200, {}, await settle(ready, answer.json["id"], until=asks_people)))
    assert (await ready.ended(answer.json["id"]))["status"] == "succeeded"
    assert ready.mail.counts["POST"] == 1


async def test_a_token_without_a_refresh_token_is_used_until_it_is_refused_and_then_asked_for(world: Kit) -> None:
    """GitHub's and Slack's tokens that do not expire: what ends them is their user, at the provider."""
    world.provider.odd.give_refresh_token, world.provider.odd.expires_in = False, None
    await world.connected()
    world.clock.offset += 400 * 24 * 3_600_000
    assert (await note(world)).json["status"] == "succeeded"
    for family in world.provider.families:
        family.live = False
    sent = world.mail.counts["POST"]
    answer = await note(world)
    assert (answer.status, world.mail.counts["POST"]) == (202, sent + 1)
    await world.connect(answer)
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
    assert world.provider.counts["refresh_token"] == 0


async def test_a_dead_refresh_token_asks_for_consent_and_connecting_recovers_the_grant(ready: Kit) -> None:
    for family in ready.provider.families:
        family.live = False
    ready.clock.offset += 3_600_000
    answer = await note(ready)
    assert answer.status == 202, answer.json
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"]
    await ready.connect(answer)
    assert (await ready.ended(answer.json["id"]))["status"] == "succeeded"


async def test_keys_make_one_execution(ready: Kit) -> None:
    answers = await asyncio.gather(*(note(ready, key="k1") for _ in range(10)))
    assert len({answer.json["id"] for answer in answers}) == 1
    assert {answer.json["status"] for answer in answers} <= {"succeeded", "executing"}
    assert ready.mail.counts["POST"] == 1
    other = await ready.execute("note", params={"text": "y"}, key="k1")
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    denied = await ready.execute("delete_message", params={"id": "1"}, key="k2")
    again = await ready.execute("delete_message", params={"id": "1"}, key="k2")
    assert (denied.status, again.status) == (403, 403)
    assert denied.json["execution"]["id"] == again.json["execution"]["id"]
