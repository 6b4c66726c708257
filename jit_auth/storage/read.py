"""Reads by key, fresh from the database; what belongs together comes from one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Select, and_, bindparam, exists, literal_column, not_, or_, select

from jit_auth.model import (
    Ask,
    Card,
    Challenge,
    Code,
    Consent,
    Execution,
    Flow,
    Grant,
    Idem,
    Linked,
    Millis,
    Opened,
    Outbox,
    Pass,
    Passkey,
    Session,
    Stop,
    Vote,
)
from jit_auth.storage import pack, tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.facts import ENGINE, PERSON
from jit_auth.storage.job import stop_parts
from jit_auth.storage.people import People, Person
from jit_auth.storage.reader import Reader, Rows
from jit_auth.storage.rows import AGENT, SHAPES, columns_of

R = TypeVar("R")
Situation = tuple[int, str, tuple[Stop, ...]]
Holdings = tuple[tuple[Grant, ...], tuple[Consent, ...]]
Said = str | tuple[str, Millis, tuple[tuple[Millis, Millis], ...]]
"""What is sealed with a stop: why (alone, in older rows), when, and the spans before."""
_SAID = msgspec.json.Decoder(Said)


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        ask, vote, card = tables.ask, tables.vote, tables.card
        self.by_id: dict[type[Any], Text] = {
            kind: compiler.text(chosen(kind).where(SHAPES[kind].table.c.id == bindparam("key")))
            for kind in (
                *(Execution, Ask, Card, Flow, Grant, Outbox, Pass),
                *(Session, Linked, Code, Passkey, Challenge),
            )
        }
        asks = select(ask.c.id).where(ask.c.execution == bindparam("key")).scalar_subquery()
        self.copied = _of_copy(compiler)
        self.asks = compiler.text(chosen(Ask).where(ask.c.execution == bindparam("key")).order_by(ask.c.id))
        self.votes = compiler.text(chosen(Vote).where(vote.c.ask.in_(asks)).order_by(vote.c.at, vote.c.person))
        self.cards = compiler.text(chosen(Card).where(card.c.ask.in_(asks)).order_by(card.c.id))
        self.idem = compiler.text(chosen(Idem).where(tables.idem.c.scope == bindparam("key")))
        self.open = compiler.text(chosen(Execution).where(tables.execution.c.open_key == bindparam("key")))
        grant, consent = tables.grant, tables.consent
        mine = and_(
            grant.c.person == bindparam("person"), grant.c.provider == bindparam("provider"),
            grant.c.state != literal_column("'revoked'"),
        )  # fmt: skip
        self.grants = compiler.text(chosen(Grant).where(mine).order_by(grant.c.id))
        self.consents = compiler.text(
            chosen(Consent)
            .where(consent.c.grant.in_(select(grant.c.id).where(mine).scalar_subquery()))
            .order_by(consent.c.grant, consent.c.agent)
        )
        self.epoch = compiler.text(
            select(tables.epoch.c.n, tables.epoch.c.bundle).where(tables.epoch.c.id == literal_column("1"))
        )
        stop = tables.stop
        self.stops = compiler.text(
            select(stop.c.kind, stop.c.id, stop.c.epoch, stop.c.active, stop.c.who, stop.c.why)
            .order_by(stop.c.kind, stop.c.id)
        )  # fmt: skip
        self.due = compiler.text(_due())
        self.cards_due = compiler.text(_late(Card))
        self.outbox_due = compiler.text(_late(Outbox))
        self.waiting = compiler.text(
            select(ask.c.execution)
            .join(tables.execution, tables.execution.c.id == ask.c.execution)
            .where(
                ask.c.state == literal_column("'open'"),
                ask.c.kind == literal_column("'consent'"),
                ask.c.agent == bindparam("agent"),
                ask.c.person == bindparam("person"),
                ask.c.provider == bindparam("provider"),
                tables.execution.c.state == literal_column("'paused'"),
            )
            .distinct()
            .order_by(ask.c.execution)
        )


class Reads:
    """The reads of one store."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._codec = codec
        self._people = people
        self._reader = reader
        self._texts = compiler.shared(_Texts)

    async def one(self, kind: type[R], key: str) -> R | None:
        """The row with this id."""
        text = self._texts.by_id[kind]
        (rows,) = await self._reader.fetch((text, text.args(key=key)))
        return await self._first(kind, rows)

    async def opened(self, key: str) -> Opened | None:
        """An execution with its asks and votes, in one snapshot."""
        texts = (self._texts.by_id[Execution], self._texts.asks, self._texts.votes)
        return await self._made(*await self._reader.fetch(*((text, text.args(key=key)) for text in texts)))

    async def _made(self, rows: Rows, asks: Rows, votes: Rows) -> Opened | None:
        execution = await self._first(Execution, rows)
        if execution is None:
            return None
        records = self._codec.records
        return Opened(execution, await records(Ask, asks), await records(Vote, votes))

    async def copied(self, key: str) -> tuple[Card | None, Opened | None]:
        """A copy of a question with its execution, in one snapshot. Of a question without a call: the copy alone."""
        texts = (self._texts.by_id[Card], *self._texts.copied)
        cards, rows, asks, votes = await self._reader.fetch(*((text, text.args(key=key)) for text in texts))
        return await self._first(Card, cards), await self._made(rows, asks, votes)

    async def cards(self, key: str) -> tuple[Card, ...]:
        """The copies of an execution's questions."""
        (rows,) = await self._reader.fetch((self._texts.cards, self._texts.cards.args(key=key)))
        return await self._codec.records(Card, rows)

    async def idem(self, scope: str) -> Idem | None:
        """The row of an idempotency key; its `scope` is the one given, its `body` a MAC (see `same_body`)."""
        (rows,) = await self._reader.fetch((self._texts.idem, self._texts.idem.args(key=self._codec.scope(scope))))
        found = await self._first(Idem, rows)
        return None if found is None else msgspec.structs.replace(found, scope=scope)

    async def joined(self, open_key: str) -> Execution | None:
        """The paused execution that has this joining key."""
        (rows,) = await self._reader.fetch(
            (self._texts.open, self._texts.open.args(key=self._codec.open_key(open_key)))
        )
        return await self._first(Execution, rows)

    async def grants(self, user: str, provider: str) -> Holdings:
        """A user's grants at a provider, none revoked, with their consents; in one snapshot."""
        person = await self._people.find(user)
        if person is None:
            return (), ()
        queries = (
            (text, text.args(person=person.pid, provider=provider))
            for text in (self._texts.grants, self._texts.consents)
        )
        grants, consents = await self._reader.fetch(*queries)
        return await self._codec.records(Grant, grants), await self._codec.records(Consent, consents)

    async def stops(self) -> Situation:
        """Epoch, bundle and all stops (lifted ones too), in one snapshot."""
        ((epoch, bundle),), rows = await self._reader.fetch((self._texts.epoch, ()), (self._texts.stops, ()))
        for kind, stop_id, *_ in rows:
            if kind == "erased":
                self._people.forget(stop_id)
        return epoch, bundle, await self._stop_records(rows)

    async def epoch(self) -> tuple[int, str]:
        """Epoch and bundle alone."""
        ((found,),) = await self._reader.fetch((self._texts.epoch, ()))
        return found[0], found[1]

    async def due(self, now: Millis, process: str, limit: int) -> tuple[str, ...]:
        """Executions to look at: due, and in no other living process's hands. Longest due first."""
        (rows,) = await self._reader.fetch(
            (self._texts.due, self._texts.due.args(now=now, process=process, most=limit))
        )
        return tuple(row[0] for row in rows)

    async def cards_due(self, now: Millis, limit: int) -> tuple[Card, ...]:
        """Cards whose copy shows an older version, longest due first."""
        (rows,) = await self._reader.fetch((self._texts.cards_due, self._texts.cards_due.args(now=now, most=limit)))
        return await self._codec.records(Card, rows)

    async def outbox_due(self, now: Millis, limit: int) -> tuple[Outbox, ...]:
        """What is owed to servers outside, longest due first."""
        (rows,) = await self._reader.fetch((self._texts.outbox_due, self._texts.outbox_due.args(now=now, most=limit)))
        return await self._codec.records(Outbox, rows)

    async def waiting(self, agent: str, user: str | None, provider: str) -> tuple[str, ...]:
        """Paused executions of an agent that an open consent of this user holds up."""
        person = await self._people.find(AGENT + agent if user is None else user)
        if person is None:
            return ()
        args = self._texts.waiting.args(agent=agent, person=person.pid, provider=provider)
        (rows,) = await self._reader.fetch((self._texts.waiting, args))
        return tuple(row[0] for row in rows)

    async def _first(self, kind: type[R], rows: Rows) -> R | None:
        return (await self._codec.records(kind, rows[:1]))[0] if rows else None

    async def _stop_records(self, rows: Rows) -> tuple[Stop, ...]:
        if not rows:
            return ()
        engine = await self._people.find(ENGINE)
        pids = {who.removeprefix(PERSON) for _, _, _, _, who, _ in rows if who.startswith(PERSON)}
        pids |= {person for kind, stop_id, *_ in rows if (person := stop_parts(kind, stop_id)[1])}
        people = await self._people.load(pids)
        return tuple(_stop(row, people, engine) for row in rows)


