"""What waits: counts of what is owed at one moment, read by partial indexes and no further than a cap."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, bindparam, func, literal_column, select

from jit_auth.model import Backlog, Millis
from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.reader import Reader

MOST = 10_000
"""No count goes beyond it: a look at the metrics must cost the same on a bad day."""


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        execution, card, outbox = tables.execution, tables.card, tables.outbox
        one: Any = literal_column("1")
        paused = select(one).where(execution.c.state == literal_column("'paused'"))
        released = select(one).where(execution.c.state == literal_column("'released'"))
        lost = select(one).where(
            execution.c.due <= bindparam("now"),
            execution.c.state == literal_column("'executing'"),
            execution.c.intent.is_(literal_column("true")),
        )
        cards = select(one).where(card.c.due <= bindparam("now"))
        owed = select(one).select_from(outbox)
        self.queries: tuple[Text, ...] = (
            *(compiler.text(_counted(rows)) for rows in (paused, released, lost, cards, owed)),
            *(compiler.text(_oldest(table)) for table in (card, outbox)),
        )


class Backlogs:
    """Reads of one store."""

    def __init__(self, compiler: Compiler, reader: Reader) -> None:
        self._reader = reader
        self._texts = compiler.shared(_Texts)

    async def read(self, now: Millis) -> Backlog:
        """All of it, in one snapshot. Raises StorageError."""
        asked = [(text, text.args(now=now, most=MOST)) for text in self._texts.queries]
        counts = [rows[0][0] for rows in await self._reader.fetch(*asked)]
        paused, released, lost, cards, outbox, card_due, outbox_due = counts
        return Backlog(
            paused=paused,
            released=released,
            lost=lost,
            cards=cards,
            cards_age=_age(now, card_due),
            outbox=outbox,
            outbox_age=_age(now, outbox_due),
        )


def _age(now: Millis, since: Millis | None) -> float:
    return 0.0 if since is None else max(0, now - since) / 1000


def _counted(rows: Any) -> Any:
    return select(func.count()).select_from(rows.limit(bindparam("most")).subquery())


def _oldest(table: Table) -> Any:
    return select(func.min(table.c.due)).where(table.c.due <= bindparam("now"))
