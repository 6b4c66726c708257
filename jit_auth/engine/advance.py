"""The only dispatcher: load, judge, ask `next_step`, perform that one step by compare-and-set, and again.

Whatever happens to an execution (a call, a callback, a vote, a timer, a restart) ends here. Steps never call each
other. One execution is driven by one task of a process at a time; between processes versions and leases decide.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any

from jit_auth.core.step import next_step
from jit_auth.core.view import Asking, Came, End, Nudge, Release, Send, Step, Wait
from jit_auth.engine.attempt import Attempts
from jit_auth.engine.handover import release
from jit_auth.engine.judge import Judge, Judged
from jit_auth.engine.memory import Memory
from jit_auth.engine.stale import MOST_STALE
from jit_auth.engine.units import Writer, Written, open_key
from jit_auth.engine.waits import Waits
from jit_auth.errors import Problem, StorageError, Unavailable
from jit_auth.model import Applied, Execution, Idem, Opened, Stale, Unit
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

MOST_RECORDED = 50
"""The same for writing down what happened already."""
OUTCOME_TRIES = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""Seconds between tries to put down an outcome while the database is away: until others may take it for lost."""

DRAIN = 30.0
"""Seconds that what is under way gets to end, once the process is told to."""


class Taken(Exception):
    """An idempotency key that exists already: its execution is the answer."""


class Joined(Exception):
    """An equal call is paused already: that one is the answer."""

    def __init__(self, open_key: str) -> None:
        super().__init__()
        self.open_key = open_key


