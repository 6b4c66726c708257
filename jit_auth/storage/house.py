"""Housekeeping: this process's lease, what dead processes left behind, and rows past their time. Without audit rows:
nothing here changes what anybody decided."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Table, and_, bindparam, delete, literal_column, select, update

from jit_auth.model import CLAIMED, Applied, Millis, Stale
from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.job import Job
from jit_auth.storage.reader import Reader

LEASE: Millis = 15_000
"""How long a process is believed alive after its last word; it renews every 5 s."""

FORGOTTEN: Millis = 24 * 3_600_000
"""After this long without a word the row of a process goes."""

SWEPT = 500
"""Rows removed in one transaction: others must not wait for long."""


_PASSING = (
    *((tables.flow, "id"), (tables.idem, "scope"), (tables.tally, "key")),
    *((tables.session, "id"), (tables.code, "id"), (tables.challenge, "id")),
)
"""Tables whose rows go at their `until`, each with its key."""
CONNECTING: Millis = 7 * 24 * 3_600_000
"""How long a consent that was asked for before any call stays after its end: no call's row keeps it."""


class Journal(Protocol):
    """What the store needs of a journal (two implementations: SqliteJournal, PostgresJournal)."""

    @property
    def skew(self) -> Millis:
        """How far the database's clock is ahead of this machine's."""
        ...

    def now(self) -> Millis:
        """The database's time."""
        ...

    def submit(self, job: Job) -> asyncio.Future[Applied | Stale]:
        """Queue a job."""
        ...

    def take(self, jobs: Sequence[Job]) -> None:
        """Queue jobs together, each of which has a future of its own."""
        ...

    async def close(self) -> None:
        """Write what is queued, then stop."""
        ...


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        table, execution = tables.process, tables.execution
        self.lease = compiler.upsert(table, ("id",), ("lease_until", "keys"))
        self.leave = compiler.text(delete(table).where(table.c.id == bindparam("key")))
        self.forget = compiler.text(delete(table).where(table.c.lease_until < bindparam("before")))
        self.orphan = compiler.text(
            update(execution)
            .where(
                execution.c.due > bindparam("now"),
                execution.c.state == literal_column("'executing'"),
                execution.c.process.is_not(None),
                execution.c.process.not_like(literal_column(f"'{CLAIMED}%'")),  # in its agent's hands, not a process's
            )
            .values(due=bindparam("now_due"))
        )
        self.living = compiler.text(
            select(table.c.id, table.c["keys"])
            .where(table.c.lease_until > bindparam("now"), table.c.id != bindparam("key"))
            .order_by(table.c.id)
        )
        self.past = [
            (compiler.text(_rest(table, key, over)), compiler.text(_take(table, key, over)), kept)
            for table, key, over, kept in (
                *((table, key, table.c.until <= bindparam("now"), 0) for table, key in _PASSING),
                (tables.ask, "id", _CONNECTED, CONNECTING),
            )
        ]


class House:
    """The housekeeping of one process. All methods raise StorageError."""

    def __init__(self, compiler: Compiler, reader: Reader, journal: Journal, process: str) -> None:
        self._reader = reader
        self._journal = journal
        self._process = process
        self._until: Millis = 0
        self._texts = compiler.shared(_Texts)

    async def renew(self, keys: Sequence[str]) -> None:
        """Renew the lease. The vault keys of this process stand beside it, the one that it wraps with first."""
        until = self._journal.now() + LEASE
        await self._run(
            (self._texts.lease, self._texts.lease.args(id=self._process, lease_until=until, keys=",".join(keys)))
        )
        self._until = until

    @property
    def lapsed(self) -> bool:
        """Whether this process's lease has run out, as far as it knows: the clock jumped, the machine was suspended."""
        return self._until <= self._journal.now()

    async def leave(self) -> None:
        """Give the lease up: others need not wait for its end."""
        await self._run((self._texts.leave, self._texts.leave.args(key=self._process)))

    async def living(self) -> dict[str, tuple[str, ...]]:
        """Every other living process, with the ids of its vault keys, the one that it encrypts with first."""
        (rows,) = await self._reader.fetch(
            (self._texts.living, self._texts.living.args(now=self._journal.now(), key=self._process))
        )
        return {name: tuple(keys.split(",")) for name, keys in rows}

    async def learn(self) -> None:
        """Write nothing, but learn the database's clock and epoch."""
        await self._run()

    async def take_over(self) -> None:
        """Every other process of this database is dead: their leases are void, and what they were executing is due."""
        now = self._journal.now()
        await self._run(
            (self._texts.forget, self._texts.forget.args(before=now + LEASE + 1)),
            (self._texts.orphan, self._texts.orphan.args(now=now, now_due=now)),
        )

    async def sweep(self) -> None:
        """Remove what has passed its time (`_PASSING`, consents without a call), and processes long dead."""
        now = self._journal.now()
        for rest, take, kept in self._texts.past:
            while (await self._reader.fetch((rest, rest.args(now=now - kept, most=1))))[0]:
                await self._run((take, take.args(now=now - kept, most=SWEPT)))
        await self._run((self._texts.forget, self._texts.forget.args(before=now - FORGOTTEN)))

    async def _run(self, *statements: tuple[Text, tuple[Any, ...]]) -> None:
        job = Job()
        job.loose.extend(statements)
        await self._journal.submit(job)


_CONNECTED = and_(tables.ask.c.execution == literal_column("''"), tables.ask.c.expires <= bindparam("now"))


def _rest(table: Table, key: str, over: ColumnElement[bool]) -> Any:
    return select(table.c[key]).where(over).limit(bindparam("most"))


def _take(table: Table, key: str, over: ColumnElement[bool]) -> Any:
    return delete(table).where(table.c[key].in_(_rest(table, key, over).scalar_subquery()))
