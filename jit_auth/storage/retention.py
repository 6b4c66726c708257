"""What is over for long enough loses its content: parameters, reasons, feedback, results (THREAT_MODEL 13).

Rows stay, with who, what and when; a sealed value is replaced by nothing at all. What is open is never touched. The
sweep goes along an index of what is over, in the order of its end, and remembers how far it has come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from sqlalchemy import LargeBinary, Table, and_, bindparam, delete, select, tuple_, update

from jit_auth.model import Audit, Millis, Unit
from jit_auth.storage import tables
from jit_auth.storage.codec import REMOVED
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.house import Journal
from jit_auth.storage.job import Job
from jit_auth.storage.reader import Reader

BATCH = 100
"""Executions in one transaction: others must not wait for long."""

OVERLAP: Millis = 60_000
"""How far the mark stays behind: a row may be committed a moment after the time that it was written with."""


class Keep(Struct, frozen=True):
    """For how long things are kept, in milliseconds; None: for ever."""

    params: Millis | None = None
    results: Millis | None = None
    audit: Millis | None = None


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        execution, ask, vote, swept = tables.execution, tables.ask, tables.vote, tables.swept
        nothing = bindparam("nothing", REMOVED, type_=LargeBinary)
        over = execution.c.state.not_in(tables.OPEN)
        full = {
            "results": and_(execution.c.told.is_not(None), execution.c.told != nothing),
            "params": execution.c.asked != nothing,
        }
        self.next = {
            name: compiler.text(
                select(execution.c.updated, execution.c.id)
                .where(
                    over,
                    tuple_(execution.c.updated, execution.c.id) > tuple_(bindparam("updated"), bindparam("id")),
                    execution.c.updated < bindparam("before"),
                    some,
                )
                .order_by(execution.c.updated, execution.c.id)
                .limit(bindparam("most"))
            )
            for name, some in full.items()
        }
        this = and_(execution.c.id == bindparam("id"), execution.c.updated == bindparam("updated"), over)
        asks = select(ask.c.id).where(ask.c.execution == bindparam("id"))
        votes = vote.c.ask.in_(asks.scalar_subquery())
        self.remove: dict[str, tuple[Text, ...]] = {
            "results": (compiler.text(_emptied(execution, "told").where(this, execution.c.told.is_not(None))),),
            "params": (
                compiler.text(_emptied(execution, "asked").where(this)),
                compiler.text(_emptied(ask, "asked").where(ask.c.execution == bindparam("id"))),
                compiler.text(_emptied(vote, "asked").where(votes)),
            ),
        }
        self.come = compiler.text(select(swept.c.until).where(swept.c.name == bindparam("name")))
        self.go_on = compiler.upsert(swept, ("name",), ("until",))
        standing = tables.standing
        past = select(standing.c.id).where(standing.c.until < bindparam("before")).limit(bindparam("most"))
        self.past = compiler.text(past)
        self.take = compiler.text(delete(standing).where(standing.c.id.in_(past.scalar_subquery())))


class Retention:
    """The retention of one store."""

    def __init__(
        self, compiler: Compiler, reader: Reader, journal: Journal, made: Callable[[Unit], Awaitable[Job]]
    ) -> None:
        self._reader = reader
        self._journal = journal
        self._made = made
        self._texts = compiler.shared(_Texts)

    async def sweep(self, keep: Keep) -> None:
        """Remove what has passed its time. Raises StorageError; what was removed by then stays removed."""
        now, removed = self._journal.now(), {}
        for name, kept in (("results", keep.results), ("params", keep.params)):
            if kept is not None and (count := await self._content(name, now - kept)):
                removed[name] = count
        if keep.params is not None:
            await self._passes(now - keep.params)
        if removed:
            fact = {"do": "content.removed", **removed}
            await self._journal.submit(await self._made(Unit(None, (), Audit(actor="engine", what=(fact,)))))

    async def _content(self, name: str, before: Millis) -> int:
        """Remove one kind of content of what ended before then; of how many executions."""
        (rows,) = await self._reader.fetch((self._texts.come, self._texts.come.args(name=name)))
        mark = rows[0][0] if rows else 0
        updated, last, count = mark, "", 0
        text = self._texts.next[name]
        while True:
            args = text.args(updated=updated, id=last, before=before, most=BATCH, nothing=REMOVED)
            (found,) = await self._reader.fetch((text, args))
            if not found:
                break
            job = Job()
            for at, execution in found:
                for each in self._texts.remove[name]:
                    job.loose.append((each, each.args(id=execution, updated=at, nothing=REMOVED)))
            await self._journal.submit(job)
            updated, last = found[-1]
            count += len(found)
        if before - OVERLAP > mark + OVERLAP:
            job = Job()
            job.loose.append((self._texts.go_on, self._texts.go_on.args(name=name, version=1, until=before - OVERLAP)))
            await self._journal.submit(job)
        return count

    async def _passes(self, before: Millis) -> None:
        """Approvals for a while that nobody can use any more go whole."""
        while (await self._reader.fetch((self._texts.past, self._texts.past.args(before=before, most=1))))[0]:
            job = Job()
            job.loose.append((self._texts.take, self._texts.take.args(before=before, most=BATCH)))
            await self._journal.submit(job)


def _emptied(table: Table, column: str) -> Any:
    return update(table).values({column: bindparam("nothing", REMOVED, type_=LargeBinary)})
