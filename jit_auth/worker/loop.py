"""The worker's loop: keeps this process's lease, takes up what is due, makes cards true, sweeps. One per process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.memory import Memory
from jit_auth.errors import JitAuthError, StorageError
from jit_auth.model import Millis
from jit_auth.storage.store import Store
from jit_auth.worker.owed import Owed
from jit_auth.worker.show import Shows

log = logging.getLogger(__name__)

LEASE = 5.0
TICK = 1.0
SWEEP = 60.0
WATCH = 1.0
"""How soon a stop that others have thrown is believed here where nobody calls: streams and waits end by it."""
AT_ONCE = 32
"""Executions taken up at a time; what waits behind them is rows, not memory."""


class Worker:
    """Runs until cancelled. `wake` makes the next turn come at once."""

    def __init__(self, store: Store, memory: Memory, dispatcher: Dispatcher, shows: Shows, owed: Owed) -> None:
        self._store = store
        self._memory = memory
        self._dispatcher = dispatcher
        self._shows = shows
        self._owed = owed
        self._wakes = tuple(asyncio.Event() for _ in range(3))
        self._wake = self._wakes[0]
        self._done: dict[str, float] = {}

    def wake(self) -> None:
        """Something is due now: do not wait for the next tick."""
        for event in self._wakes:
            event.set()

    def expect(self, due: Millis) -> None:
        """Something of ours is due then: be there in time, not at the next tick."""
        pause = (due - self._store.now()) / 1000
        if pause <= 0:
            self._wake.set()
        elif pause < TICK * 60:
            asyncio.get_running_loop().call_later(pause, self._wake.set)

    def ages(self) -> dict[str, float]:
        """Seconds since each round ended well for the last time, or since it was to begin. None run: nothing."""
        now = asyncio.get_running_loop().time()
        return {name: now - done for name, done in self._done.items()}

    async def run(self) -> None:
        """All rhythms, until cancelled. Channels and hooks have their own: one that is slow holds up no call."""
        turns = {"due": self._due, "cards": self._shows.turn, "owed": self._owed.turn}
        rhythms = {
            "lease": (LEASE, self._renew), "sweep": (SWEEP, self._store.sweep), "stops": (WATCH, self._watch),
        }  # fmt: skip
        self._done = dict.fromkeys((*rhythms, *turns), asyncio.get_running_loop().time())
        async with asyncio.TaskGroup() as group:
            for name, (seconds, work) in rhythms.items():
                group.create_task(self._every(seconds, name, work))
            for (name, turn), wake in zip(turns.items(), self._wakes, strict=True):
                group.create_task(self._turns(name, turn, wake))

    async def turn(self) -> None:
        """Everything that is due now, once."""
        await self._shows.turn()
        await self._due()
        await self._shows.turn()
        await self._owed.turn()

    async def _due(self) -> None:
        seen: set[str] = set()
        while True:
            due = [found for found in await self._store.due(AT_ONCE + len(seen)) if found not in seen]
            if not due:
                return
            seen.update(due)
            await asyncio.gather(*(self._advance(found) for found in due))

    async def _advance(self, execution_id: str) -> None:
        try:
            await self._dispatcher.advance(execution_id, orphan=True)
        except JitAuthError as error:
            log.warning("%s cannot go on yet: %s", execution_id, error.message)
        except Exception:
            log.exception("%s could not be taken up", execution_id)

    async def _turns(self, name: str, work: Callable[[], Awaitable[object]], wake: asyncio.Event) -> None:
        while True:
            await self._guarded(name, work)
            try:
                async with asyncio.timeout(TICK):
                    await wake.wait()
            except TimeoutError:
                pass
            wake.clear()

    async def _every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._guarded(name, work)

    async def _guarded(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """A failing round is logged; the next one comes. Nothing here may end the loop. One that fails every time, or
        never ends, is told by its age: what nobody cleans or takes up grows until it takes the service down."""
        try:
            await work()
            self._done[name] = asyncio.get_running_loop().time()
        except StorageError as error:
            log.warning("storage: %s", error.message)
        except Exception:
            log.exception("a round of the worker failed")

    async def _renew(self) -> None:
        """Keep the lease, and notice a newer epoch even where nobody calls."""
        await self._store.renew()
        await self._believe()

    async def _watch(self) -> None:
        await self._store.look()
        await self._believe()

    async def _believe(self) -> None:
        if self._store.epoch != self._memory.belief.epoch:
            await self._memory.reread()
