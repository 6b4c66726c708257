"""kill -9 while people decide: nothing lost, no card twice, no live button on what is over, every event told."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.crash.findings import judge
from tests.crash.nursery import living
from tests.crash.people import CLAIM, Call, Crowd, Means, rest, run
from tests.crash.test_crash import database
from tests.crash.town import town


@pytest.mark.parametrize(("kind", "kills"), [("sqlite", 12), ("postgresql", 6)])
async def test_what_people_decide_survives_every_kill(
    kind: str, kills: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    figures = await run(tmp_path, database(request, kind), kills=kills, seed=7, calls=5)
    assert figures.findings.wrong == [], figures
    assert figures.calls >= 5, figures


async def test_a_message_that_nobody_recorded_is_closed_when_its_question_was_decided_meanwhile(
    tmp_path: Path,
) -> None:
    """Somebody decides by mail while the message is on its way; the service dies before Slack's answer."""
    async with town(tmp_path, "sqlite:///jit-auth.db") as at:
        async with living(at.kit):
            await at.kit.connected()
        call = Call(0, "send_message", (Means("bo@example.com", "deny", "page"),))
        at.slack.fail("chat.postMessage", "hang")
        async with living(at.kit) as life:
            async with asyncio.timeout(30):
                await Crowd(at, random.Random(1)).play(call)  # noqa: S311 - nothing here is random
                at.trap.arm("slack.chat.postMessage", 1, life.kill)
                at.slack.release()
                await life.wait()
        (message,) = at.slack.messages
        assert at.slack.buttons(message)
        at.offset += CLAIM
        async with living(at.kit, at.offset):
            await rest(at)
        assert at.slack.buttons(message) == []
        assert (await judge(at, [call])).wrong == []
