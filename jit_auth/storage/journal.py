"""What both journals share: the statements, who may share a batch, and the head of this process's audit chain."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, bindparam, cast, extract, func, literal_column, select, update

from jit_auth.core import chain
from jit_auth.core.ids import new_id
from jit_auth.core.mac import Mac
from jit_auth.errors import StorageError
from jit_auth.model import Millis
from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.facts import Line
from jit_auth.storage.history import Counts
from jit_auth.storage.job import Answer, Job
from jit_auth.storage.judge import ALL
from jit_auth.vault import Vault

LARGEST = 256
"""Units in one batch."""

HEADS = 16
"""How many other writers' heads a writer's first row commits to."""

CHAIN = "chain"
"""Label of the key under which rows are chained."""

IDLE: Millis = 12 * 3_600_000
"""After so long without a row a process begins a new chain."""

RETIRED = "chain/"
"""Prefix of the names under which the chain keys of vault keys are kept that were rotated away."""

_AUDIT = ("writer", "seq", "at", "actor", "person", "agent", "execution", "what", "key", "mac", "told")

Moved = tuple[int, bytes]

Tell = Callable[[int, str, Sequence[Job], Sequence[Answer], float], None]
"""Called in the loop after each batch, before anybody who waits for it goes on: the epoch, the bundle, the jobs and
what became of each, and how many seconds it took."""


def thrown(rows: Iterable[Sequence[Any]]) -> dict[tuple[str, str], int]:
    """(kind, id) to the epoch of its stop. One that a user threw for themselves counts as one of the user's, and so
    does a cut: what was decided in their name before it is decided anew, and only then found to be stopped or not. An
    erasure counts for everybody: who was erased is not known by their id any more, and what names it names nobody."""
    found: dict[tuple[str, str], int] = {}
    for kind, name, epoch in rows:
        subject = ("user", name.partition("/")[2]) if kind == "own" else ("user" if kind == "cut" else kind, name)
        subject = ALL if kind == "erased" else subject
        found[subject] = max(epoch, found.get(subject, 0))
    return found


class Texts:
    """The journal's own statements, compiled for one dialect."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.counts = compiler.shared(Counts)
        epoch, stop, process, audit = tables.epoch, tables.stop, tables.process, tables.audit
        lease = select(process.c.lease_until).where(process.c.id == bindparam("process")).scalar_subquery()
        self.ground = compiler.text(_ground(lease, compiler.name, read=True))
        self.ground_to_raise = compiler.text(_ground(lease, compiler.name, read=False))
        self.ground_to_look = compiler.text(_ground(lease, compiler.name, read=None))
        self.stops = compiler.text(
            select(stop.c.kind, stop.c.id, stop.c.epoch).where(stop.c.epoch > bindparam("since"))
        )
        self.raise_epoch = compiler.text(
            update(epoch)
            .where(epoch.c.id == literal_column("1"))
            .values(n=epoch.c.n + literal_column("1"), bundle=func.coalesce(bindparam("to_bundle"), epoch.c.bundle))
        )
        self.stopped = compiler.upsert(stop, ("kind", "id"), ("epoch", "active", "who", "why"))
        self.restored = compiler.upsert(stop, ("kind", "id"), ("active", "who", "why"))
        self.audit = compiler.insert(audit, _AUDIT)
        head = select(audit.c.writer, audit.c.seq, audit.c.mac, audit.c.at)
        head = head.order_by(audit.c.writer.desc(), audit.c.seq.desc()).limit(literal_column("1"))
        self.newest_head = compiler.text(head)
        self.next_head = compiler.text(head.where(audit.c.writer < bindparam("before")))


def _ground(lease: Any, dialect: str, *, read: bool | None) -> Any:
    """The epoch row, locked (SQLite: by the transaction; None: not at all), then the lease and the clock. PostgreSQL
    computes what stands beside a lock before it waits for it: a clock read there would be as old as the wait was long,
    and what ran out meanwhile would count."""
    epoch = tables.epoch
    row = select(epoch.c.n, epoch.c.bundle).where(epoch.c.id == literal_column("1"))
    if dialect != "postgresql":
        return row.add_columns(lease.label("lease"))
    held = (row if read is None else row.with_for_update(read=read)).cte("held")
    return select(held.c.n, held.c.bundle, lease.label("lease"), now_on_postgres().label("clock"))


def now_on_postgres() -> Any:
    """The server's clock in milliseconds: not the transaction's, which may have waited for a lock."""
    return cast(extract("epoch", func.clock_timestamp()) * literal_column("1000"), BigInteger)


class Head:
    """Where this process's chain ends. Moves only after COMMIT; after one of unknown fate a new chain begins."""

    def __init__(self, vault: Vault, writer: str) -> None:
        self.writer = writer
        self._key = vault.ids[0]
        self._mac = Mac(vault.derive(CHAIN))
        self._seq = 0
        self._before = chain.START
        self._at: Millis | None = None

    @property
    def fresh(self) -> bool:
        """Whether the first row is still to be written: it needs the heads of others."""
        return self._seq == 0

    def rows(
        self, lines: Sequence[Line], at: Millis, heads: Sequence[tuple[str, int, bytes]]
    ) -> tuple[list[tuple[Any, ...]], Moved]:
        """The bound values of the next rows, and where the head is once they are committed."""
        if self._seq == 0:
            lines = [Line("engine", None, None, None, chain.start(heads)), *lines]
        seq, before, writer, key, mac = self._seq, self._before, self.writer, self._key, self._mac
        found: list[tuple[Any, ...]] = []
        for line in lines:
            before = chain.follow(mac, before, writer, seq, at, line.body)
            found.append(
                (
                    writer,
                    seq,
                    at,
                    line.actor,
                    line.person,
                    line.agent,
                    line.execution,
                    line.what,
                    key,
                    before,
                    line.told,
                )
            )
            seq += 1
        return found, (seq, before)

    def moved(self, to: Moved) -> None:
        """The rows are committed."""
        self._seq, self._before = to

    def rest(self, now: Millis) -> None:
        """A chain that stood still for long has ended: retention may take it whole, and no row must follow then."""
        if self._at is not None and now - self._at > IDLE:
            self.lost(now)
        self._at = now

    def lost(self, now: Millis) -> None:
        """Nobody knows whether the last rows are there: go on under a new writer, whose first row says what is."""
        self.writer = new_id("prc", now, os.urandom(10))
        self._seq, self._before = 0, chain.START


def closed(jobs: Sequence[Job]) -> None:
    """They come too late: say so to whoever waits for them."""
    for job in jobs:
        if job.done is not None and not job.done.done():
            job.done.set_exception(StorageError("The store is closed."))


def oldest(jobs: Sequence[Job], epoch: int) -> int:
    """The oldest epoch that a unit of the batch was decided at; `epoch` where none is older."""
    return min((job.at.epoch for job in jobs if job.at is not None), default=epoch)


def pick(waiting: deque[Job]) -> list[Job]:
    """The next batch, taken out of `waiting`: in order, but no two units for one row, and a raise alone.

    A unit that must wait keeps its place before the later ones for the same rows.
    """
    batch: list[Job] = []
    held: set[Any] = set()
    later: list[Job] = []
    while waiting and len(batch) < LARGEST:
        job = waiting.popleft()
        if job.raising is not None:
            # It is judged, and the next ones are, by the epoch that it makes.
            if batch or later:
                waiting.appendleft(job)
            else:
                batch.append(job)
            break
        if held.isdisjoint(job.touched):
            batch.append(job)
        else:
            later.append(job)
        held |= job.touched
    waiting.extendleft(reversed(later))
    return batch
