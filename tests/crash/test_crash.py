"""kill -9 at every step boundary: nothing is lost, nothing that may not be repeated is sent twice.

Each scenario runs once to learn the boundaries it passes, then once for each of them: the process dies there, a new
one starts on the same database, the people finish what is asked of them, the agent repeats its call with the same key.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError

from tests.crash.nursery import living
from tests.integration.service.kit import Answer, Kit, kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
AWAY = (ClientError, OSError, LookupError, AssertionError)

SCENARIOS: dict[str, tuple[str, dict[str, Any]]] = {
    "a write that may not be repeated": ("note", {"text": "once"}),
    "a write that may be repeated": ("note_again", {"text": "again"}),
    "a write that a person approves": ("send_message", SEND),
}


@asynccontextmanager
async def fresh(folder: Path, storage: str) -> AsyncIterator[Kit]:
    await asyncio.to_thread(folder.mkdir)
    async with kit(folder, storage=storage) as found:
        yield found


async def play(world: Kit, action: str, params: dict[str, Any], key: str) -> Answer | None:
    """The agent's and the people's part, as far as it goes; None where the service is gone."""
    with contextlib.suppress(*AWAY):
        answer = await world.execute(action, params=params, key=key, prefer="wait=0")
        for _ in range(8):
            waiting = answer.json.get("waiting_for") or []
            if not waiting:
                break
            if waiting[0]["kind"] == "consent":
                await world.connect(answer)
            else:
                await world.decide(await world.approval_link(answer.json["id"]))
            answer = await world.call("GET", f"/executions/{answer.json['id']}")
        return await world.call("GET", f"/executions/{answer.json['id']}?wait=20")
    return None


async def prelude(world: Kit, action: str) -> int:
    """For calls that nobody approves the account is connected before; gives how many mails that took."""
    if action == "send_message":
        return 0
    answer = await play(world, "note", {"text": "first"}, "first")
    assert answer is not None
    assert answer.json["status"] == "succeeded", answer.json
    return 1


async def points(folder: Path, storage: str, action: str, params: dict[str, Any]) -> list[str]:
    """The boundaries that this scenario passes."""
    trace = folder.with_suffix(".trace")
    async with fresh(folder, storage) as world, living(world, JIT_AUTH_TRACE=str(trace)):
        await prelude(world, action)
        if trace.exists():
            trace.write_text("")
        answer = await play(world, action, params, "k")
        assert answer is not None
        assert answer.json["status"] == "succeeded", answer.json
    return [line for line in trace.read_text().split() if ".card." not in line]


async def crash(folder: Path, storage: str, action: str, params: dict[str, Any], point: str) -> None:
    async with fresh(folder, storage) as world:
        async with living(world, JIT_AUTH_CRASH_AT=point) as first:
            before = await prelude(world, action)
            ended = await play(world, action, params, "k")
            if ended is not None and ended.json["status"] == "succeeded":
                return  # another order of events, which does not pass this point
            async with asyncio.timeout(60):
                await first.wait()
        async with living(world, 90_000):
            answer = await play(world, action, params, "k")
            assert answer is not None, (folder / "stderr.txt").read_text()
            listed = await world.call("GET", "/executions")
        status = answer.json["status"]
        sent = world.mail.counts["POST"] - before
        assert len(listed.json["items"]) == 1 + before, "one key, one execution"
        if action == "note_again":
            assert status == "succeeded", (point, answer.json)
            assert sent >= 1
            return
        assert sent <= 1, (point, "sent twice")
        between = point.startswith(("after.send:", "before.outcome:"))
        assert status == ("unknown" if between else "succeeded"), (point, sent, answer.json)
        assert sent == (0 if point.startswith("after.send:") else 1)


def database(request: pytest.FixtureRequest, kind: str) -> str:
    """A fresh one."""
    if kind == "sqlite":
        return "sqlite:///jit-auth.db"
    return str(request.getfixturevalue("postgres_server").database())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_nothing_is_lost_and_nothing_is_sent_twice(
    scenario: str, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    action, params = SCENARIOS[scenario]
    for number, point in enumerate(await points(tmp_path / "trace", database(request, kind), action, params)):
        await crash(tmp_path / str(number), database(request, kind), action, params, point)
