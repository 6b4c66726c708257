"""Reads about people and what waits for them: copies, open questions, tallies, approvals for a while."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import and_, bindparam, func, literal_column, or_, select

from jit_auth.core.ids import new_id
from jit_auth.model import Ask, Card, Crowd, Execution, Millis, Pass, Tally
from jit_auth.storage import tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader
from jit_auth.storage.rows import columns_of

MOST_CARDS = 200
MOST_CONNECTING = 500
MOST_SHOWN = 1_000
LOOKED_AT = 500
"""Executions of an agent among which its last ones of an action are looked for."""
_OVER = ("succeeded", "failed", "denied", "expired", "cancelled", "unknown")


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        execution, ask, card, standing = tables.execution, tables.ask, tables.card, tables.standing
        columns = {kind: columns_of(kind) for kind in (Execution, Ask, Card, Pass, Tally)}
        usable = and_(
            standing.c.ended.is_(None), standing.c.until > bindparam("now"), standing.c.uses > literal_column("0")
        )
        passes = select(*columns[Pass]).where(usable).order_by(standing.c.id)
        self.passes = compiler.text(passes.limit(bindparam("most")))
        self.passes_of = compiler.text(passes.where(standing.c.digest == bindparam("digest")))
        paused = (
            select(literal_column("1"))
            .where(execution.c.agent == bindparam("agent"), execution.c.state == literal_column("'paused'"))
            .limit(bindparam("most"))
            .subquery()
        )
        self.paused = compiler.text(select(func.count()).select_from(paused))
        self.tally = compiler.text(select(*columns[Tally]).where(tables.tally.c.key == bindparam("key")))
        # By an expression: else SQLite walks all questions that ever were, in their order, to find the open ones.
        waiting = (
            select(ask.c.id, ask.c.execution)
            .where(
                ask.c.state == literal_column("'open'"),
                or_(bindparam("kind") == literal_column("''"), ask.c.kind == bindparam("kind")),
            )
            .order_by(ask.c.id.concat(literal_column("''")))
            .limit(bindparam("most"))
        ).subquery()
        self.asks = compiler.text(select(*columns[Ask]).where(ask.c.id.in_(select(waiting.c.id))).order_by(ask.c.id))
        self.asked = compiler.text(select(*columns[Execution]).where(execution.c.id.in_(select(waiting.c.execution))))
        mine = card.c.person == bindparam("person")
        self.cards = compiler.text(
            select(*columns[Card])
            .join(ask, ask.c.id == card.c.ask)
            .where(
                mine,
                card.c.expires > bindparam("now"),
                card.c.role.in_([literal_column("'decide'"), literal_column("'resolve'")]),
                ask.c.state == literal_column("'open'"),
            )
            .order_by(card.c.id)
            .limit(bindparam("most"))
        )
        shown = (
            select(literal_column("1"))
            .where(
                mine,
                card.c.expires >= bindparam("since"),  # a question ends after it was asked: the index serves
                card.c.id >= bindparam("first"),
                card.c.via == bindparam("via"),
                card.c.ref.is_not(None),
                card.c.ref.not_in([literal_column("'gathered'"), literal_column("'none'")]),
                card.c.role == literal_column("'decide'"),
            )
            .limit(bindparam("most"))
            .subquery()
        )
        self.shown = compiler.text(select(func.count()).select_from(shown))
        # All questions without a call, by the index on calls: they go some days after their end.
        before = and_(ask.c.execution == literal_column("''"), ask.c.agent == bindparam("agent"))
        self.connecting = compiler.text(
            select(*columns[Ask])
            .where(before, ask.c.person == bindparam("person"))
            .order_by(ask.c.id.concat(literal_column("''")).desc())
            .limit(bindparam("most"))
        )
        self.connecting_to = compiler.text(
            select(*columns[Ask])
            .where(
                ask.c.person == bindparam("person"),
                ask.c.state == literal_column("'open'"),
                ask.c.execution == literal_column("''"),
                ask.c.expires > bindparam("now"),
            )
            .order_by(ask.c.id.concat(literal_column("''")).desc())
            .limit(bindparam("most"))
        )
        is_open = and_(ask.c.state == literal_column("'open'"), ask.c.expires > bindparam("now"))
        still = select(literal_column("1")).where(before, is_open).limit(bindparam("most")).subquery()
        self.connecting_now = compiler.text(select(func.count()).select_from(still))
        newest = (
            select(execution.c.id)
            .where(execution.c.agent == bindparam("agent"))
            .order_by(execution.c.id.desc())
            .limit(literal_column(str(LOOKED_AT)))
            .subquery()
        )
        self.recent = compiler.text(
            select(*columns[Execution])
            .where(
                execution.c.id.in_(select(newest.c.id)),
                execution.c.action == bindparam("action"),
                execution.c.state.in_([literal_column(f"'{state}'") for state in _OVER]),
            )
            .order_by(execution.c.id.desc())
            .limit(bindparam("most"))
        )


class Circles:
    """These reads of one store."""

    def __init__(
        self, compiler: Compiler, codec: Codec, people: People, reader: Reader, now: Callable[[], Millis]
    ) -> None:
        self._now = now
        self._codec = codec
        self._people = people
        self._reader = reader
        self._texts = compiler.shared(_Texts)

    async def passes(self, digest: str | None = None) -> tuple[Pass, ...]:
        """Those that can be used, of one digest or all."""
        if digest is None:
            (rows,) = await self._reader.fetch(
                (self._texts.passes, self._texts.passes.args(now=self._now(), most=MOST_SHOWN))
            )
        else:
            (rows,) = await self._reader.fetch(
                (self._texts.passes_of, self._texts.passes_of.args(now=self._now(), digest=digest))
            )
        return await self._codec.records(Pass, rows)

    async def crowd(self, agent: str, key: str, most: int) -> Crowd:
        """Paused executions of an agent, counted to `most`, and the tally of a request."""
        tally = (self._texts.tally, self._texts.tally.args(key=self._codec.scope(key)))
        count = 0
        if most:
            ((count,),), rows = await self._reader.fetch(
                (self._texts.paused, self._texts.paused.args(agent=agent, most=most)), tally
            )
        else:
            (rows,) = await self._reader.fetch(tally)
        found = await self._codec.records(Tally, rows)
        return Crowd(count, msgspec.structs.replace(found[0], key=key) if found else None)

    async def open_asks(self, kind: str | None = None, limit: int = 200) -> tuple[tuple[Ask, Execution], ...]:
        """Open questions with their executions, oldest first."""
        queries = [(text, text.args(kind=kind or "", most=limit)) for text in (self._texts.asks, self._texts.asked)]
        asks, rows = await self._reader.fetch(*queries)
        executions = {row.id: row for row in await self._codec.records(Execution, rows)}
        found = await self._codec.records(Ask, asks)
        return tuple((ask, executions[ask.execution]) for ask in found if ask.execution in executions)

    async def open_cards(self, person: str) -> tuple[Card, ...]:
        """Copies of open questions that this person is to answer."""
        known = await self._people.find(person)
        if known is None:
            return ()
        args = self._texts.cards.args(person=known.pid, now=self._now(), most=MOST_CARDS)
        (rows,) = await self._reader.fetch((self._texts.cards, args))
        return await self._codec.records(Card, rows)

    async def connecting(self, agent: str, person: str) -> tuple[Ask, ...]:
        """Consents that an agent asked this person for before any call, newest first; what is over too, for a while."""
        known = await self._people.find(person)
        if known is None:
            return ()
        args = self._texts.connecting.args(agent=agent, person=known.pid, most=MOST_CONNECTING)
        (rows,) = await self._reader.fetch((self._texts.connecting, args))
        return await self._codec.records(Ask, rows)

    async def connecting_to(self, person: str, limit: int) -> tuple[Ask, ...]:
        """Those of all agents that this person may still answer, newest first."""
        known = await self._people.find(person)
        if known is None:
            return ()
        args = self._texts.connecting_to.args(person=known.pid, now=self._now(), most=limit)
        (rows,) = await self._reader.fetch((self._texts.connecting_to, args))
        return await self._codec.records(Ask, rows)

    async def connecting_now(self, agent: str, most: int) -> int:
        """How many such questions of an agent are open, of anybody, counted to `most`."""
        args = self._texts.connecting_now.args(agent=agent, now=self._now(), most=most)
        ((row,),) = await self._reader.fetch((self._texts.connecting_now, args))
        return int(row[0])

    async def shown_since(self, person: str, via: str, since: Millis) -> int:
        """How many questions were shown to a person by a channel."""
        known = await self._people.find(person)
        if known is None:
            return 0
        first = new_id("crd", max(0, since), bytes(10))
        args = self._texts.shown.args(person=known.pid, since=since, first=first, via=via, most=MOST_SHOWN)
        ((row,),) = await self._reader.fetch((self._texts.shown, args))
        return int(row[0])

    async def recent(self, agent: str, action: str, limit: int = 6) -> tuple[Execution, ...]:
        """The last of an agent's executions of an action that are over, newest first."""
        args = self._texts.recent.args(agent=agent, action=action, most=limit)
        (rows,) = await self._reader.fetch((self._texts.recent, args))
        return await self._codec.records(Execution, rows)
