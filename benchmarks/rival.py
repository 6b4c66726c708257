"""A process that is measured beside ours: it takes orders on stdin, and tells what came of each on stdout (JSON lines).

`{"do": "pause", "seconds": 2.0}` lets so many calls at once pause for a person for so long; `{"do": "resume"}` decides
all of them, each until its call has been made and its end is durable. Both are answered `{"count", "seconds",
"processor"}`; an empty line ends it. Imports the standard library alone: it runs where that other package is installed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from benchmarks.wire import Wire, request

CALL = {
    "to": ["bob@example.com"],
    "subject": "The numbers of the week",
    "body": "Hello Bob, please find the numbers of the week below. Revenue is up by four percent, costs are flat.",
}
Pause = Callable[[str], Awaitable[object]]
"""Begin the call of this name; return where its pause is durable."""
Resume = Callable[[str], Awaitable[object]]
"""Approve it; return where it has been made and its end is durable."""


class Api:
    """The API that calls go to."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Wire] = []

    async def post(self, call: dict[str, Any]) -> dict[str, Any]:
        """One call, on a kept connection."""
        wire = self._idle.pop() if self._idle else await Wire.open(self._port)
        status, body = await wire.ask(request("POST", self._port, "/v1/messages", call, token="x"))
        self._idle.append(wire)
        assert status == 201
        answer: dict[str, Any] = json.loads(body)
        return answer


async def obey(pause: Pause, resume: Resume, at_once: int) -> None:
    """Until the empty line."""
    print(json.dumps({"ready": True}), flush=True)
    numbers = itertools.count()
    waiting: list[str] = []
    while order := (await asyncio.to_thread(sys.stdin.readline)).strip():
        told = json.loads(order)
        begun, used = time.perf_counter(), time.process_time()
        if told["do"] == "pause":
            end = begun + told["seconds"]

            async def agent(end: float = end, paused: list[str] = waiting) -> None:
                while time.perf_counter() < end:
                    name = f"call-{next(numbers)}"
                    await pause(name)
                    paused.append(name)

            await _each(agent, at_once)
            count = len(waiting)
        else:
            count, waiting = len(waiting), waiting[::-1]

            async def person(left: list[str] = waiting) -> None:
                while left:
                    await resume(left.pop())

            await _each(person, at_once)
        spent = {"seconds": time.perf_counter() - begun, "processor": time.process_time() - used}
        print(json.dumps({"count": count, **spent}), flush=True)


async def _each(work: Callable[[], Coroutine[Any, Any, None]], at_once: int) -> None:
    await asyncio.gather(*(work() for _ in range(at_once)))
