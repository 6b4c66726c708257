"""`unknown` exactly where nobody can know, and no second send of what may not be repeated (THREAT_MODEL 9)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import Answer, Kit


async def note(world: Kit, action: str = "note", **more: Any) -> Answer:
    return await world.execute(action, params={"text": "x"}, **more)


async def settled(world: Kit, execution_id: str, seconds: int = 90) -> Any:
    """Let time pass until it is over."""
    assert world.service is not None
    for _ in range(seconds):
        found = (await world.call("GET", f"/executions/{execution_id}")).json
        if found["status"] not in ("executing", "paused"):
            return found
        world.clock.offset += 1000
        world.service.worker.wake()
        await asyncio.sleep(0.01)
    return found


@pytest.mark.parametrize("faults", [["hang-up", "401", "401"], ["hang-up", "401-bare", "401-bare"]], ids=str)
async def test_a_refused_credential_says_nothing_about_the_lost_attempt_before(ready: Kit, faults: list[str]) -> None:
    ready.mail.faults = faults
    answer = await note(ready, "note_again", prefer="wait=0")
    done = await settled(ready, answer.json["id"])
    assert len(ready.mail.messages) == 2, "the first attempt was done (the other note connected the account)"
    assert (done["status"], done["error"]["code"]) == ("unknown", "outcome_unknown"), done


async def test_a_scope_that_is_missing_says_nothing_about_the_lost_attempt_before(ready: Kit) -> None:
    ready.mail.faults = ["hang-up", "403"]
    answer = await note(ready, "note_again", prefer="wait=0")
    done = await settled(ready, answer.json["id"])
    assert done["status"] == "unknown", done


async def test_a_limit_says_nothing_about_the_lost_attempt_before(ready: Kit) -> None:
    ready.mail.faults = ["hang-up", "429:3600"]
    answer = await note(ready, "note_again", prefer="wait=0")
    assert (await settled(ready, answer.json["id"]))["status"] == "unknown"


async def test_an_answer_after_a_lost_attempt_is_the_answer(ready: Kit) -> None:
    ready.mail.faults = ["hang-up-early"]
    answer = await note(ready, "note_again", prefer="wait=0")
    assert (await settled(ready, answer.json["id"]))["status"] == "succeeded"
    assert ready.mail.counts["POST"] == 2


@pytest.mark.parametrize("fault", ["hang-up", "hang-up-early", "408", "502", "504"])
async def test_never_is_never_sent_twice_whatever_became_of_it(ready: Kit, fault: str) -> None:
    ready.mail.faults = [fault]
    answer = await note(ready)
    assert answer.json["status"] == "unknown"
    for _ in range(5):
        ready.clock.offset += 60_000
        assert ready.service is not None
        await ready.service.worker.turn()
    assert ready.mail.counts["POST"] == 1


async def test_a_403_whose_news_cannot_be_written_is_no_unknown(ready: Kit, meddler: Meddler) -> None:
    ready.mail.faults = ["403"]
    meddler.fail("before", "grant.scopes_changed")
    answer = await note(ready, prefer="wait=0")
    done = await settled(ready, answer.json["id"], 60)
    assert done["status"] != "unknown", done


async def test_a_401_whose_refresh_cannot_be_written_is_no_unknown(ready: Kit, meddler: Meddler) -> None:
    ready.mail.faults = ["401"]
    meddler.fail("before", "refresh")
    answer = await note(ready, prefer="wait=0")
    done = await settled(ready, answer.json["id"], 50)
    assert done["status"] in ("failed", "succeeded"), done


async def test_an_intent_whose_commit_nobody_knows_of_sends_nothing(ready: Kit, meddler: Meddler) -> None:
    meddler.fail("after", "send")
    answer = await note(ready)
    assert (answer.status, answer.json["code"]) == (503, "storage_unavailable")
    assert ready.mail.counts["POST"] == 0
    ready.clock.offset += 120_000
    assert ready.service is not None
    await ready.service.worker.turn()
    assert ready.mail.counts["POST"] == 0
