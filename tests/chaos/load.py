"""Agents that call all the time, repeat with the same key what was not answered, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientError

from tests.integration.service.kit import Answer, Kit

AWAY = (ClientError, OSError, TimeoutError)
ONCE = "note"
"""The action that is sent at most once (retry = never)."""
AGAIN = "note_again"
"""The action that may be repeated (retry = idempotent)."""
PATIENCE = 45.0
"""Seconds for one answer. (A call may be retried for 30 s.)"""


async def until(true: Callable[[], bool], seconds: float) -> None:
    """Look again and again. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.01)


@dataclass
class Call:
    """One call. `begun`, `ended`: when it was made and when its end was told (monotonic seconds)."""

    word: str
    action: str
    begun: float
    ended: float = float("inf")
    ids: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        return f"key-{self.word}"


@dataclass
class Load:
    """So many agents, spread over the kits (replicas of one service), until `stop`."""

    kits: Sequence[Kit]
    chance: random.Random
    agents: int = 6
    pause: float = 0.0
    calls: list[Call] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    """Codes of what was answered 5xx, by how often; every one is followed by the same call again."""
    wrong: list[str] = field(default_factory=list)
    """Answers that no agent should ever get."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stopped: bool = False

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._agent()) for _ in range(self.agents)]

    async def stop(self, seconds: float = 90.0) -> None:
        """No new calls; wait for the answers to those that were made. Raises TimeoutError."""
        self._stopped = True
        async with asyncio.timeout(seconds):
            await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def done(self) -> int:
        """How many calls have ended."""
        return sum(call.ended < float("inf") for call in self.calls)

    async def progress(self, more: int, seconds: float = 60.0) -> None:
        """Until so many more calls have ended: the service works. Raises TimeoutError."""
        goal = self.done + more
        await until(lambda: self.done >= goal, seconds)

    async def refused(self, code: str, seconds: float = 60.0) -> None:
        """Until somebody has been answered with this code. Raises TimeoutError."""
        await until(lambda: self.refusals[code] > 0, seconds)

    async def _agent(self) -> None:
        while not self._stopped:
            call = Call(f"call-{len(self.calls):06}", self.chance.choice((ONCE, ONCE, AGAIN)), time.monotonic())
            self.calls.append(call)
            await self._insist(call)
            await asyncio.sleep(self.pause)

    async def _insist(self, call: Call) -> None:
        """Again and again, with one key, until the service says what is now."""
        while True:
            kit = self.chance.choice(self.kits)
            try:
                async with asyncio.timeout(PATIENCE):
                    answer = await kit.execute(call.action, params={"text": call.word}, key=call.key)
            except AWAY:
                await asyncio.sleep(0.02)
                continue
            if answer.status == 503:
                self.refusals[answer.json["code"]] += 1
                await asyncio.sleep(0.02)
                continue
            self._told(call, answer)
            return

    def _told(self, call: Call, answer: Answer) -> None:
        body: Any = answer.json
        if answer.status not in (200, 202):
            self.wrong.append(f"{call.word}: {answer.status} {body}")
            return
        call.ids.add(body["id"])
        if body["status"] not in ("executing", "paused"):
            call.ended = time.monotonic()
