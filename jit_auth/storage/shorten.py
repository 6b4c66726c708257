"""Retention of the record: the oldest rows go, and what is left goes on verifying (THREAT_MODEL 12).

Rows go from the beginning of chains alone, in small batches. With each batch one row is written, in the same
transaction, that says where chains begin since, and where retired keys end: `core.chain` verifies by the newest one.

Attacks: retention takes away the traces of what was altered (rows are verified before they go; a chain that is broken
stays as it is, and is logged); somebody removes rows and calls it retention (only a row of the record says so); two
processes shorten at once, or while a key is retired (they take turns by a version); whoever takes the service over
removes rows (where its role of the database may not, it does not try: `jit-auth db retain` does, under another).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete

from jit_auth.core import chain
from jit_auth.core.chain import Ends, Link
from jit_auth.core.ids import new_id
from jit_auth.core.mac import Mac
from jit_auth.model import Applied, Audit, Millis, Unit
from jit_auth.storage import tables
from jit_auth.storage.audit import Record
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.house import Journal
from jit_auth.storage.job import Job
from jit_auth.storage.roles import Roles
from jit_auth.storage.turns import State, Turn, Turns

log = logging.getLogger(__name__)

BATCH = 500
"""Rows removed in one transaction."""
DEAD: Millis = 24 * 3_600_000
"""A chain without a row for so long before what is kept has ended: it goes whole (see `Head.rest`)."""
SELDOM: Millis = 3_600_000
"""How much older what is left must have become before it is shortened again."""


@dataclass(frozen=True)
class Shortened:
    """What became of one attempt."""

    rows: int = 0
    """How many went."""
    stayed: tuple[str, ...] = ()
    """Why others did not, a sentence each."""


class _Batch:
    """What goes with the next commit, and where chains begin after it."""

    def __init__(self, turn: Turn, before: Millis, actor: str, facts: Mapping[str, str]) -> None:
        self.before = before
        self.actor = actor
        self.facts = facts
        self.version = turn.version
        self.starts = dict(turn.state.starts)
        self.through = turn.state.through
        self.rows: list[tuple[str, int]] = []
        """Writers, each with the last of its rows that goes."""
        self.count = 0


_ANOTHER = "Another process shortens the record, or retires a key, at this moment."


class Shorten:
    """Shortens the record of one store."""

    def __init__(
        self, compiler: Compiler, record: Record, journal: Journal, turns: Turns, roles: Roles,
        ready: Callable[[], bool], made: Callable[[Unit], Awaitable[Job]],
    ) -> None:  # fmt: skip
        self._record = record
        self._roles = roles
        self._ready = ready  # while a new vault key is not everybody's yet, what it would seal has time
        self._journal = journal
        self._turns = turns
        self._made = made
        audit = tables.audit
        self._delete = compiler.text(
            delete(audit).where(audit.c.writer == bindparam("writer"), audit.c.seq <= bindparam("last"))
        )

    async def sweep(self, before: Millis) -> None:
        """Remove the rows of before then, if that is worth the while, and this process's to do. Raises StorageError."""
        turn = await self._turns.now()
        if self._ready() and before >= turn.until + SELDOM and await self._roles.may_cut():
            await self._shorten(before, turn, "engine", {})

    async def now(self, before: Millis, actor: str, facts: Mapping[str, str]) -> Shortened:
        """Remove the rows of before then; `facts` go on record with it. Raises StorageError."""
        if not self._ready():
            return Shortened(0, ("A living process does not have the newest vault key yet.",))
        if not await self._roles.may_cut():
            return Shortened(0, ("This role of the database may not delete from the table audit.",))
        return await self._shorten(before, await self._turns.now(), actor, facts)

    async def _shorten(self, before: Millis, turn: Turn, actor: str, facts: Mapping[str, str]) -> Shortened:
        macs = await self._record.macs()
        ends = await self._record.ends()
        state = turn.state
        for key, digest in state.closed.items():
            if _digest(last for last in ends if last.key == key) != digest:
                log.error("the record is not shortened: rows under the retired key %r were altered", key)
                return Shortened(0, (f"Rows under the retired key {key!r} were altered: nothing is removed.",))
        count = 0
        stayed: list[str] = []
        alive = {last.writer: last for last in ends}
        bound = new_id("prc", before, b"\xff" * 10)
        batch = _Batch(turn, before, actor, facts)
        for last in ends:
            writer = last.writer
            if writer > bound:
                break
            start = batch.starts.get(writer, (-1, ""))
            gone = last.at < before - DEAD
            while True:
                rows = await self._record.beginning(writer, BATCH)
                going = [link for link in rows if link.at < before and (gone or link.seq < last.seq)]
                if going and not _whole(going, start, macs.get(last.key)):
                    log.error("the chain of %s is broken: nothing of it is removed", writer)
                    stayed.append(f"The chain of {writer} is broken: nothing of it is removed.")
                    going = []
                if not going:
                    batch.starts[writer] = start
                    break
                start = (going[-1].seq, going[-1].mac.hex())
                batch.rows.append((writer, start[0]))
                batch.count += len(going)
                if start[0] == last.seq:
                    del alive[writer]
                    batch.starts.pop(writer, None)
                    batch.through = max(batch.through, writer)
                else:
                    batch.starts[writer] = start
                if batch.count >= BATCH or start[0] < last.seq:
                    if not await self._commit(batch, alive, state.closed):
                        return Shortened(count, (*stayed, _ANOTHER))
                    count += batch.count
                    batch.rows, batch.count = [], 0
                if start[0] == last.seq:
                    break
        if batch.rows:
            if not await self._commit(batch, alive, state.closed):
                return Shortened(count, (*stayed, _ANOTHER))
            count += batch.count
        if not count:  # it was looked at all the same: not again in a minute
            job = Job()
            self._turns.take(job, Turn(turn.version + 1, before, state))
            await self._journal.submit(job)
        return Shortened(count, tuple(stayed))

    async def _commit(self, batch: _Batch, alive: Mapping[str, Link], closed: Iterable[str]) -> bool:
        """Remove the batch, with the row that says so. False: it was somebody else's turn."""
        starts = {writer: start for writer, start in batch.starts.items() if start[0] >= 0 or writer <= batch.through}
        left = {key: _digest(last for last in alive.values() if last.key == key) for key in closed}
        ends = {key: digest for key, digest in left.items() if digest != _NOBODY}
        fact = {"do": "audit.cut", "through": batch.through, "starts": starts, "closed": ends,
                "before": batch.before, "rows": batch.count, **batch.facts}  # fmt: skip
        job = await self._made(Unit(None, (), Audit(actor=batch.actor, what=(fact,))))
        batch.version += 1
        self._turns.take(job, Turn(batch.version, batch.before, State(batch.through, starts, ends)))
        job.loose += [(self._delete, self._delete.args(writer=writer, last=seq)) for writer, seq in batch.rows]
        return isinstance(await self._journal.submit(job), Applied)


def _digest(ends: Iterable[Link]) -> str:
    """The digest of where chains end, given in order."""
    found = Ends("")
    for last in ends:
        found.add(last.writer, last.seq, last.mac)
    return found.digest()


_NOBODY = Ends("").digest()


def _whole(rows: Sequence[Link], start: tuple[int, str], mac: Mac | None) -> bool:
    """Whether these rows follow each other, and the last that went before them."""
    before, due = (bytes.fromhex(start[1]) if start[1] else chain.START), start[0] + 1
    for link in rows:
        genuine = mac is not None and link.seq == due and link.key == rows[0].key
        if not genuine or mac is None or link.mac != chain.follow(mac, before, link.writer, due, link.at, link.body):
            return False
        before, due = link.mac, due + 1
    return True
