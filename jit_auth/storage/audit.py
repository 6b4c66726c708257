"""The record: reading it with people's names, and verifying its chains in one snapshot."""

from __future__ import annotations

import binascii
import contextlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from msgspec import Struct
from sqlalchemy import and_, bindparam, literal_column, or_, select

from jit_auth.core import chain
from jit_auth.core.chain import Break, Link
from jit_auth.core.ids import born
from jit_auth.core.mac import Mac
from jit_auth.core.times import rfc3339
from jit_auth.errors import BadRequest, VaultError
from jit_auth.model import Millis, Page
from jit_auth.storage import facts, pack, tables
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.facts import PERSON
from jit_auth.storage.feed import Feed
from jit_auth.storage.journal import CHAIN, RETIRED
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader, Rows
from jit_auth.vault import Vault

OVERLAP: Millis = 5_000
"""How far the times of two rows may disagree with the order of their commits."""
_PLACE = re.compile(r"([0-9]{1,15})/([ -~]{1,100})-([0-9]{1,15})")


class Entry(Struct, frozen=True, kw_only=True):
    """One audit row with people's names (`erased:PSEUDONYM` where they were erased). `id` is writer-seq."""

    id: str
    at: Millis
    actor: str
    user: str | None
    agent: str | None
    execution: str | None
    what: tuple[dict[str, Any], ...]

    def data(self) -> dict[str, Any]:
        """The row as it is exported."""
        return {
            "id": self.id,
            "at": rfc3339(self.at),
            "actor": self.actor,
            "user": self.user,
            "agent": self.agent,
            "execution": self.execution,
            "what": list(self.what),
        }


class Verified(Struct, frozen=True):
    """The answer of `verify`: how much was read, what is broken, and by vault key the digest of its writers' ends."""

    rows: int
    writers: int
    breaks: tuple[Break, ...]
    ends: dict[str, str] = {}


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        audit = tables.audit
        self.columns = (
            audit.c.writer, audit.c.seq, audit.c.at, audit.c.actor, audit.c.person, audit.c.agent, audit.c.execution,
            audit.c.what,
        )  # fmt: skip
        chained = select(*self.columns, audit.c.key, audit.c.mac).order_by(audit.c.writer, audit.c.seq)
        self.all = compiler.text(chained)
        self.firsts = compiler.text(
            select(audit.c.what).where(audit.c.seq == literal_column("0")).order_by(audit.c.writer)
        )
        self.naming = compiler.text(
            select(*self.columns)
            .where(audit.c.what.like(bindparam("like")))
            .order_by(audit.c.at, audit.c.writer, audit.c.seq)
        )
        self.of = compiler.text(
            select(*self.columns)
            .where(audit.c.execution == bindparam("execution"), audit.c.told.is_(literal_column("true")))
            .order_by(audit.c.at, audit.c.writer, audit.c.seq)
        )
        self.retired = compiler.text(select(tables.secret.c.name, tables.secret.c.value))
        following = select(audit.c.writer).where(audit.c.writer > bindparam("after")).order_by(audit.c.writer)
        self.following = compiler.text(following.limit(literal_column("1")))
        of = select(*self.columns, audit.c.key, audit.c.mac).where(audit.c.writer == bindparam("writer"))
        self.end = compiler.text(of.order_by(audit.c.seq.desc()).limit(literal_column("1")))
        self.begin = compiler.text(of.order_by(audit.c.seq).limit(bindparam("most")))
        newest = select(audit.c.writer).order_by(audit.c.writer.desc()).limit(literal_column("1"))
        self.newest = compiler.text(newest)
        self.next = compiler.text(newest.where(audit.c.writer < bindparam("before")))
        self.last = compiler.text(
            select(*self.columns)
            .where(audit.c.writer == bindparam("writer"))
            .order_by(audit.c.seq.desc())
            .limit(bindparam("most"))
        )


