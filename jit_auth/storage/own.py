"""Reads about one person, for that person's own pages: what was done in their name, what they connected, what they
gave, and by what they sign in."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from msgspec import Struct
from sqlalchemy import and_, bindparam, literal_column, or_, select

from jit_auth.core.cursor import cursor_of, read_cursor
from jit_auth.model import Ask, Code, Consent, Execution, Grant, Linked, Millis, Page, Pass, Passkey, Session, Vote
from jit_auth.storage import pack, tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.lists import LONGEST, place
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader
from jit_auth.storage.rows import columns_of

MOST = 200
_KINDS = (Ask, Code, Execution, Grant, Consent, Linked, Pass, Passkey, Session, Vote)
MOST_HELD = 10_000
MOST_PASSES = 500
LOOKED_AT = 500
"""Calls in a person's name among which the last use of an account is looked for."""

_NAMES = msgspec.json.Decoder(tuple[str, ...])


class Use(Struct, frozen=True):
    """One call in a person's name, as far as it used an account of theirs: by which agent, and when."""

    agent: str
    grant: str
    at: Millis


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        columns = {kind: columns_of(kind) for kind in _KINDS}
        execution, grant, consent, standing = tables.execution, tables.grant, tables.consent, tables.standing
        ask, vote = tables.ask, tables.vote
        mine = execution.c.person == bindparam("person")
        listed = select(*columns[Execution]).order_by(execution.c.id.desc()).limit(bindparam("most"))
        self.done = compiler.text(listed.where(mine))
        self.done_before = compiler.text(listed.where(mine, execution.c.id < bindparam("before")))
        is_open = ask.c.state == literal_column("'open'")
        asked = and_(is_open, ask.c.person == bindparam("person"))
        self.held = compiler.text(
            select(execution.c.id, execution.c.chain)
            .where(
                execution.c.id.in_(select(ask.c.execution).where(asked)),
                execution.c.state == literal_column("'paused'"),
            )
            .order_by(execution.c.id.desc())
            .limit(bindparam("most"))
        )
        consents = and_(asked, ask.c.kind == literal_column("'consent'"))
        newest = select(ask.c.id, ask.c.execution).where(consents).order_by(ask.c.id.desc()).limit(bindparam("most"))
        first = newest.subquery()
        self.asks = compiler.text(
            select(*columns[Ask]).where(ask.c.id.in_(select(first.c.id))).order_by(ask.c.id.desc())
        )
        self.asked = compiler.text(select(*columns[Execution]).where(execution.c.id.in_(select(first.c.execution))))
        self.voted = compiler.text(
            select(vote.c.ask).where(vote.c.ask == bindparam("ask"), vote.c.person == bindparam("person"))
        )
        between = select(execution.c.id).where(
            mine, execution.c.id >= bindparam("first"), execution.c.id <= bindparam("last")
        )
        rounds = and_(ask.c.execution.in_(between), ask.c.kind == literal_column("'approval'"))
        self.rounds = compiler.text(select(ask.c.id, ask.c.execution).where(rounds))
        self.votes = compiler.text(
            select(*columns[Vote]).where(vote.c.ask.in_(select(ask.c.id).where(rounds))).order_by(vote.c.at)
        )
        self.uses = compiler.text(
            select(execution.c.chain, execution.c.grant, execution.c.updated, execution.c.attempt)
            .where(mine)
            .order_by(execution.c.id.desc())
            .limit(bindparam("most"))
        )
        held = and_(grant.c.person == bindparam("person"), grant.c.state != literal_column("'revoked'"))
        self.grants = compiler.text(select(*columns[Grant]).where(held).order_by(grant.c.id))
        self.consents = compiler.text(
            select(*columns[Consent])
            .where(consent.c.grant.in_(select(grant.c.id).where(held).scalar_subquery()))
            .order_by(consent.c.grant, consent.c.agent)
        )
        in_force = select(*columns[Pass]).where(
            standing.c.ended.is_(None), standing.c.until > bindparam("now"), standing.c.uses > literal_column("0")
        )
        # By an expression: else SQLite walks all passes that ever were, in their order.
        in_force = in_force.order_by(standing.c.id.concat(literal_column("''")).desc()).limit(bindparam("most"))
        self.passes = compiler.text(in_force)
        self.passes_for = compiler.text(in_force.where(standing.c.person == bindparam("person")))
        self.passkeys = compiler.text(
            select(*columns[Passkey])
            .where(tables.passkey.c.person == bindparam("person"))
            .order_by(tables.passkey.c.created)
        )
        code = tables.code
        self.codes = compiler.text(
            select(*columns[Code]).where(
                code.c.person == bindparam("person"),
                or_(code.c.ask == bindparam("ask"), code.c.sent > bindparam("since")),
            )
        )
        vote = tables.vote
        self.signed = compiler.text(
            select(*columns[Vote])
            .where(vote.c.how == literal_column("'passkey'"))
            .order_by(vote.c.at, vote.c.ask, vote.c.person)
        )
        self.sessions = compiler.text(select(*columns[Session]).where(tables.session.c.person == bindparam("person")))
        identity = tables.identity
        self.identities = compiler.text(
            select(*columns[Linked]).where(identity.c.person == bindparam("person")).order_by(identity.c.issuer)
        )


