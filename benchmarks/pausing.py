"""Calls that pause for a person, are decided by their links, and complete: what a `jit-auth serve` is loaded with.

An agent's `POST /execute` is answered 202; the approver's link is read from the line that `serve` prints on loopback;
`POST /approvals/{ticket}` decides; `GET /executions/{id}?wait=` answers when the call's outcome is committed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.wire import Wire, request
from benchmarks.world import APPROVERS, PARAMS, USER, Service

AT_ONCE = 16
"""Calls under way."""
PATIENCE = 60.0
"""Seconds until all links of what was asked are printed."""


def _nothing(number: int) -> None:
    """What is done where nobody wants to know."""


class Pausing:
    """The agents and the approvers of one service, on so many connections."""

    def __init__(self, service: Service, at_once: int = AT_ONCE) -> None:
        self._service = service
        self._at_once = at_once
        self._numbers = itertools.count()
        self._asked: list[tuple[int, str, str]] = []
        """Number, execution and round."""
        self._printed = service.printed.open()
        self._begun = ""
        """Of a line that is being printed."""
        self._links: dict[str, str] = {}

    def __enter__(self) -> Pausing:
        return self

    def __exit__(self, *raised: object) -> None:
        self._printed.close()

    async def pause(self, *, seconds: float = float("inf"), count: int = 1_000_000) -> tuple[int, float]:
        """Ask so many times, or for so long; how many, in how many seconds. Every one is paused, durably."""
        left = itertools.count()
        end = 0.0

        async def agent(wire: Wire) -> None:
            while next(left) < count and time.perf_counter() < end:
                number = next(self._numbers)
                subject = f"{number % APPROVERS:02} number {number}."
                body = {"action": "mailhub.send_message", "user": USER, "params": PARAMS | {"subject": subject}}
                status, answer = await wire.ask(self._request("POST", "/execute", body, token=self._service.token))
                told = json.loads(answer)
                assert status == 202, told
                self._asked.append((number, told["id"], told["waiting_for"][0]["id"]))

        before = len(self._asked)
        async with self._connected() as wires:
            begun = time.perf_counter()
            end = begun + seconds
            await asyncio.gather(*(agent(wire) for wire in wires))
            return len(self._asked) - before, time.perf_counter() - begun

    async def shown(self) -> None:
        """Until every approver has a link to what was asked."""
        end = time.perf_counter() + PATIENCE
        while True:
            for read in self._printed:
                self._begun += read
                if not self._begun.endswith("\n"):
                    continue  # a line that crosses a page of the file is seen before it is whole
                line, self._begun = self._begun, ""
                word, _, rest = line.partition(" ")
                if word == "approve":
                    ask, _, url = rest.split()
                    self._links[ask] = urllib.parse.urlsplit(url).path
            if all(ask in self._links for _, _, ask in self._asked):
                return
            if time.perf_counter() > end:
                raise SystemExit(f"{len(self._asked)} asked, {len(self._links)} links printed")
            await asyncio.sleep(0.01)

    async def resume(
        self, *, before: Callable[[int], object] = _nothing, after: Callable[[int], object] = _nothing
    ) -> tuple[int, float]:
        """Approve all, each until its call has succeeded; how many, in how many seconds. `before` and `after` each
        decision they are told the call's number (it stands in the subject)."""
        asked, self._asked = self._asked[::-1], []
        count = len(asked)

        async def person(wire: Wire) -> None:
            while asked:
                number, execution, ask = asked.pop()
                vote = self._request("POST", self._links.pop(ask), {"decision": "approve"})
                before(number)
                status, answer = await wire.ask(vote)
                after(number)
                assert status == 200, answer[:1000]
                look = self._request("GET", f"/executions/{execution}?wait=30", token=self._service.token)
                told = json.loads((await wire.ask(look))[1])
                assert told["status"] == "succeeded", told

        async with self._connected() as wires:
            begun = time.perf_counter()
            await asyncio.gather(*(person(wire) for wire in wires))
            return count, time.perf_counter() - begun

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[list[Wire]]:
        """New ones: the service ends those that say nothing for a while."""
        wires = [await Wire.open(self._service.port) for _ in range(self._at_once)]
        try:
            yield wires
        finally:
            for wire in wires:
                wire.close()

    def _request(self, method: str, path: str, body: Any = None, *, token: str = "") -> bytes:
        return request(method, self._service.port, path, body, token=token)