class Dispatcher:
    """Drives executions. `moved` is called with each row that this process has committed."""

    def __init__(
        self, store: Store, memory: Memory, judge: Judge, attempts: Attempts, writer: Writer, waits: Waits
    ) -> None:
        self._store = store
        self._memory = memory
        self._judge = judge
        self._attempts = attempts
        self._writer = writer
        self._waits = waits
        self._running: set[str] = set()
        self._unsent: set[tuple[str, int]] = set()
        """Attempts whose intent may have been committed while the database went away: this process sent nothing."""
        self._again: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stop_by: float | None = None
        self.moved: Callable[[Execution], None] = lambda execution: None
        self.took: Callable[[str, Execution, float, str], None] = lambda what, execution, begun, came: None
        """Called after each slow part with when it began, and a word on it: `decide` (the effect), `commit` (the state
        before), `send` (what it came to)."""
        self.within: Callable[[str], AbstractContextManager[object]] = lambda execution_id: nullcontext()
        """Stands around everything that is done for an execution that is taken up again."""

    async def advance(
        self, execution_id: str, *, orphan: bool = False, known: Opened | None = None, epoch: int = 0
    ) -> None:
        """Take an execution as far as it goes now. `orphan`: the store says that no live process is at it. `known`: its
        rows, as they were just written by what was decided at `epoch`. Only a send of that epoch rests on them:
        whatever has moved since makes its intent stale."""
        if execution_id in self._running:
            self._again.add(execution_id)
            return
        self._running.add(execution_id)
        try:
            with self.within(execution_id):
                while True:
                    self._again.discard(execution_id)
                    judged = None if known is None else await self._judged(known, orphan=orphan)
                    known = None
                    if judged is None or judged.at.epoch != epoch or not isinstance(next_step(judged.view), Send):
                        # What waits, or ends, is judged by what is there now: a consent may have come from elsewhere.
                        # (And where the epoch is another one: a voter may have been erased, which moves no version.)
                        judged = await self._load(execution_id, orphan=orphan)
                    if judged is not None:
                        await self._drive(judged, None, None)
                    if execution_id not in self._again:
                        return
        finally:
            self._running.discard(execution_id)
            self._again.discard(execution_id)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in the background; `drain` waits for it. What fails there is taken up again by the worker."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a step failed and will be taken up again: %s", type(error).__name__, exc_info=error)

    def stop(self, seconds: float) -> None:
        """The process ends: from now on, all in all, `drain` waits so long."""
        self._stop_by = asyncio.get_running_loop().time() + seconds

    async def drain(self) -> None:
        """Wait for what is under way; what is not done in time is left to the next process."""
        if self._stop_by is None:
            self.stop(DRAIN)
            await self.drain()
        elif self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, self._stop_by - asyncio.get_running_loop().time()))

    async def start(self, judged: Judged, idem: Idem | None, admitted: Callable[[Execution], None] | None) -> Opened:
        """Drive a call that was only just made; `admitted` is called with its first row. Gives it with what is asked,
        where it is asked at once."""
        execution_id = judged.execution.id
        durable: list[Written] = []

        def first(written: Written) -> None:
            durable.append(written)
            if admitted is not None:
                admitted(written.execution)

        self._running.add(execution_id)
        try:
            execution = await self._drive(judged, idem, first)
        except (Problem, StorageError) as error:
            if not durable:
                raise
            # A refusal now would hide that the call is admitted, and invite a second one: the worker goes on with it.
            log.warning("%s cannot go on yet: %s", execution_id, error.message)
            execution = durable[0].execution
        finally:
            self._running.discard(execution_id)
        if not execution.version:
            raise Unavailable("Nothing is sent at present.", code="halted", hint="Try again when it is resumed.")
        if execution_id in self._again:
            self.spawn(self.advance(execution_id))
        return Opened(execution, durable[0].asks if durable and durable[0].execution is execution else ())

    def resume(self, execution: Execution) -> None:
        """Somebody asks again for a call whose intent was written while the database went away, and who wrote it was
        not told so: it goes on now, and not only when its attempt's time has run out."""
        if (execution.id, execution.attempt) in self._unsent:
            self.spawn(self.advance(execution.id))

    async def _load(self, execution_id: str, *, orphan: bool) -> Judged | None:
        opened = await self._store.opened(execution_id)
        return None if opened is None else await self._judged(opened, orphan=orphan)

    async def _judged(self, opened: Opened, *, orphan: bool) -> Judged:
        row = opened.execution
        others = row.process not in (None, self._store.process)
        # That it is an orphan was said of the row as it was. Taken up since by a live process, it is not due any more.
        held = others and not (orphan and row.due is not None and row.due <= self._store.now())
        begun = perf_counter()
        judged = await self._judge.judge(row, opened.asks, opened.votes, held=held)
        self.took("decide", row, begun, judged.view.decision.effect)
        if self._unsent and row.intent and row.process == self._store.process:
            attempt = (row.id, row.attempt)
            if attempt in self._unsent:
                self._unsent.discard(attempt)
                return judged.after(row, Came("never_left", message="The database went away before the call."))
        return judged

    async def _drive(self, judged: Judged, idem: Idem | None, admitted: Callable[[Written], None] | None) -> Execution:
        stale = 0
        prepared = False
        while True:
            step = next_step(judged.view)
            if isinstance(step, Send):
                hindered = await self._attempts.ready(judged)
                if hindered is not None:
                    judged = judged.after(judged.execution, hindered)
                    step = next_step(judged.view)
            if isinstance(step, Asking) and step.round and judged.execution.version:
                judged = await self._judge.tallied(judged)
            written = self._written(judged, step, idem, prepared=prepared)
            if written is None:
                return judged.execution
            begun = perf_counter()
            try:
                applied = await self._apply(written.unit, must=written.unit.at is None)
            except StorageError as error:
                if error.unknown and written.execution.intent and not judged.execution.intent:
                    self._unsent.add((written.execution.id, written.execution.attempt))
                raise
            if isinstance(applied, Stale):
                stale += 1
                judged = await self._anew(judged, applied, stale)
                continue
            execution = written.execution
            self.took("commit", execution, begun, judged.execution.state if judged.execution.version else "new")
            self.tell(execution, now=True)
            if admitted is not None:
                admitted(written)
                admitted = None
            idem = None
            prepared = prepared or isinstance(step, Send)
            following = await self._follow(judged, step, execution)
            if following is None:
                return execution
            judged = following

    def _written(self, judged: Judged, step: Step, idem: Idem | None, *, prepared: bool) -> Written | None:
        match step:
            case Send():
                if not prepared and self._attempts.due(judged):
                    return self._writer.prepare(judged, idem)
                return self._writer.intent(judged, step, idem)
            case Release():
                return release(self._writer, judged, step, idem)
            case Asking():
                return self._writer.asking(judged, step, idem)
            case Nudge():
                return self._writer.nudging(judged, step)
            case Wait():
                return self._writer.waiting(judged, step, idem)
            case End():
                return self._writer.end(judged, step, idem)

    async def _follow(self, judged: Judged, step: Step, execution: Execution) -> Judged | None:
        """After a step is durable: what it sets going. None: nothing more now."""
        match step:
            case Send(settled=settled) if execution.intent:
                begun = perf_counter()
                came = await self._attempts.make(judged)
                self.took("send", execution, begun, came.kind)
                if came.kind == "never_left" and execution.attempt == 1:  # its later tries would say the same
                    log.warning("%s did not leave, and is tried again: %s", execution.id, came.message)
                return judged.settled(settled).after(execution, came)
            case Send():
                failed = await self._attempts.freshen(judged)
                if failed is not None:
                    return judged.after(execution, failed)
                return await self._reload(execution.id)
            case Wait(after=Came(), until=until) if until is not None and until <= judged.view.now:
                return await self._reload(execution.id)
            case _:
                return None

    async def _reload(self, execution_id: str) -> Judged | None:
        return await self._load(execution_id, orphan=True)

    async def _anew(self, judged: Judged, stale: Stale, times: int) -> Judged:
        """Something moved since the judgement: read it and judge again, a few times; nothing was written so far."""
        if stale.which == "idem":
            raise Taken
        if stale.which == "open":
            raise Joined(open_key(judged.execution, judged.view.digest))
        came, execution = judged.view.came, judged.execution
        current = self._judge.current
        if stale.which == "bundle":
            await current.settled()
        # Judged by the bundle that is still ours, and refused again: another one is in force, and it is not here.
        foreign = stale.which == "bundle" and times > 1 and judged.bundle is current.bundle
        if (times > MOST_STALE and came is None) or times > MOST_RECORDED or foreign:
            raise busy(stale)
        if stale.which in ("stopped", "bundle"):
            await self._memory.reread()
        elif stale.which == "lease":
            await self._store.renew()
        if execution.version:
            again = await self._load(execution.id, orphan=stale.which != "version")
            if again is not None:
                row = again.execution
                ours = row.intent and (row.attempt, row.process) == (execution.attempt, execution.process)
                # What came of our attempt is a fact, whatever else has moved: it is put down, never taken for lost.
                return again.after(row, came) if came is not None and ours else again
        return await self._judge.judge(execution, judged.view.asks, judged.view.votes)

    async def _apply(self, unit: Unit, *, must: bool) -> Applied | Stale:
        """Commit. An outcome (`must`) is what happened already: it is tried again while the database is away."""
        for pause in OUTCOME_TRIES if must else ():
            try:
                return await self._store.apply(unit)
            except StorageError as error:
                log.warning("an outcome could not be written yet: %s", error.message)
                await asyncio.sleep(pause)
        return await self._store.apply(unit)

    def tell(self, execution: Execution, *, now: bool = False) -> None:
        """This process has committed a change of this execution: wake who waits for it. `now`: the row is as it is
        after the change."""
        self._waits.moved(execution.id, execution if now else None)
        self.moved(execution)


def busy(stale: Stale) -> Unavailable:
    """What whoever decided is told whose ground keeps moving."""
    if stale.which == "bundle":
        return Unavailable(
            "This replica holds other rules than those that are in force; it sends nothing.",
            code="stale_bundle",
            hint="An operator has to give every replica the same files. Try another replica, or again later.",
            headers={"Retry-After": "5"},
        )
    return Unavailable(
        "What this decision rests on keeps changing.",
        code="busy",
        hint="Nothing was done. Try again in a moment.",
        headers={"Retry-After": "1"},
    )