def _stop(row: Sequence[Any], people: dict[str, Person], engine: Person | None) -> Stop:
    kind, stop_id, epoch, active, who, why = row
    before, pid = stop_parts(kind, stop_id)
    holder = people[pid] if pid else engine
    said: Said = ""
    if holder is not None and holder.key is not None:
        place = f"{kind}/{stop_id}"
        said = pack.decode(holder.key.open(why, table="stop", row=place, column="why", user=holder.pid), _SAID)
    if who.startswith(PERSON):
        who = PERSON + people[who.removeprefix(PERSON)].id
    told, at, spans = (said, 0, ()) if isinstance(said, str) else said
    return Stop(
        kind=kind, id=before + (people[pid].id if pid else ""), epoch=epoch, active=bool(active), who=who, why=told,
        at=at, spans=spans,
    )  # fmt: skip


def chosen(kind: type[Any]) -> Select[Any]:
    """SELECT of a record's columns."""
    return select(*columns_of(kind))


def _late(kind: type[Any]) -> Select[Any]:
    due = SHAPES[kind].table.c.due
    return chosen(kind).where(due <= bindparam("now")).order_by(due).limit(bindparam("most"))


def _of_copy(compiler: Compiler) -> tuple[Text, Text, Text]:
    """The execution of a copy, its asks and its votes."""
    ask, vote, card = tables.ask, tables.vote, tables.card
    of = select(card.c.execution).where(card.c.id == bindparam("key")).scalar_subquery()
    asks = select(ask.c.id).where(ask.c.execution == of).scalar_subquery()
    return (
        compiler.text(chosen(Execution).where(tables.execution.c.id == of)),
        compiler.text(chosen(Ask).where(ask.c.execution == of).order_by(ask.c.id)),
        compiler.text(chosen(Vote).where(vote.c.ask.in_(asks)).order_by(vote.c.at, vote.c.person)),
    )


def _due() -> Select[Any]:
    execution, process = tables.execution, tables.process
    alive = exists(
        select(literal_column("1")).where(process.c.id == execution.c.process, process.c.lease_until > bindparam("now"))
    )
    mine_or_nobodys = or_(
        execution.c.state != literal_column("'executing'"),
        execution.c.process.is_(None),
        execution.c.process == bindparam("process"),
        not_(alive),
    )
    return (
        select(execution.c.id)
        .where(execution.c.due <= bindparam("now"), mine_or_nobodys)
        .order_by(execution.c.due)
        .limit(bindparam("most"))
    )
