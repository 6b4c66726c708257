"""Long polls: who waits in this process for an execution to move, woken by what this process commits.

Another replica's commits are seen by looking again every second. Nothing here is needed for correctness.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection

from jit_auth.errors import TooMany
from jit_auth.model import Execution

PER_AGENT = 256
"""Waits on executions at a time, per agent (THREAT_MODEL 23)."""
LOOK_AGAIN = 1.0
"""Seconds."""


class Wait(asyncio.Event):
    """One who waits for one execution."""

    def __init__(self, through: Collection[str]) -> None:
        super().__init__()
        self.through = through
        self.row: Execution | None = None
        """As it was when this was set, where that is known."""


class Waits:
    """The waiters of one process."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[Wait]] = defaultdict(set)
        self._agents: defaultdict[str, int] = defaultdict(int)
        self._counted: dict[Wait, str] = {}
        self.stopped: Callable[[str], bool] = lambda agent: False
        """Whether an agent was stopped: it waits for nothing any more."""
        self._watching: set[asyncio.Event] = set()
        self.ended = False
        """Nobody waits any more: the service is draining."""

    def end(self) -> None:
        """The service is draining: every wait ends now, with what there is."""
        self.ended = True
        for waits in self._waiting.values():
            for wait in waits:
                wait.set()
        for event in self._watching:
            event.set()

    def moved(self, execution_id: str, row: Execution | None = None) -> None:
        """An execution was changed: wake who waits for it. `row`: as it is now, where that is known."""
        if execution_id in self._waiting:
            for wait in self._waiting[execution_id]:
                if row is None or row.state not in wait.through:
                    wait.row = row
                    wait.set()
        if self._watching:
            for event in self._watching:
                event.set()

    def watch(self) -> asyncio.Event:
        """What is set whenever any execution is changed here."""
        event = asyncio.Event()
        self._watching.add(event)
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        """It is not looked at any more."""
        self._watching.discard(event)

    def enter(self, execution_id: str, through: Collection[str] = ()) -> Wait:
        """Begin to wait; `through`: states that are waited through, so that no change to one of them wakes."""
        wait = Wait(through)
        self._waiting[execution_id].add(wait)
        return wait

    def count(self, agent: str, wait: Wait) -> None:
        """This wait is one on people. Raises TooMany where the agent has as many open as it may."""
        if self._agents[agent] >= PER_AGENT:
            raise TooMany(
                f"This agent has {PER_AGENT} waits open.",
                code="too_many_waits",
                hint="Poll without `wait`, or end other waits first.",
                headers={"Retry-After": "1"},
            )
        self._agents[agent] += 1
        self._counted[wait] = agent

    def leave(self, execution_id: str, wait: Wait) -> None:
        """Stop waiting."""
        agent = self._counted.pop(wait, None)
        if agent is not None:
            self._agents[agent] -= 1
            if not self._agents[agent]:
                del self._agents[agent]
        self._waiting[execution_id].discard(wait)
        if not self._waiting[execution_id]:
            del self._waiting[execution_id]

    async def pause(self, event: asyncio.Event, seconds: float) -> None:
        """Until the execution moves, another replica may have moved it, or the time is over."""
        try:
            async with asyncio.timeout(min(seconds, LOOK_AGAIN)):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()
