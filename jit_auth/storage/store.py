"""The store: the only way to the database. One method writes (`apply`), the others read or keep house."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from jit_auth.core.ids import new_id
from jit_auth.errors import StorageError, VaultError
from jit_auth.model import (
    Applied,
    Ask,
    Audit,
    Backlog,
    Card,
    Challenge,
    Code,
    Execution,
    Flow,
    Grant,
    History,
    Idem,
    Linked,
    Millis,
    Op,
    Opened,
    Outbox,
    Pass,
    Passkey,
    Past,
    Raise,
    Session,
    Stale,
    Token,
    Unit,
)
from jit_auth.storage import tables
from jit_auth.storage.access import AccessReads
from jit_auth.storage.audit import Record
from jit_auth.storage.backlog import Backlogs
from jit_auth.storage.circles import Circles
from jit_auth.storage.clock import Clock
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler, compiler_for
from jit_auth.storage.cuts import CutReads
from jit_auth.storage.erase import EraseReads
from jit_auth.storage.history import Histories
from jit_auth.storage.house import House, Journal
from jit_auth.storage.job import Answer, Builder, Job
from jit_auth.storage.journal import Head, Texts
from jit_auth.storage.lists import Lists
from jit_auth.storage.making import Making
from jit_auth.storage.own import OwnReads
from jit_auth.storage.people import Keys, People, Unknown
from jit_auth.storage.place import Lock, file_of, make_private
from jit_auth.storage.read import Holdings, Reads, Situation
from jit_auth.storage.reader import Reader, SqliteReader
from jit_auth.storage.retention import Keep, Retention
from jit_auth.storage.rewrap import Rewrap
from jit_auth.storage.roles import Roles
from jit_auth.storage.schema import own_key, prepare_sqlite
from jit_auth.storage.shorten import Shorten
from jit_auth.storage.sqlite import SqliteJournal, scrub
from jit_auth.storage.turns import Turns
from jit_auth.vault import DataKey, Vault

R = TypeVar("R", Session, Linked, Code, Passkey, Challenge)


class Store:
    """One database, opened by one process. Made by `open`; used in the loop that opened it."""

    def __init__(
        self, *, process: str, serve: bool, vault: Vault, compiler: Compiler, reader: Reader, journal: Journal,
        index: bytes, lock: Lock | None, path: Path | None,
    ) -> None:  # fmt: skip
        self.process = process
        """Id of this process: its lease, and the first writer of its audit rows."""
        self.epoch = 0
        """Newest epoch known: that of the last batch written, or read by `stops` or `renew`."""
        self.bundle = ""
        """Hash of the published bundle, as last seen."""
        self.outbox: Callable[[Unit], tuple[Op, ...]] = lambda unit: ()
        """What else is written with each unit: the rows of what has to be told outside."""
        self.wrote: Callable[[Unit, Applied | Stale | StorageError], None] = lambda unit, answer: None
        """Called with each unit that this process asked to write, and what became of it."""
        self.batched: Callable[[int, float], None] = lambda units, seconds: None
        """Called after each transaction of the journal: how many units it held, how long it took."""
        self._serve = serve
        self._path = path
        self._vault = vault
        self._own = DataKey(index)
        self._reader = reader
        self._journal = journal
        self._lock = lock
        keys = Keys(index)
        self._people = People(vault, keys, compiler, reader, self._insert_person)
        self._backlog = Backlogs(compiler, reader)
        self._codec = Codec(compiler, self._people, keys)
        self._past = Histories(compiler, self._codec, self._people, reader)
        self._builder = Builder(compiler, self._codec, self._people)
        self._making = Making(lambda unit: self._builder.job(unit, self.outbox(unit)), self._people.ensure, journal)
        self._reads = Reads(compiler, self._codec, self._people, reader)
        self.circles = Circles(compiler, self._codec, self._people, reader, self.now)
        """What approvals look at beside their own execution."""
        self.lists = Lists(compiler, self._codec, self._people, reader)
        """An agent's executions."""
        self.own = OwnReads(compiler, self._codec, self._people, reader)
        """What one person may see of their own."""
        self.cuts = CutReads(compiler, self._codec, self._people, reader)
        """What a kill switch has to find."""
        self.erasing = EraseReads(compiler, self._codec, self._people, reader)
        """What an erasure has to find."""
        self.audit = Record(vault, compiler, self._people, reader)
        """The record: `verify`, `rows`, `tail`."""
        self._house = House(compiler, reader, journal, process)
        turns = Turns(vault, compiler, reader, journal)
        self.roles = Roles(compiler, reader)
        """What this process's role of the database may do."""
        self.shorten = Shorten(compiler, self.audit, journal, turns, self.roles, self._wraps_newest, self._making.made)
        """Removes the record's oldest rows."""
        self.keys = Rewrap(vault, compiler, reader, self._house, self.audit, self._making.made, journal, turns)
        """Vault keys: which are needed, and how they are rotated."""
        self.keep = Keep()
        """For how long content is kept once it is over."""
        self._retention = Retention(compiler, reader, journal, self._making.made)
        self._new_person = compiler.upsert(tables.person, ("look",), ())
        self._compiler = compiler

    @cached_property
    def access(self) -> AccessReads:
        """What an agent or a user can reach, and has used."""
        return AccessReads(self._compiler, self._codec, self._people, self._reader)

    @classmethod
    async def open(
        cls, url: str, vault: Vault, *, clock: Clock, base: Path, serve: bool, bundle: str | None = None
    ) -> Store:
        """Open `url` (SQLite paths against `base`), making the schema where the database is empty.

        `serve`: take the lock of an SQLite file, and a lease. `bundle`: publish this one. Whether the way to the
        server is safe was judged with the configuration. Raises StorageError: away, in use by another `serve`, an
        older PostgreSQL schema (the hint names `jit-auth db migrate`), a newer schema.
        """
        process = new_id("prc", clock(), os.urandom(10))
        path = file_of(url, base)
        compiler = compiler_for("postgresql" if path is None else "sqlite")
        texts, head = compiler.shared(Texts), Head(vault, process)
        lock: Lock | None = None
        if path is not None:
            make_private(path)
            lock = Lock(path) if serve else None
        opened: list[Store] = []  # the journal speaks to the store, which is made of it

        def tell(epoch: int, bundle: str, jobs: Sequence[Job], answers: Sequence[Answer], seconds: float) -> None:
            opened[0]._told(epoch, bundle)
            opened[0]._answered(jobs, answers, seconds)

        async with contextlib.AsyncExitStack() as undo:
            if lock is not None:
                undo.callback(lock.release)
            if path is None:
                from jit_auth.storage import remote  # see there

                await remote.prepare_postgres(url, vault, upgrade=False)
                reader: Reader = await remote.PostgresReader.open(url)
            else:
                await asyncio.to_thread(prepare_sqlite, path, vault)
                reader = SqliteReader(path)
            undo.push_async_callback(reader.close)
            index = await own_key(compiler, reader, vault)
            journal: Journal = (
                remote.PostgresJournal(url, texts, head, clock, process, tell)
                if path is None
                else SqliteJournal(path, texts, head, clock, process, tell)
            )
            undo.push_async_callback(journal.close)
            store = cls(process=process, serve=serve, vault=vault, compiler=compiler, reader=reader, journal=journal,
                        index=index, lock=lock, path=path)  # fmt: skip
            opened.append(store)
            await store._start(alone=lock is not None)
            if bundle is not None:
                await store.publish(bundle, "engine")
            undo.pop_all()
        return store

    async def close(self) -> None:
        """Write what is queued, give up the lease and the lock. Safe to repeat."""
        if self._serve:
            self._serve = False
            with contextlib.suppress(StorageError):  # the lease runs out by itself
                await self._house.leave()
        self._making.hand_over()
        await self._journal.close()
        await self._reader.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def now(self) -> Millis:
        """The database's time, in milliseconds since the epoch."""
        return self._journal.now()

    @property
    def skew(self) -> Millis:
        """How far the database's clock is ahead of this machine's: over 5 s not ready, over 60 s nothing is sent."""
        return self._journal.skew

    async def apply(self, unit: Unit) -> Applied | Stale:
        """Write all of `unit`, or nothing. Raises StorageError where the database is away (`unknown`: it may be in)."""
        return await self._making.apply(unit)

    def derive(self, label: str) -> bytes:
        """32 bytes for one purpose, from the store's own random key: they outlive every vault key."""
        return self._own.derive(f"for/{label}")

    async def scrub(self) -> bool:
        """Whether what was erased lies in no file of the database any more. PostgreSQL has its vacuum for that."""
        return self._path is None or await asyncio.to_thread(scrub, self._path)

    async def renew(self) -> None:
        """Renew this process's lease, and learn the epoch and bundle. The worker calls it every 5 s."""
        if self._serve:
            await self._lease()
        else:
            await self.stops()

    async def publish(self, bundle: str, actor: str, *facts: dict[str, Any]) -> int:
        """Make `bundle` the published one, raising the epoch if it differs; the epoch then. `facts` go on record with
        it, in any case. Raises StorageError."""
        epoch, published, _ = await self.stops()
        ops: tuple[Op, ...] = ()
        if published != bundle:
            ops, facts = (Raise(bundle=bundle),), ({"do": "bundle", "bundle": bundle, "was": published}, *facts)
        if not facts:
            return epoch
        return (await self.apply(Unit(None, ops, Audit(actor=actor, what=facts)))).epoch

    async def execution(self, id: str) -> Execution | None:
        """The execution, with its parameters and result opened."""
        return await self._reads.one(Execution, id)

    async def opened(self, id: str) -> Opened | None:
        """The execution with its asks and votes, in one snapshot."""
        return await self._reads.opened(id)

    async def copied(self, id: str) -> tuple[Card | None, Opened | None]:
        """A copy of a question with its execution, in one snapshot."""
        return await self._reads.copied(id)

    async def cards(self, execution: str) -> tuple[Card, ...]:
        """The copies of an execution's questions."""
        return await self._reads.cards(execution)

    async def ask(self, id: str) -> Ask | None:
        """One question."""
        return await self._reads.one(Ask, id)

    async def card(self, id: str) -> Card | None:
        """One copy of a question."""
        return await self._reads.one(Card, id)

    async def row(self, kind: type[R], id: str) -> R | None:
        """What a sign-in has left, by its id: a session, link, code or challenge by a MAC, a passkey by its own."""
        return await self._reads.one(kind, id)

    async def flow(self, id: str) -> Flow | None:
        """One OAuth round trip."""
        return await self._reads.one(Flow, id)

    async def grant(self, id: str) -> Grant | None:
        """One grant, revoked or not, its token sealed."""
        return await self._reads.one(Grant, id)

    async def idem(self, scope: str) -> Idem | None:
        """The row of an idempotency key. Compare its body with `same_body`."""
        return await self._reads.idem(scope)

    def same_body(self, idem: Idem, body: str) -> bool:
        """Whether the row that `idem` gave is of this body. Constant time."""
        return self._codec.same_body(idem, body)

    async def joined(self, open_key: str) -> Execution | None:
        """The paused execution that `Stale("open")` spoke of."""
        return await self._reads.joined(open_key)

    async def grants(self, user: str, provider: str) -> Holdings:
        """A user's grants at a provider in all states but revoked, with their consents; one snapshot."""
        return await self._reads.grants(user, provider)

    async def stops(self) -> Situation:
        """(epoch, bundle, all stops, lifted ones too), one snapshot."""
        situation = await self._reads.stops()
        self._told(situation[0], situation[1])
        return situation

    async def look(self) -> None:
        """Learn the newest epoch and bundle, which is cheap enough for every second; a lease that lapsed is renewed."""
        self._told(*await self._reads.epoch())
        if self._serve and self._house.lapsed:
            await self._lease()

    async def reveal(self, row: Grant | Outbox) -> Token:
        """The token of a row that was read, in the clear. Raises VaultError where it was altered, moved or erased."""
        codec = self._codec.of(type(row))
        try:
            return codec.reveal(row)
        except Unknown as unknown:
            if await self._people.find(unknown.id) is None:
                raise VaultError(f"Nobody is known who holds the key of {row.id}.") from None
            return codec.reveal(row)

    async def due(self, limit: int = 100) -> tuple[str, ...]:
        """Ids of executions to look at, longest due first: due, and not executing in another living process."""
        return await self._reads.due(self.now(), self.process, limit)

    async def cards_due(self, limit: int = 100) -> tuple[Card, ...]:
        """Cards to show again, longest due first."""
        return await self._reads.cards_due(self.now(), limit)

    async def outbox_due(self, limit: int = 100) -> tuple[Outbox, ...]:
        """What is owed outside, longest due first."""
        return await self._reads.outbox_due(self.now(), limit)

    async def waiting(self, agent: str, user: str | None, provider: str) -> tuple[str, ...]:
        """Paused executions of an agent that this user's open consent holds up."""
        return await self._reads.waiting(agent, user, provider)

    async def standing(self, id: str) -> Pass | None:
        """One approval for a while, whatever has become of it."""
        return await self._reads.one(Pass, id)

    async def history(self, past: Past, now: Millis | None = None) -> History:
        """What was attempted before, as far as `past` reads it; `now`: as of then. A deciding unit names the same
        `past` in its `At`, and is `Stale("history")` where counting again gives another decision."""
        return await self._past.read(past, self.now() if now is None else now)

    async def backlog(self) -> Backlog:
        """What waits at this moment, each count capped: cheap enough for every look at the metrics."""
        return await self._backlog.read(self.now())

    async def sweep(self) -> None:
        """Remove what has passed its time (flows, keys, tallies, sessions, codes; content), and processes long dead."""
        await self._house.sweep()
        await self._retention.sweep(self.keep)
        if self.keep.audit is not None:
            await self.shorten.sweep(self.now() - self.keep.audit)

    def _wraps_newest(self) -> bool:
        """Whether new keys of people are wrapped under the newest vault key: each living process has it."""
        return self._people.wrap_under == self._vault.ids[0]

    async def _start(self, *, alone: bool) -> None:
        """Take a lease. `alone`: the lock proves that every other process of this file is dead."""
        await self._house.learn()
        if self._serve:
            if alone:
                await self._house.take_over()
            await self._lease()
        else:
            await self._agree()
        await self.stops()

    def _answered(self, jobs: Sequence[Job], answers: Sequence[Answer], seconds: float) -> None:
        for job, answer in zip(jobs, answers, strict=True):
            if job.unit is not None and isinstance(answer, Applied | Stale | StorageError):
                self.wrote(job.unit, answer)
        self.batched(len(jobs), seconds)

    async def _lease(self) -> None:
        await self._agree()
        first = self._people.wrap_under
        await self._house.renew((first, *(key for key in self._vault.ids if key != first)))

    async def _agree(self) -> None:
        """Wrap with the first key that every living process has: replicas are restarted one after the other."""
        others = (await self._house.living()).values()
        common = [key for key in self._vault.ids if all(key in keys for keys in others)]
        self._people.wrap_under = common[0] if common else self._vault.ids[0]

    async def _insert_person(self, values: tuple[Any, ...]) -> None:
        pid, look, key, sealed = values
        job = Job()
        job.loose.append((self._new_person, self._new_person.args(pid=pid, look=look, key=key, id=sealed)))
        await self._journal.submit(job)

    def _told(self, epoch: int, bundle: str) -> None:
        if epoch >= self.epoch:
            self.epoch, self.bundle = epoch, bundle
