"""Reads for a blast radius: what an agent or a user has used, and what can be reached now.

None of them reads every call: used actions and persons are found by one step of an index each, and no count goes
further than it is shown. They run on a connection of their own, so that nobody else waits behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Select, and_, bindparam, case, func, literal_column, select

from jit_auth.core.ids import born, new_id
from jit_auth.model import Consent, Grant, Millis, Pass
from jit_auth.storage import pack, tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader
from jit_auth.storage.rows import AGENT, columns_of

COUNTED = 10_000
"""Calls of one action that are counted."""
LISTED = 1_000
"""Users, accounts and approvals that are listed."""
STEPS = 20_000
"""Distinct persons that are looked at."""
LOOKED_AT = 20_000
"""Calls in one person's name that are looked at, the newest."""

_NAMES = msgspec.json.Decoder(tuple[str, ...])
_ONE: Any = literal_column("1")


class Used(Struct, frozen=True):
    """One action that an agent has sent: how often since then (counted to 10,000), and when last."""

    agent: str
    action: str
    count: int
    last: Millis


class Held(Struct, frozen=True):
    """A grant, with what one agent may use of it."""

    grant: Grant
    consent: Consent


class Scoped(Struct, frozen=True):
    """Scopes that are granted and consented to, at one provider; how often."""

    provider: str
    scopes: tuple[str, ...]
    count: int


class Touched(Struct, frozen=True):
    """Whom an agent has acted for, latest first, each with the last time; of how many. `more`: there may be others."""

    persons: tuple[tuple[str, Millis], ...] = ()
    total: int = 0
    more: bool = False


class Reached(Struct, frozen=True, kw_only=True):
    """What was read of one agent or user, in one snapshot."""

    used: tuple[Used, ...] = ()
    touched: Touched = Touched()
    held: tuple[Held, ...] = ()
    """At most 1,000, newest consent first."""
    scoped: tuple[Scoped, ...] = ()
    """Of all that is live, where more is held than is listed."""
    grants: tuple[Grant, ...] = ()
    """A user's, none revoked."""
    passes: tuple[Pass, ...] = ()
    calls: bool = True
    """Whether it has ever called, or been called for."""


class AccessReads:
    """These reads of one store."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._codec = codec
        self._people = people
        self._reader = reader
        columns = {kind: columns_of(kind) for kind in (Grant, Consent, Pass)}
        self._width = len(columns[Grant])
        grant, consent, standing = tables.grant, tables.consent, tables.standing
        self._used = compiler.text(_used())
        self._touched = compiler.text(_touched())
        self._done = compiler.text(_done())
        execution = tables.execution
        self._called = compiler.text(select(_ONE).where(execution.c.agent == bindparam("agent")).limit(_ONE))
        live = and_(consent.c.grant == grant.c.id, grant.c.state != literal_column("'revoked'"))
        held = select(*columns[Grant], *columns[Consent]).select_from(consent.join(grant, live))
        held = held.order_by(consent.c.at.desc(), consent.c.grant, consent.c.agent)
        scoped = (
            select(grant.c.provider, grant.c.scopes, consent.c.scopes, func.count())
            .select_from(consent.join(grant, and_(live, grant.c.state == literal_column("'live'"))))
            .group_by(grant.c.provider, grant.c.scopes, consent.c.scopes)
        )
        of_agent, of_person = consent.c.agent == bindparam("agent"), grant.c.person == bindparam("person")
        most: Any = bindparam("most")
        # With shared consent, what any agent was given counts for this one too.
        self._held: dict[bool, Text] = {
            False: compiler.text(held.where(of_agent).limit(most)),
            True: compiler.text(held.limit(most)),
        }
        self._scoped: dict[bool, Text] = {False: compiler.text(scoped.where(of_agent)), True: compiler.text(scoped)}
        self._held_of = compiler.text(held.where(of_person).limit(most))
        self._grants = compiler.text(
            select(*columns[Grant]).where(of_person, grant.c.state != literal_column("'revoked'")).order_by(grant.c.id)
        )
        usable = and_(
            standing.c.ended.is_(None), standing.c.until > bindparam("now"), standing.c.uses > literal_column("0")
        )
        passes = (
            select(*columns[Pass])
            .where(usable)
            # By an expression: else SQLite walks all passes that ever were, in their order.
            .order_by(standing.c.id.concat(literal_column("''")).desc())
            .limit(most)
        )  # fmt: skip
        self._passes = compiler.text(passes.where(standing.c.agent == bindparam("agent")))
        self._passes_of = compiler.text(passes.where(standing.c.person == bindparam("person")))

    async def agent(self, name: str, since: Millis, now: Millis, *, shared: bool) -> Reached:
        """What an agent has done and holds. Raises StorageError."""
        first = new_id("exe", since, bytes(10))
        async with self._reader.snapshot() as snapshot:
            called = await snapshot.fetch((self._called, self._called.args(agent=name)))
            used = await snapshot.fetch((self._used, self._used.args(agent=name, since=first, most=COUNTED)))
            touched = await snapshot.fetch((self._touched, self._touched.args(agent=name, most=STEPS))) if used else []
            held = await snapshot.fetch((self._held[shared], self._held[shared].args(agent=name, most=LISTED + 1)))
            scoped = []
            if len(held) > LISTED:
                scoped = await snapshot.fetch((self._scoped[shared], self._scoped[shared].args(agent=name)))
            passes = await snapshot.fetch((self._passes, self._passes.args(agent=name, now=now, most=LISTED)))
        return Reached(
            used=tuple(Used(name, action, count, _at(last)) for action, last, count in used),
            touched=await self._persons(touched),
            held=await self._consented(held),
            scoped=tuple(_scoped(row) for row in scoped),
            passes=await self._codec.records(Pass, passes),
            calls=bool(called),
        )

    async def user(self, person: str, since: Millis, now: Millis) -> Reached:
        """What was done in a person's name, and what they gave. Raises StorageError."""
        known = await self._people.find(person)
        if known is None:
            return Reached(calls=False)
        first = new_id("exe", since, bytes(10))
        pid = known.pid
        async with self._reader.snapshot() as snapshot:
            done = await snapshot.fetch((self._done, self._done.args(person=pid, since=first, most=LOOKED_AT)))
            grants = await snapshot.fetch((self._grants, self._grants.args(person=pid)))
            held = await snapshot.fetch((self._held_of, self._held_of.args(person=pid, most=LISTED)))
            passes = await snapshot.fetch((self._passes_of, self._passes_of.args(person=pid, now=now, most=LISTED)))
        return Reached(
            used=tuple(
                Used(agent, action, min(int(count), COUNTED), _at(last)) for agent, action, last, count in done
            ),
            held=await self._consented(held),
            grants=await self._codec.records(Grant, grants),
            passes=await self._codec.records(Pass, passes),
        )  # fmt: skip

    async def _consented(self, rows: Sequence[Sequence[Any]]) -> tuple[Held, ...]:
        width = self._width
        grants = await self._codec.records(Grant, [tuple(row)[:width] for row in rows])
        consents = await self._codec.records(Consent, [tuple(row)[width:] for row in rows])
        return tuple(Held(grant, consent) for grant, consent in zip(grants, consents, strict=True))

    async def _persons(self, rows: Sequence[Sequence[Any]]) -> Touched:
        found = sorted(((row[1], row[0]) for row in rows if row[1] is not None), reverse=True)
        people = await self._people.load(pid for _, pid in found[:LISTED])
        named = [(people[pid].id, _at(last)) for last, pid in found[:LISTED]]
        # An action that needs no user is done in the agent's own name.
        own = sum(name.startswith(AGENT) for name, _ in named)
        persons = tuple((name, at) for name, at in named if not name.startswith(AGENT))
        return Touched(persons, len(found) - own, len(rows) >= STEPS)