class OwnReads:
    """These reads of one store. A person who is not known has nothing."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._codec = codec
        self._people = people
        self._reader = reader
        self._texts = compiler.shared(_Texts)

    async def executions(self, person: str, limit: int, cursor: str | None) -> Page:
        """What agents did in this person's name, newest first. Raises BadRequest (`bad_query`)."""
        before = None if cursor is None else place(read_cursor(cursor, "own", person))
        known = await self._people.find(person)
        if known is None:
            return Page(())
        limit = max(1, min(limit, LONGEST))
        text = self._texts.done if before is None else self._texts.done_before
        (rows,) = await self._reader.fetch((text, text.args(person=known.pid, most=limit + 1, before=before)))
        items = await self._codec.records(Execution, rows[:limit])
        return Page(items, cursor_of(items[-1].id, "own", person) if len(rows) > limit else None)

    async def held(self, person: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(id, chain) of what waits for somebody's answer in this person's name, newest first."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._texts.held, self._texts.held.args(person=known.pid, most=MOST_HELD)))
        return tuple((row[0], pack.decode(row[1], _NAMES)) for row in rows)

    async def consents(self, person: str, limit: int) -> tuple[tuple[Ask, Execution], ...]:
        """Consents that this person is asked for, newest first, each with its call; one snapshot."""
        known = await self._people.find(person)
        if known is None:
            return ()
        queries = [(text, text.args(person=known.pid, most=limit)) for text in (self._texts.asks, self._texts.asked)]
        asks, rows = await self._reader.fetch(*queries)
        calls = {row.id: row for row in await self._codec.records(Execution, rows)}
        found = await self._codec.records(Ask, asks)
        return tuple((ask, calls[ask.execution]) for ask in found if ask.execution in calls)

    async def voted(self, person: str, asks: Collection[str]) -> frozenset[str]:
        """Those of these questions that this person has answered."""
        known = await self._people.find(person)
        if known is None or not asks:
            return frozenset()
        found = await self._reader.fetch(
            *((self._texts.voted, self._texts.voted.args(ask=ask, person=known.pid)) for ask in asks)
        )
        return frozenset(row[0] for rows in found for row in rows)

    async def votes(self, person: str, first: str, last: str) -> dict[str, tuple[Vote, ...]]:
        """Votes about calls in this person's name, by call, oldest first: of those between two ids, both included."""
        known = await self._people.find(person)
        if known is None:
            return {}
        queries = [
            (text, text.args(person=known.pid, first=first, last=last))
            for text in (self._texts.rounds, self._texts.votes)
        ]
        rounds, rows = await self._reader.fetch(*queries)
        of = {row[0]: row[1] for row in rounds}
        found: dict[str, tuple[Vote, ...]] = {}
        for vote in await self._codec.records(Vote, rows):
            found[of[vote.ask]] = (*found.get(of[vote.ask], ()), vote)
        return found

    async def uses(self, person: str) -> tuple[Use, ...]:
        """By whom and when accounts were used in this person's name, newest first, among the last 500 calls."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._texts.uses, self._texts.uses.args(person=known.pid, most=LOOKED_AT)))
        return tuple(
            Use(pack.decode(chain, _NAMES)[0], grant, at) for chain, grant, at, tried in rows if grant and tried
        )

    async def grants(self, person: str) -> tuple[tuple[Grant, ...], tuple[Consent, ...]]:
        """All that the person connected, at every provider, with what each agent may use of it; one snapshot."""
        known = await self._people.find(person)
        if known is None:
            return (), ()
        queries = [(text, text.args(person=known.pid)) for text in (self._texts.grants, self._texts.consents)]
        grants, consents = await self._reader.fetch(*queries)
        return await self._codec.records(Grant, grants), await self._codec.records(Consent, consents)

    async def passkeys(self, person: str) -> tuple[Passkey, ...]:
        """The person's passkeys, oldest first."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._texts.passkeys, self._texts.passkeys.args(person=known.pid)))
        return await self._codec.records(Passkey, rows)

    async def codes(self, person: str, ask: str, since: Millis) -> tuple[Code, ...]:
        """Codes that were mailed to the person: all for this ask, and every other one since then."""
        known = await self._people.find(person)
        if known is None:
            return ()
        args = self._texts.codes.args(person=known.pid, ask=ask, since=since)
        (rows,) = await self._reader.fetch((self._texts.codes, args))
        return await self._codec.records(Code, rows)

    async def signed_votes(self) -> tuple[Vote, ...]:
        """All votes, of everybody, that a passkey signed."""
        (rows,) = await self._reader.fetch((self._texts.signed, ()))
        return await self._codec.records(Vote, rows)

    async def sessions(self, person: str) -> tuple[Session, ...]:
        """Where the person is signed in."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._texts.sessions, self._texts.sessions.args(person=known.pid)))
        return await self._codec.records(Session, rows)

    async def identities(self, person: str) -> tuple[Linked, ...]:
        """The issuers' accounts that the person is linked to."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._texts.identities, self._texts.identities.args(person=known.pid)))
        return await self._codec.records(Linked, rows)

    async def passes(self, person: str, now: Millis) -> tuple[Pass, ...]:
        """Approvals for a while that are in force and that the person gave, or that are about calls in their name."""
        known = await self._people.find(person)
        if known is None:
            return ()
        about = (self._texts.passes_for, self._texts.passes_for.args(person=known.pid, now=now, most=MOST))
        mine, others = await self._reader.fetch(
            about, (self._texts.passes, self._texts.passes.args(now=now, most=MOST_PASSES))
        )
        found = [*await self._codec.records(Pass, mine), *await self._codec.records(Pass, others)]
        return tuple({each.id: each for each in found if person in each.voters or each.user == person}.values())