class Record:
    """The audit rows of one store."""

    def __init__(self, vault: Vault, compiler: Compiler, people: People, reader: Reader) -> None:
        self._vault = vault
        self._compiler = compiler
        self._people = people
        self._reader = reader
        self.feed = Feed(compiler, reader)
        """The rows as they come."""
        self._texts = compiler.shared(_Texts)

    async def verify(self, progress: Callable[[int], None] | None = None) -> Verified:
        """Check every chain, in one snapshot: works while the service writes. Raises StorageError.

        `progress` is told now and then how many rows were read.
        """
        count = 0
        async with self._reader.snapshot() as snapshot:
            macs, retired = self._keys(await snapshot.fetch((self._texts.retired, ())))
            promised: dict[tuple[str, int], bytes] = {}
            breaks: list[Break] = []
            for (what,) in await snapshot.fetch((self._texts.firsts, ())):
                for writer, seq, mac in chain.seen(what) or ():
                    promised[writer, seq] = mac
            verifier = chain.Verifier(promised, macs.get, retired)
            async for rows in snapshot.stream((self._texts.all, ())):
                count += len(rows)
                if progress is not None:
                    progress(count)
                breaks += verifier.feed(_links(rows))
            breaks += verifier.end()
        return Verified(count, verifier.writers, tuple(breaks), verifier.ends())

    async def macs(self) -> dict[str, Mac]:
        """The chain MACs of all vault keys that are here, or were retired."""
        (rows,) = await self._reader.fetch((self._texts.retired, ()))
        return self._keys(rows)[0]

    async def ends(self) -> list[Link]:
        """The last row of every writer, in order."""
        found: list[Link] = []
        after = ""
        while True:
            (writers,) = await self._reader.fetch((self._texts.following, self._texts.following.args(after=after)))
            if not writers:
                return found
            after = writers[0][0]
            (rows,) = await self._reader.fetch((self._texts.end, self._texts.end.args(writer=after)))
            found += _links(rows)

    async def beginning(self, writer: str, most: int) -> list[Link]:
        """The first rows of a writer that there are."""
        (rows,) = await self._reader.fetch((self._texts.begin, self._texts.begin.args(writer=writer, most=most)))
        return list(_links(rows))

    def _keys(self, rows: Rows) -> tuple[dict[str, Mac], set[str]]:
        macs = {key: Mac(self._vault.derive(CHAIN, key)) for key in self._vault.ids}
        retired: set[str] = set()
        for name, sealed in rows:
            if name.startswith(RETIRED):
                key = name.removeprefix(RETIRED)
                retired.add(key)
                with contextlib.suppress(VaultError):  # its rows are told of: their key is not here
                    macs[key] = Mac(self._vault.open(bytes(sealed), table="secret", row=name, column="value"))
        return macs, retired

    async def rows(self, *, since: Millis | None = None, execution: str | None = None) -> AsyncIterator[Entry]:
        """Rows in order of time, from one snapshot. `since` is included."""
        audit = tables.audit
        statement = select(*self._texts.columns).order_by(audit.c.at, audit.c.writer, audit.c.seq)
        if since is not None:
            statement = statement.where(audit.c.at >= bindparam("since"))
        if execution is not None:
            statement = statement.where(audit.c.execution == bindparam("execution"))
        text = self._compiler.text(statement)
        async with self._reader.snapshot() as snapshot:
            async for rows in snapshot.stream((text, text.args(since=since, execution=execution)), 500):
                for entry in await self._entries(rows):
                    yield entry

    async def page(self, *, since: Millis | None, execution: str | None, limit: int, cursor: str | None) -> Page:
        """Rows newest first, `since` included; an execution's from its beginning on. Raises BadRequest (`bad_query`).

        It runs on a connection of its own: an old execution may be far back, and nobody else waits behind it.
        """
        audit = tables.audit
        where: list[Any] = []
        values: dict[str, Any] = {"most": limit + 1}
        first = max((at for at in (since, born(execution or "")) if at is not None), default=None)
        if first is not None:
            where.append(audit.c.at >= bindparam("since"))
            values["since"] = first
        if execution is not None:
            where.append(audit.c.execution == bindparam("execution"))
            values["execution"] = execution
        if cursor is not None:
            at, writer, seq = _read_cursor(cursor)
            same = and_(audit.c.writer == bindparam("writer"), audit.c.seq < bindparam("seq"))
            earlier = or_(audit.c.at < bindparam("at"), audit.c.writer < bindparam("writer"), same)
            where += [audit.c.at <= bindparam("at"), earlier]
            values |= {"at": at, "writer": writer, "seq": seq}
        newest = (audit.c.at.desc(), audit.c.writer.desc(), audit.c.seq.desc())
        statement = select(*self._texts.columns).where(*where).order_by(*newest).limit(bindparam("most"))
        text = self._compiler.text(statement)
        async with self._reader.snapshot() as snapshot:
            rows = await snapshot.fetch((text, text.args(**values)))
        items = await self._entries(rows[:limit])
        return Page(items, _cursor(items[-1]) if len(rows) > limit else None)

    async def naming(self, word: str) -> tuple[Entry, ...]:
        """The rows whose facts hold a word of ours, in order of time: for what is seldom. Raises StorageError."""
        (rows,) = await self._reader.fetch((self._texts.naming, self._texts.naming.args(like=f"%{word}%")))
        return await self._entries(rows)

    async def after(self, execution: str, named: str | None) -> tuple[Entry, ...]:
        """The rows of an execution that may have been committed after the row `named`, in order of time; of one that
        never paused, or whose first step this was, none.

        Its writer's later rows, and whatever others wrote from a moment before its time on: two writers' clocks are the
        database's, as each of them believes it to be, and their commits may overtake each other, so that a row may come
        twice, and none is left out. None, or an id that is no row of this execution: all.
        """
        (rows,) = await self._reader.fetch((self._texts.of, self._texts.of.args(execution=execution)))
        entries = await self._entries(rows)
        at = next((entry.at for entry in entries if entry.id == named), None)
        if at is None:
            return entries
        writer, _, seq = (named or "").rpartition("-")
        return tuple(entry for entry in entries if entry.at >= at - OVERLAP and not _before(entry.id, writer, int(seq)))

    async def tail(self, count: int) -> tuple[Entry, ...]:
        """The newest `count` rows, in order of time."""
        found: Rows = []
        (heads,) = await self._reader.fetch((self._texts.newest, self._texts.newest.args()))
        while heads:
            writer = heads[0][0]
            args = self._texts.last.args(writer=writer, most=count)
            heads, rows = await self._reader.fetch(
                (self._texts.next, self._texts.next.args(before=writer)), (self._texts.last, args)
            )
            found += rows
        found.sort(key=lambda row: (row[2], row[0], row[1]))
        return await self._entries(found[-count:])

    async def _entries(self, rows: Rows) -> tuple[Entry, ...]:
        decoded = [(row, pack.facts(row[7])) for row in rows]
        pids: set[str] = set()
        for (_, _, _, actor, person, *_), what in decoded:
            pids.update(facts.pseudonyms(what))
            pids.update(
                one for one in (person, actor.removeprefix(PERSON) if actor.startswith(PERSON) else None) if one
            )
        people = await self._people.load(pids)
        return tuple(
            Entry(
                id=f"{writer}-{seq}", at=at, agent=agent, execution=execution,
                actor=PERSON + people[actor.removeprefix(PERSON)].id if actor.startswith(PERSON) else actor,
                user=None if person is None else people[person].id, what=tuple(facts.resolved(what, people)),
            )
            for (writer, seq, at, actor, person, agent, execution, _), what in decoded
        )  # fmt: skip


def _cursor(last: Entry) -> str:
    return urlsafe_b64encode(f"{last.at}/{last.id}".encode()).rstrip(b"=").decode()


def _read_cursor(cursor: str) -> tuple[Millis, str, int]:
    """The (at, writer, seq) after which a page begins. It only positions: it opens nothing."""
    try:
        found = _PLACE.fullmatch(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii"))
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        raise BadRequest("This is no cursor of a list.", code="bad_query", hint="Take `next` of the page before.")
    return int(found[1]), found[2], int(found[3])


def _links(rows: Iterable[tuple[Any, ...]]) -> Iterator[Link]:
    for writer, seq, at, actor, person, agent, execution, what, key, mac in rows:
        yield Link(writer, seq, at, key, chain.body(actor, person, agent, execution, what), bytes(mac))


def _before(entry_id: str, writer: str, seq: int) -> bool:
    """Whether a row is the named one, or stands before it in the same writer's chain."""
    other, _, number = entry_id.rpartition("-")
    return other == writer and int(number) <= seq
