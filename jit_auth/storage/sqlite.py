"""The journal on SQLite: one thread, one connection, group commit with synchronous=FULL.

The loop hands its units over together (`making`); whatever has come while a batch was written is the next one. All
units are tried in one transaction; where one of them collides, it is rolled back and they are applied one by one under
savepoints, so that a lost compare never fails its neighbours.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from jit_auth.errors import StorageError
from jit_auth.model import Applied, Millis, Stale
from jit_auth.storage.clock import Clock
from jit_auth.storage.history import Batch
from jit_auth.storage.job import Answer, Job
from jit_auth.storage.journal import HEADS, Head, Tell, Texts, closed, oldest, pick, thrown
from jit_auth.storage.judge import Ground, Which, stale
from jit_auth.storage.reader import failed, settle
from jit_auth.storage.room import CHECKPOINT, Room, committed, unwritten

OLDEST = (3, 35, 0)
BUSY: Millis = 5_000
"""How long a transaction waits for another process."""

_OWN_FAULT = (
    sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError, ArithmeticError,
    TypeError, ValueError,
)  # fmt: skip


class _Collision(Exception):
    """The batch cannot be written as one."""


class SqliteJournal:
    """Writes jobs. `tell` is called in the loop after each batch. One per file."""

    def __init__(
        self,
        path: Path,
        texts: Texts,
        head: Head,
        clock: Clock,
        process: str,
        tell: Tell,
    ) -> None:
        self._path = path
        self._texts = texts
        self._head = head
        self._clock = clock
        self._process = process
        self._said = tell
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Sequence[Job] | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._newest: Millis = 0
        self._room = Room()
        self._seen = (0, "")
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="jit-auth-journal", daemon=True)
        self._thread.start()

    @property
    def skew(self) -> Millis:
        """There is no other clock."""
        return 0

    def now(self) -> Millis:
        """The wall clock, but never before the newest time written (THREAT_MODEL 39)."""
        return max(self._clock(), self._newest)

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
            self._queue.put(jobs)

    async def close(self) -> None:
        """Write what is queued, then stop."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            await asyncio.sleep(0)  # the last answers were put into the loop before the thread ended

    # From here on: the thread.

    def _work(self) -> None:
        waiting: deque[Job] = deque()
        ended = False
        while waiting or not ended:
            if not waiting:
                jobs = self._queue.get()
                ended = jobs is None
                waiting.extend(jobs or ())
            with contextlib.suppress(queue.Empty):
                while not ended:
                    jobs = self._queue.get_nowait()
                    ended = jobs is None
                    waiting.extend(jobs or ())
            batch = pick(waiting)
            if batch:
                begun = time.perf_counter()
                if self._room.short:
                    self._room.make(self._connected)  # before the log takes whatever room has come
                answers = self._commit(batch)
                if self._room.short and unwritten(answers) and self._room.make(self._connected):
                    answers = self._commit(batch)
                took = time.perf_counter() - begun
                with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                    self._loop.call_soon_threadsafe(self._tell, batch, answers, *self._seen, took)
        if self._connection is not None:
            self._connection.close()

    def _tell(self, batch: Sequence[Job], answers: Sequence[Answer], epoch: int, bundle: str, took: float) -> None:
        self._said(epoch, bundle, batch, answers, took)
        settle([(job.done, answer) for job, answer in zip(batch, answers, strict=True) if job.done is not None])

    def _commit(self, jobs: Sequence[Job]) -> Sequence[Answer]:
        committing = False
        try:
            connection = self._connected()
            ground = self._begin(connection)
            try:
                answers = self._together(connection, jobs, ground)
            except (_Collision, *_OWN_FAULT):
                connection.execute("ROLLBACK")
                ground = self._begin(connection)
                answers = self._apart(connection, jobs, ground)
            if not any(isinstance(answer, Applied) for answer in answers):
                connection.execute("ROLLBACK")
                return answers
            won = [line for job, answer in zip(jobs, answers, strict=True) if type(answer) is Applied
                   for line in job.lines]  # fmt: skip
            moved = self._record(connection, won, ground)
            committing = True
            connection.execute("COMMIT")
        except Exception as error:
            return self._failed(jobs, error, committing)
        if moved is not None:
            self._head.moved(moved)
        self._newest = ground.now
        return answers

    def _together(self, connection: sqlite3.Connection, jobs: Sequence[Job], ground: Ground) -> list[Answer]:
        """All units at once: compares one by one, the winners' other rows by statement."""
        stops = self._stops(connection, jobs, ground)
        batch = self._counted(connection, jobs, ground)
        answers: list[Answer] = []
        rows: dict[str, list[tuple[object, ...]]] = {}
        applied = Applied(ground.epoch, ground.now)
        for job in jobs:
            which = None if job.at is None else stale(job.at, job.subjects, ground, stops, 0)
            if which is None and job.past is not None and not batch.holds(job.past):
                which = "history"
            if which is None:
                which = self._compare(connection, job)
            if which is not None:
                answers.append(Stale(which, ground.epoch))
                continue
            if job.past is not None:
                batch.add(job.past)
            for write, values, _ in job.inserts:
                rows.setdefault(write.one, []).append(values)
            for text, values in job.loose:
                rows.setdefault(text.sql, []).append(values)
            answers.append(applied if job.raising is None else self._raise(connection, job, ground))
        for sql, values_of in rows.items():
            connection.executemany(sql, values_of)
        return answers

    def _compare(self, connection: sqlite3.Connection, job: Job) -> Which | None:
        first = True
        for write, values, _ in job.compares:
            if connection.execute(write.one, values).rowcount != 1:
                if first:
                    return "version"  # nothing of this unit is written: the others go on
                raise _Collision
            first = False
        return None

    def _apart(self, connection: sqlite3.Connection, jobs: Sequence[Job], ground: Ground) -> list[Answer]:
        """One by one, each under a savepoint."""
        stops = self._stops(connection, jobs, ground)
        answers: list[Answer] = []
        for job in jobs:
            which = None if job.at is None else stale(job.at, job.subjects, ground, stops, 0)
            if which is None and job.past is not None and not self._counted(connection, [job], ground).holds(job.past):
                which = "history"
            if which is not None:
                answers.append(Stale(which, ground.epoch))
                continue
            connection.execute("SAVEPOINT unit")
            answer = self._single(connection, job, ground)
            if type(answer) is not Applied:
                connection.execute("ROLLBACK TO unit")
            connection.execute("RELEASE unit")
            answers.append(answer)
        return answers

    def _single(self, connection: sqlite3.Connection, job: Job, ground: Ground) -> Answer:
        taken: Which = "exists"
        try:
            for write, values, if_taken in job.compares:
                taken = if_taken
                if connection.execute(write.one, values).rowcount != 1:
                    return Stale("version", ground.epoch)
            for write, values, if_taken in job.inserts:
                taken = if_taken
                connection.execute(write.one, values)
            for text, values in job.loose:
                connection.execute(text.sql, values)
        except sqlite3.IntegrityError:
            return Stale(taken, ground.epoch)
        except _OWN_FAULT as error:
            return failed(error)  # this unit's values alone are at fault
        return Applied(ground.epoch, ground.now) if job.raising is None else self._raise(connection, job, ground)

    def _raise(self, connection: sqlite3.Connection, job: Job, ground: Ground) -> Applied:
        raising = job.raising
        assert raising is not None  # noqa: S101 - the caller looked
        texts, epoch = self._texts, ground.epoch + 1
        connection.execute(texts.raise_epoch.sql, texts.raise_epoch.args(to_bundle=raising.bundle))
        for stop in raising.stops:
            text = texts.stopped if stop["active"] else texts.restored
            connection.execute(text.sql, text.args(epoch=epoch, **stop))
        self._seen = (epoch, ground.bundle if raising.bundle is None else raising.bundle)
        return Applied(epoch, ground.now)

    def _stops(self, connection: sqlite3.Connection, jobs: Sequence[Job], ground: Ground) -> dict[tuple[str, str], int]:
        since = oldest(jobs, ground.epoch)
        if since >= ground.epoch:
            return {}
        return thrown(connection.execute(self._texts.stops.sql, (since,)))

    def _counted(self, connection: sqlite3.Connection, jobs: Sequence[Job], ground: Ground) -> Batch:
        """What these units rest on, as it is counted before any of them is written."""
        batch = Batch(self._texts.counts, ground.now)
        for job in jobs:
            if job.past is not None:
                for query in batch.open(job.past):
                    text, args = query
                    batch.put(query, connection.execute(text.sql, args).fetchone()[0])
        return batch

    def _record(
        self, connection: sqlite3.Connection, lines: Sequence[object], ground: Ground
    ) -> tuple[int, bytes] | None:
        if not lines:
            return None
        self._head.rest(ground.now)
        heads = self._heads(connection) if self._head.fresh else []
        rows, moved = self._head.rows(lines, ground.now, heads)  # type: ignore[arg-type]  # lines of winners
        connection.executemany(self._texts.audit.one, rows)
        return moved

    def _heads(self, connection: sqlite3.Connection) -> list[tuple[str, int, bytes]]:
        found: list[tuple[str, int, bytes]] = []
        newest, following = self._texts.newest_head, self._texts.next_head
        row = connection.execute(newest.sql, newest.args()).fetchone()
        while row is not None and len(found) < HEADS:
            writer, seq, mac, at = row
            found.append((writer, seq, mac))
            self._newest = max(self._newest, at)
            row = connection.execute(following.sql, following.args(before=writer)).fetchone()
        return found

    def _begin(self, connection: sqlite3.Connection) -> Ground:
        until = time.monotonic() + BUSY / 1000
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                # SQLite's own waiting backs off to 100 ms, and would starve beside a busy service.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.0005)
        epoch, bundle, lease = connection.execute(self._texts.ground.sql, (self._process,)).fetchone()
        self._seen = (epoch, bundle)
        return Ground(epoch, bundle, self.now(), lease)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = open_to_write(self._path)
            connection.execute(f"PRAGMA wal_autocheckpoint = {self._room.pages}")
            self._heads(connection)  # the newest time written
            self._connection = connection
        return self._connection

    def _failed(self, jobs: Sequence[Job], error: Exception, committing: bool) -> Sequence[Answer]:
        connection, self._connection = self._connection, None
        self._room.saw(error)
        unknown = committing and committed(error)
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            connection.close()
        if committing:
            self._head.lost(self._clock())
        return [failed(error, unknown=unknown) for _ in jobs]


def scrub(path: Path) -> bool:
    """Empty the write-ahead log, which holds older images of pages. False: somebody is reading them still. Blocking."""
    connection = open_to_write(path, patience=BUSY)
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise failed(error) from error
    finally:
        connection.close()
    return not busy


def open_to_write(path: Path, *, patience: Millis = 0) -> sqlite3.Connection:
    """A connection that writes: WAL, every commit on the disk. `patience`: how long SQLite itself waits for others.

    Raises StorageError for an SQLite that is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise StorageError(
            f"SQLite {sqlite3.sqlite_version} is too old; it takes {'.'.join(map(str, OLDEST))} or newer."
        )
    connection = sqlite3.connect(
        path, timeout=patience / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")  # what is erased is not left lying in the file (THREAT_MODEL 13)
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    return connection
