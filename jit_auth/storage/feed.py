"""The record in the order in which each writer committed it: for streams of all events. Reads by (writer, seq) alone.

Nothing is read by time but a place to begin: rows of several writers are committed out of its order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, func, select

from jit_auth.model import Millis
from jit_auth.storage import pack, tables
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.reader import Reader

CHUNK = 2_000
"""Rows of one writer that are looked at in one read: others wait no longer than for that."""

Heads = Mapping[str, tuple[int, Millis]]
"""Writer to the number and time of its last row."""


class Row(Struct, frozen=True):
    """One audit row about an execution, its facts as they are stored: pseudonyms for people."""

    writer: str
    seq: int
    at: Millis
    agent: str
    execution: str
    what: tuple[dict[str, Any], ...]


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        audit = tables.audit
        self.heads = compiler.text(_ends(func.max))
        self.firsts = compiler.text(_ends(func.min))
        of_one = (
            audit.c.writer == bindparam("writer"),
            audit.c.seq > bindparam("after"),
            audit.c.seq <= bindparam("upto"),
        )
        about = select(audit.c.writer, audit.c.seq, audit.c.at, audit.c.agent, audit.c.execution, audit.c.what)
        about = about.where(*of_one, audit.c.execution.is_not(None), audit.c.agent.is_not(None)).order_by(audit.c.seq)
        self.rows = compiler.text(about)
        self.of_agent = compiler.text(about.where(audit.c.agent == bindparam("agent")))
        self.since = compiler.text(select(func.min(audit.c.seq)).where(*of_one, audit.c.at >= bindparam("since")))


class Feed:
    """The record of one store, as it grows."""

    def __init__(self, compiler: Compiler, reader: Reader) -> None:
        self._reader = reader
        self._texts = compiler.shared(_Texts)

    async def heads(self) -> Heads:
        """The last row of every writer that there is."""
        (rows,) = await self._reader.fetch((self._texts.heads, self._texts.heads.args()))
        return {writer: (seq, at) for writer, seq, at in rows}

    async def firsts(self) -> Mapping[str, Millis]:
        """The time of the first row of every writer that there is."""
        (rows,) = await self._reader.fetch((self._texts.firsts, self._texts.firsts.args()))
        return {writer: at for writer, _, at in rows}

    async def rows(self, writer: str, after: int, upto: int, agent: str | None = None) -> Sequence[Row]:
        """Those about executions (of one agent), after a number up to another, in order: at most `CHUNK` of all."""
        text = self._texts.rows if agent is None else self._texts.of_agent
        args = text.args(writer=writer, after=after, upto=min(upto, after + CHUNK), agent=agent)
        (rows,) = await self._reader.fetch((text, args))
        return [Row(name, seq, at, whose, execution, tuple(pack.facts(what)))
                for name, seq, at, whose, execution, what in rows]  # fmt: skip

    async def before(self, writer: str, upto: int, since: Millis) -> int:
        """The number before the writer's first row from a time on: looked for from its end, which is near."""
        first = upto + 1
        while first > 0:
            after = first - 1 - CHUNK
            text = self._texts.since
            args = text.args(writer=writer, after=after, upto=first - 1, since=since)
            (((lowest,),),) = await self._reader.fetch((text, args))
            if lowest is None:
                break
            first = lowest
        return first - 1


def _ends(pick: Callable[[Any], Any]) -> Any:
    """Each writer's last or first row. Along the key from writer to writer: two look-ups for each, however many rows
    there are."""
    audit = tables.audit
    first = select(func.min(audit.c.writer).label("writer"))
    each = first.cte("each", recursive=True)
    following = select(func.min(audit.c.writer)).where(audit.c.writer > each.c.writer).scalar_subquery()
    each = each.union_all(select(following).where(each.c.writer.is_not(None)))
    last = select(pick(audit.c.seq)).where(audit.c.writer == each.c.writer).scalar_subquery()
    ends = select(each.c.writer, last.label("seq")).where(each.c.writer.is_not(None)).subquery("ends")
    return select(ends.c.writer, ends.c.seq, audit.c.at).join(
        audit, (audit.c.writer == ends.c.writer) & (audit.c.seq == ends.c.seq)
    )