def _used() -> Select[Any]:
    """Each action of an agent with its newest call and a count: from one action to the next, not through its calls."""
    execution = tables.execution
    sent = and_(execution.c.agent == bindparam("agent"), execution.c.attempt > literal_column("0"))
    step = select(func.max(execution.c.action).label("action")).where(sent).cte("step", recursive=True)
    before = select(func.max(execution.c.action)).where(sent, execution.c.action < step.c.action).scalar_subquery()
    step = step.union_all(select(before).where(step.c.action.is_not(None)))
    these = and_(sent, execution.c.action == step.c.action)
    last = select(func.max(execution.c.id)).where(these).correlate(step).scalar_subquery()
    some = (
        select(_ONE).where(these, execution.c.id >= bindparam("since")).limit(bindparam("most")).correlate(step)
    ).subquery()
    count = select(func.count()).select_from(some).scalar_subquery()
    return select(step.c.action, last, count).where(step.c.action.is_not(None)).order_by(step.c.action)


def _touched() -> Select[Any]:
    """Each person with the newest call that an agent made in their name, or none."""
    execution = tables.execution
    step = select(func.min(execution.c.person).label("person")).cte("step", recursive=True)
    after = select(func.min(execution.c.person)).where(execution.c.person > step.c.person).scalar_subquery()
    step = step.union_all(select(after).where(step.c.person.is_not(None)))
    newest = (
        select(execution.c.id)
        .where(
            execution.c.person == step.c.person,
            execution.c.agent == bindparam("agent"),
            execution.c.attempt > literal_column("0"),
        )
        .order_by(execution.c.person.desc(), execution.c.id.desc())
        .limit(_ONE)
        .correlate(step)
        .scalar_subquery()
    )
    return select(step.c.person, newest).where(step.c.person.is_not(None)).limit(bindparam("most"))


def _done() -> Select[Any]:
    """By which agents and actions a person was acted for, among their newest calls."""
    execution = tables.execution
    newest = (
        select(execution.c.id, execution.c.agent, execution.c.action, execution.c.attempt)
        .where(execution.c.person == bindparam("person"))
        .order_by(execution.c.id.desc())
        .limit(bindparam("most"))
        .subquery()
    )
    return (
        select(
            newest.c.agent, newest.c.action, func.max(newest.c.id),
            func.count(case((newest.c.id >= bindparam("since"), _ONE))),
        )
        .where(newest.c.attempt > literal_column("0"))
        .group_by(newest.c.agent, newest.c.action)
        .order_by(newest.c.agent, newest.c.action)
    )  # fmt: skip


def _at(execution_id: str) -> Millis:
    return born(execution_id) or 0


def _scoped(row: Sequence[Any]) -> Scoped:
    provider, granted, consented, count = row
    may = pack.decode(granted, _NAMES)
    return Scoped(provider, tuple(scope for scope in pack.decode(consented, _NAMES) if scope in may), count)
