"""Units on their way to the journal: those of one moment are made into jobs together.

Between two units of one call lies all that a call does, and what makes a job is out of the processor's caches by then.
The jobs of a batch that are made in one go cost half of what they cost one by one (docs/design/0002).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from jit_auth.model import Applied, Stale, Unit
from jit_auth.storage.house import Journal
from jit_auth.storage.job import Job
from jit_auth.storage.people import Unknown

Answered = asyncio.Future[Applied | Stale]


class Making:
    """Collects units, and hands their jobs to the journal two turns of the loop after the first.

    Two turns later every task that this turn woke has had its say: fuller batches, no timer. `make` is called in the
    loop; where it raises Unknown, that person is read or made by `ensure`, and the unit comes again.
    """

    def __init__(
        self, make: Callable[[Unit], Job], ensure: Callable[[str], Awaitable[object]], journal: Journal
    ) -> None:
        self._make = make
        self._ensure = ensure
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._coming: list[tuple[Unit, Answered]] = []

    async def apply(self, unit: Unit) -> Applied | Stale:
        """Write a unit: committed or refused. Raises StorageError, and what `make` raises."""
        while True:
            try:
                return await self._put(unit)
            except Unknown as unknown:
                await self._ensure(unknown.id)

    async def made(self, unit: Unit) -> Job:
        """The job of one unit, for whoever adds to it before it is queued."""
        while True:
            try:
                return self._make(unit)
            except Unknown as unknown:
                await self._ensure(unknown.id)

    def hand_over(self) -> None:
        """Make the jobs of all that has come, and let the journal have them."""
        coming, self._coming = self._coming, []
        jobs: list[Job] = []
        for unit, future in coming:
            try:
                job = self._make(unit)
            except Exception as error:
                if not future.done():
                    future.set_exception(error)  # this unit's alone: the others go on
                continue
            job.unit, job.done = unit, future  # one that was given up meanwhile is written all the same
            jobs.append(job)
        if jobs:
            self._journal.take(jobs)

    def _put(self, unit: Unit) -> Answered:
        future: Answered = self._loop.create_future()
        self._coming.append((unit, future))
        if len(self._coming) == 1:
            self._loop.call_soon(self._loop.call_soon, self.hand_over)
        return future
