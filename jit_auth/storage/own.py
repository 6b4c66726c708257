"""Reads about one person, for that person's own pages: what was done in their name, what they connected, what they
gave, and by what they sign in."""

from __future__ import annotations

from sqlalchemy import and_, bindparam, literal_column, or_, select

from jit_auth.model import Code, Consent, Execution, Grant, Identity, Millis, Page, Pass, Passkey, Session, Vote
from jit_auth.storage import tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.lists import LONGEST, cursor_of, read_cursor
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader

MOST = 200


class OwnReads:
    """These reads of one store. A person who is not known has nothing."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._codec = codec
        self._people = people
        self._reader = reader
        columns = {kind: [codec.of(kind).shape.table.c[name] for name in codec.of(kind).columns]
                   for kind in (Code, Execution, Grant, Consent, Identity, Pass, Passkey, Session, Vote)}  # fmt: skip
        execution, grant, consent, standing = tables.execution, tables.grant, tables.consent, tables.standing
        mine = execution.c.person == bindparam("person")
        listed = select(*columns[Execution]).order_by(execution.c.id.desc()).limit(bindparam("most"))
        self._done = compiler.text(listed.where(mine))
        self._done_before = compiler.text(listed.where(mine, execution.c.id < bindparam("before")))
        self._paused = compiler.text(
            select(execution.c.id, execution.c.agent)
            .where(mine, execution.c.state.in_([literal_column("'paused'"), literal_column("'executing'")]))
            .order_by(execution.c.id.desc())
            .limit(bindparam("most"))
        )
        held = and_(grant.c.person == bindparam("person"), grant.c.state != literal_column("'revoked'"))
        self._grants = compiler.text(select(*columns[Grant]).where(held).order_by(grant.c.id))
        self._consents = compiler.text(
            select(*columns[Consent])
            .where(consent.c.grant.in_(select(grant.c.id).where(held).scalar_subquery()))
            .order_by(consent.c.grant, consent.c.agent)
        )
        self._passes = compiler.text(
            select(*columns[Pass])
            .where(
                standing.c.ended.is_(None), standing.c.until > bindparam("now"), standing.c.uses > literal_column("0")
            )
            .order_by(standing.c.id)
            .limit(bindparam("most"))
        )
        self._passkeys = compiler.text(
            select(*columns[Passkey])
            .where(tables.passkey.c.person == bindparam("person"))
            .order_by(tables.passkey.c.created)
        )
        code = tables.code
        self._codes = compiler.text(
            select(*columns[Code]).where(
                code.c.person == bindparam("person"),
                or_(code.c.ask == bindparam("ask"), code.c.sent > bindparam("since")),
            )
        )
        vote = tables.vote
        self._signed = compiler.text(
            select(*columns[Vote])
            .where(vote.c.how == literal_column("'passkey'"))
            .order_by(vote.c.at, vote.c.ask, vote.c.person)
        )
        self._sessions = compiler.text(select(*columns[Session]).where(tables.session.c.person == bindparam("person")))
        identity = tables.identity
        self._identities = compiler.text(
            select(*columns[Identity]).where(identity.c.person == bindparam("person")).order_by(identity.c.issuer)
        )

    async def executions(self, person: str, limit: int, cursor: str | None) -> Page:
        """What agents did in this person's name, newest first. Raises BadRequest (`bad_query`)."""
        before = None if cursor is None else read_cursor(cursor)
        known = await self._people.find(person)
        if known is None:
            return Page(())
        limit = max(1, min(limit, LONGEST))
        text = self._done if before is None else self._done_before
        (rows,) = await self._reader.fetch((text, text.args(person=known.pid, most=limit + 1, before=before)))
        items = await self._codec.records(Execution, rows[:limit])
        return Page(items, cursor_of(items[-1].id) if len(rows) > limit else None)

    async def unfinished(self, person: str) -> tuple[tuple[str, str], ...]:
        """(id, agent) of what is open in this person's name, newest first."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._paused, self._paused.args(person=known.pid, most=10_000)))
        return tuple((row[0], row[1]) for row in rows)

    async def grants(self, person: str) -> tuple[tuple[Grant, ...], tuple[Consent, ...]]:
        """All that the person connected, at every provider, with what each agent may use of it; one snapshot."""
        known = await self._people.find(person)
        if known is None:
            return (), ()
        queries = [(text, text.args(person=known.pid)) for text in (self._grants, self._consents)]
        grants, consents = await self._reader.fetch(*queries)
        return await self._codec.records(Grant, grants), await self._codec.records(Consent, consents)

    async def passkeys(self, person: str) -> tuple[Passkey, ...]:
        """The person's passkeys, oldest first."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._passkeys, self._passkeys.args(person=known.pid)))
        return await self._codec.records(Passkey, rows)

    async def codes(self, person: str, ask: str, since: Millis) -> tuple[Code, ...]:
        """Codes that were mailed to the person: all for this ask, and every other one since then."""
        known = await self._people.find(person)
        if known is None:
            return ()
        args = self._codes.args(person=known.pid, ask=ask, since=since)
        (rows,) = await self._reader.fetch((self._codes, args))
        return await self._codec.records(Code, rows)

    async def signed_votes(self) -> tuple[Vote, ...]:
        """All votes, of everybody, that a passkey signed."""
        (rows,) = await self._reader.fetch((self._signed, ()))
        return await self._codec.records(Vote, rows)

    async def sessions(self, person: str) -> tuple[Session, ...]:
        """Where the person is signed in."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._sessions, self._sessions.args(person=known.pid)))
        return await self._codec.records(Session, rows)

    async def identities(self, person: str) -> tuple[Identity, ...]:
        """The issuers' accounts that the person is linked to."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._identities, self._identities.args(person=known.pid)))
        return await self._codec.records(Identity, rows)

    async def passes(self, person: str, now: Millis) -> tuple[Pass, ...]:
        """Approvals for a while that are in force and that the person gave, or that are about calls in their name."""
        (rows,) = await self._reader.fetch((self._passes, self._passes.args(now=now, most=MOST)))
        found = await self._codec.records(Pass, rows)
        return tuple(each for each in found if person in each.voters or each.user == person)
