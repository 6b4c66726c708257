"""kill -9 between a consent and what it unblocks: every call that waited for it is taken up by the next process."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.crash.nursery import living
from tests.crash.test_crash import AWAY
from tests.integration.service.kit import kit


async def test_all_that_waited_for_a_consent_are_resumed(tmp_path: Path) -> None:
    async with kit(tmp_path) as world:
        async with living(world, JIT_AUTH_CRASH_AT="after.grant.created:1") as first:
            calls = [await world.execute("note", params={"text": str(number)}) for number in range(3)]
            with contextlib.suppress(*AWAY):
                await world.connect(calls[0])
            async with asyncio.timeout(30):
                await first.wait()
        assert world.mail.counts["POST"] == 0
        async with living(world):
            ended = [await world.ended(call.json["id"]) for call in calls]
        assert [found["status"] for found in ended] == ["succeeded"] * 3
        assert world.mail.counts["POST"] == 3
