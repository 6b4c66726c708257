"""The journal on PostgreSQL: one task, one connection of its own, group commit by set-based statements.

READ COMMITTED. The first statement share-locks the epoch row, so that whatever is read later is younger than any raise
that this batch follows; a raise takes the row for itself (THREAT_MODEL 9). Where a unit collides, the batch is rolled
back and its units are applied one by one under savepoints. The usual batch is a single statement (see `whole`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from jit_auth.model import Applied, Millis, Stale
from jit_auth.storage.clock import Clock
from jit_auth.storage.compiled import Text, Write
from jit_auth.storage.history import Batch, turns
from jit_auth.storage.job import Answer, Job
from jit_auth.storage.journal import HEADS, Head, Moved, Tell, Texts, closed, oldest, pick, thrown
from jit_auth.storage.judge import Ground, Which, stale
from jit_auth.storage.reader import settle
from jit_auth.storage.server import AGAIN, LOST, MISFIT, connect_to_write, failed
from jit_auth.storage.whole import Whole

_TRIES = 3
_JITTER: Millis = 20

WARM = 0.25
"""Seconds for which a connection that has just worked is believed to be there. After that BEGIN asks first: a statement
that commits by itself, on a connection that had died, would leave its units unknown."""


_TURNS = "SELECT pg_advisory_xact_lock(turn) FROM unnest($1::bigint[]) AS turn"


class _Collision(Exception):
    """The batch cannot be written as one."""


class PostgresJournal:
    """Writes jobs. `tell` is called after each batch. One per process and database."""

    def __init__(
        self,
        url: str,
        texts: Texts,
        head: Head,
        clock: Clock,
        process: str,
        tell: Tell,
    ) -> None:
        self._url = url
        self._texts = texts
        self._whole = Whole(texts.compiler)
        self._head = head
        self._clock = clock
        self._process = process
        self._said = tell
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._connection: Any = None
        self._ahead: Millis = clock.wall() - clock.steady()
        self._warm_until = 0.0
        self._seen = (0, "")
        self._closed = False
        self._task = asyncio.create_task(self._work(), name="jit-auth-journal")

    @property
    def skew(self) -> Millis:
        """How far the server's clock is ahead of this machine's at this moment."""
        return self._clock.steady() + self._ahead - self._clock.wall()

    def now(self) -> Millis:
        """The server's time: as of the last batch, and what has passed since. This machine's wall clock may be set
        meanwhile: no lease and no due time is written an hour off by that (THREAT_MODEL 39)."""
        return self._clock.steady() + self._ahead + self._clock.offset

    def submit(self, job: Job) -> asyncio.Future[Applied | Stale]:
        """Queue a job; the future ends once it is committed, refused, or failed (StorageError)."""
        job.done = self._loop.create_future()
        self.take([job])
        return job.done

    def take(self, jobs: Sequence[Job]) -> None:
        """Queue jobs, each with a future of its own."""
        if self._closed:
            closed(jobs)
        else:
            self._waiting.extend(jobs)
            self._wake.set()

    async def close(self) -> None:
        """Write what is queued, then stop."""
        self._closed = True
        self._wake.set()
        await self._task

    async def _work(self) -> None:
        while self._waiting or not self._closed:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = pick(self._waiting)
            begun = time.perf_counter()
            answers = await self._commit(batch)
            self._said(*self._seen, batch, answers, time.perf_counter() - begun)
            settle([(job.done, answer) for job, answer in zip(batch, answers, strict=True) if job.done is not None])
        await self._disconnect()

    async def _commit(self, jobs: Sequence[Job]) -> Sequence[Answer]:
        for attempt in range(_TRIES):
            committing = False
            try:
                connection = await self._connected()
                if attempt == 0 and self._loop.time() < self._warm_until and self._fits(jobs):
                    committing = True  # a statement of its own commits by itself
                    answers = await self._whole_batch(connection, jobs)
                    committing = False
                    if answers is not None:
                        return answers
                ground = await self._begin(connection, jobs)
                try:
                    answers = await self._together(connection, jobs, ground)
                except (_Collision, *MISFIT):
                    await connection.execute("ROLLBACK")
                    ground = await self._begin(connection, jobs)
                    answers = await self._apart(connection, jobs, ground)
                if not any(isinstance(answer, Applied) for answer in answers):
                    await connection.execute("ROLLBACK")
                    return answers
                moved = await self._record(connection, jobs, answers, ground)
                committing = True
                await connection.execute("COMMIT")
            except AGAIN as error:
                with contextlib.suppress(*LOST, asyncpg.PostgresError):
                    await connection.execute("ROLLBACK")
                if attempt + 1 == _TRIES:
                    return [failed(error) for _ in jobs]
            except Exception as error:
                await self._disconnect()
                # What the server itself refused was rolled back; where it did not answer, nobody knows.
                unknown = committing and (isinstance(error, LOST) or not isinstance(error, asyncpg.PostgresError))
                if unknown:
                    self._head.lost(self.now())
                elif isinstance(error, LOST) and attempt == 0:
                    continue  # an idle connection had died: nothing was written, a new one may work
                return [failed(error, unknown=unknown) for _ in jobs]
            else:
                if moved is not None:
                    self._head.moved(moved)
                self._warm_until = self._loop.time() + WARM
                return answers
        raise AssertionError("unreachable")

    def _fits(self, jobs: Sequence[Job]) -> bool:
        epoch, bundle = self._seen
        self._head.rest(self.now())
        return not self._head.fresh and self._whole.fits(jobs, epoch, bundle, self.skew)

    async def _whole_batch(self, connection: Any, jobs: Sequence[Job]) -> list[Answer] | None:
        """All at once, in one statement; None where it did not fit, and nothing was written."""
        epoch, bundle = self._seen
        now = self.now()
        rows, moved = self._head.rows([line for job in jobs for line in job.lines], now, [])
        ground = {"epoch": epoch, "bundle": bundle, "process": self._process, "offset": self._clock.offset}
        sql, args = self._whole.statement(jobs, (self._texts.audit, rows), **ground)
        begun = self._clock.steady()
        try:
            _, clock = await connection.fetchrow(sql, *args)
        except (*AGAIN, *MISFIT):
            return None
        self._head.moved(moved)
        self._warm_until = self._loop.time() + WARM
        self._measured(clock, begun)
        return [Applied(epoch, now)] * len(jobs)

    async def _together(self, connection: Any, jobs: Sequence[Job], ground: Ground) -> list[Answer]:
        stops = await self._stops(connection, jobs, ground)
        batch = await self._counted(connection, jobs, ground)
        answers: list[Answer] = [Applied(ground.epoch, ground.now)] * len(jobs)
        compares: dict[Write, list[tuple[int, tuple[Any, ...]]]] = {}
        for at, job in enumerate(jobs):
            which = None if job.at is None else stale(job.at, job.subjects, ground, stops, self.skew)
            if which is None and job.past is not None and not batch.holds(job.past):
                which = "history"
            if which is not None:
                answers[at] = Stale(which, ground.epoch)
                continue
            if job.past is not None:
                batch.add(job.past)
            for write, values, _ in job.compares:
                compares.setdefault(write, []).append((at, values))
        # In one order everywhere: two replicas then lock rows alike, and seldom wait for each other in a ring.
        for write in sorted(compares, key=lambda write: write.one):
            wanted = sorted(compares[write], key=lambda pair: str(pair[1][write.key_at]))
            found = {row[0] for row in await connection.fetch(write.many, *_columns(pair[1] for pair in wanted))}
            if len(found) != len(wanted):
                for at, values in wanted:
                    if values[write.key_at] not in found:
                        if len(jobs[at].compares) > 1:
                            raise _Collision
                        answers[at] = Stale("version", ground.epoch)  # nothing of this unit is written
                if sum(type(answers[at]) is Applied for at, _ in wanted) != len(found):
                    raise _Collision
        inserts: dict[Write, list[tuple[Any, ...]]] = {}
        loose: dict[Text, list[tuple[Any, ...]]] = {}
        for job, answer in zip(jobs, answers, strict=True):
            if type(answer) is Applied:
                for write, values, _ in job.inserts:
                    inserts.setdefault(write, []).append(values)
                for text, values in job.loose:
                    loose.setdefault(text, []).append(values)
        for write, rows in inserts.items():
            await connection.fetch(write.many, *_columns(rows))
        for text, rows in loose.items():
            for values in rows:
                await connection.fetch(text.sql, *values)
        if jobs[0].raising is not None and type(answers[0]) is Applied:
            answers[0] = await self._raise(connection, jobs[0], ground)
        return answers

    async def _apart(self, connection: Any, jobs: Sequence[Job], ground: Ground) -> list[Answer]:
        stops = await self._stops(connection, jobs, ground)
        answers: list[Answer] = []
        for job in jobs:
            which = None if job.at is None else stale(job.at, job.subjects, ground, stops, self.skew)
            if which is None and job.past is not None:
                batch = await self._counted(connection, [job], ground)
                which = None if batch.holds(job.past) else "history"
            if which is not None:
                answers.append(Stale(which, ground.epoch))
                continue
            await connection.execute("SAVEPOINT unit")
            answer = await self._single(connection, job, ground)
            if type(answer) is not Applied:
                await connection.execute("ROLLBACK TO SAVEPOINT unit")
            await connection.execute("RELEASE SAVEPOINT unit")
            answers.append(answer)
        return answers

    async def _single(self, connection: Any, job: Job, ground: Ground) -> Answer:
        taken: Which = "exists"
        try:
            for write, values, if_taken in job.compares:
                taken = if_taken
                if len(await connection.fetch(write.many, *_columns([values]))) != 1:
                    return Stale("version", ground.epoch)
            for write, values, if_taken in job.inserts:
                taken = if_taken
                await connection.fetch(write.many, *_columns([values]))
            for text, values in job.loose:
                await connection.fetch(text.sql, *values)
        except asyncpg.UniqueViolationError:
            return Stale(taken, ground.epoch)
        except MISFIT as error:
            return failed(error)  # this unit's values alone are at fault
        return Applied(ground.epoch, ground.now) if job.raising is None else await self._raise(connection, job, ground)

    async def _raise(self, connection: Any, job: Job, ground: Ground) -> Applied:
        raising = job.raising
        if raising is None:
            raise AssertionError("this job raises nothing")
        texts, epoch = self._texts, ground.epoch + 1
        await connection.fetch(texts.raise_epoch.sql, *texts.raise_epoch.args(to_bundle=raising.bundle))
        for stop in raising.stops:
            text = texts.stopped if stop["active"] else texts.restored
            await connection.fetch(text.sql, *text.args(epoch=epoch, **stop))
        self._seen = (epoch, ground.bundle if raising.bundle is None else raising.bundle)
        return Applied(epoch, ground.now)

    async def _stops(self, connection: Any, jobs: Sequence[Job], ground: Ground) -> dict[tuple[str, str], int]:
        since = oldest(jobs, ground.epoch)
        if since >= ground.epoch:
            return {}
        return thrown(await connection.fetch(self._texts.stops.sql, since))

    async def _counted(self, connection: Any, jobs: Sequence[Job], ground: Ground) -> Batch:
        """What these units rest on, as it is counted before any of them is written."""
        batch = Batch(self._texts.counts, ground.now)
        for job in jobs:
            if job.past is not None:
                for query in batch.open(job.past):
                    text, args = query
                    batch.put(query, await connection.fetchval(text.sql, *args))
        return batch

    async def _record(
        self, connection: Any, jobs: Sequence[Job], answers: Sequence[Answer], ground: Ground
    ) -> Moved | None:
        lines = [line for job, answer in zip(jobs, answers, strict=True) if type(answer) is Applied
                 for line in job.lines]  # fmt: skip
        if not lines:
            return None
        self._head.rest(ground.now)
        heads = await self._heads(connection) if self._head.fresh else []
        rows, moved = self._head.rows(lines, ground.now, heads)
        await connection.fetch(self._texts.audit.many, *_columns(rows))
        return moved

    async def _heads(self, connection: Any) -> list[tuple[str, int, bytes]]:
        newest, following = self._texts.newest_head, self._texts.next_head
        found: list[tuple[str, int, bytes]] = []
        row = await connection.fetchrow(newest.sql, *newest.args())
        while row is not None and len(found) < HEADS:
            found.append((row[0], row[1], row[2]))
            row = await connection.fetchrow(following.sql, *following.args(before=row[0]))
        return found

    async def _begin(self, connection: Any, jobs: Sequence[Job]) -> Ground:
        await connection.execute("BEGIN")
        pasts = [job.past for job in jobs if job.past is not None]
        if pasts:
            # Before the clock is read, since this may wait; and before what was counted meanwhile, since that is seen.
            await connection.fetch(_TURNS, turns(pasts))
        texts, first = self._texts, jobs[0]
        text = texts.ground if first.raising is None else texts.ground_to_raise
        if len(jobs) == 1 and not first.writes:
            text = texts.ground_to_look  # a role that may only read has no lock
        begun = self._clock.steady()
        epoch, bundle, lease, clock = await connection.fetchrow(text.sql, self._process)
        self._measured(clock, begun)
        self._seen = (epoch, bundle)
        return Ground(epoch, bundle, clock + self._clock.offset, lease)

    def _measured(self, clock: Millis, begun: Millis) -> None:
        """The server read its clock between `begun` and now. What that does not contradict stays: a busy machine, or a
        slow network, makes the time between long, and its middle a bad guess."""
        ended = self._clock.steady()
        if not clock - ended - _JITTER <= self._ahead <= clock - begun + _JITTER:
            self._ahead = clock - (begun + ended) // 2

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect_to_write(self._url)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()  # at once: nothing on it is worth waiting for


def _columns(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
