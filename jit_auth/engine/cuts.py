"""The kill switch: what an operator cuts off, each as one unit that raises the epoch; and what is given back to
providers afterwards.

Attacks: a call that was decided just before is sent just after (the raise names its agent, user, grant or connector;
every intent is compared with it in its own transaction, THREAT_MODEL 9); a consent, refresh or sign-in under way
revives what was cut (what is there at the raise is cut by statement, what comes later names an older epoch,
THREAT_MODEL 25); a provider that is away keeps the switch waiting (the cut is committed first; what is left after five
seconds stays in the outbox). It reads the store and what the files name, never what a process believes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from jit_auth.core.ids import is_id
from jit_auth.egress import Egress
from jit_auth.engine.author import Author
from jit_auth.engine.report import Report
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import NotFound, StorageError, Unavailable, VaultError
from jit_auth.model import (
    Applied,
    Audit,
    Change,
    Committed,
    Consent,
    Cut,
    Delete,
    Grant,
    Insert,
    Millis,
    Op,
    Outbox,
    Provider,
    Raise,
    Rouse,
    Stop,
    Token,
    Unit,
    Who,
)
from jit_auth.oauth.owed import owed, revocable
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds in which providers are asked before whoever throws the switch is answered."""
AT_ONCE = 16
AHEAD: Millis = 5_000
"""A cut of a user first bars what is begun up to now and this: its commit takes a moment, which is not known before."""


async def _nothing(executions: Sequence[str]) -> None:
    """Where no service runs in this process, the next one that does ends what is due."""


@dataclass(frozen=True)
class Named:
    """What the files name. Of connectors and providers None: they cannot be read, and any name will do."""

    agents: Collection[str]
    connectors: Collection[str] | None
    providers: Mapping[str, Provider] | None


@dataclass(frozen=True)
class Cuts:
    """Throws and lifts the switches of one store."""

    store: Store
    egress: Egress
    named: Callable[[], Named]
    settle: Callable[[Sequence[str]], Awaitable[None]] = field(default=_nothing)
    """Called after each commit with executions that were cut."""

    async def agent(self, name: str, author: Author) -> Report:
        """Suspend an agent, take its consents, and end each grant that no other agent uses. Raises NotFound."""
        await self._known_agent(name)
        held = await self.store.cuts.paused("agent", name)
        report = Report("agent", name, executions=len(held))
        rows: list[Outbox] = []
        silent: set[str] = set()
        cut = False
        for _ in range(MOST_STALE):
            # A grant that was made between reading and the raise is found the second time; then nothing new can come.
            grants, consents = await self.store.cuts.granted(name)
            mine = [each for each in consents if each.agent == name]
            if cut and not mine:
                return await self._give_back(report, rows, silent)
            others = {each.grant for each in consents if each.agent != name}
            lone = [grant for grant in grants if grant.id not in others]
            ops: list[Op] = [Delete(each) for each in mine]
            stops = [self._stop("agent", name, author)]
            records: list[Audit] = []
            owing: list[Outbox] = []
            for grant in lone:
                stops.append(await self._end(grant, (), author, ops, owing, silent))
                records.append(self._record(grant, author, name))
            fact = author.fact("agent.suspended", agent=name, grants=len(lone), consents=len(mine))
            audit = Audit(actor=author.actor, what=(fact,), agent=name)
            ops += [Cut(self.store.now(), agent=name), Raise(tuple(stops))]
            if await self._applied(Unit(None, tuple(ops), audit, tuple(records))) is None:
                continue
            cut = True
            rows += owing
            report = replace(report, grants=report.grants + len(lone), consents=report.consents + len(mine))
            await self.settle(held)
        raise _busy()

    async def suspend(self, name: str, author: Author) -> Report:
        """The agent does nothing until it is restored; what is open ends. Its consents stay. Raises NotFound."""
        await self._known_agent(name)
        held = await self.store.cuts.paused("agent", name)
        ops = (Cut(self.store.now(), agent=name), Raise((self._stop("agent", name, author),)))
        audit = Audit(actor=author.actor, what=(author.fact("agent.suspended", agent=name),), agent=name)
        await self.store.apply(Unit(None, ops, audit))
        await self.settle(held)
        return Report("agent", name, executions=len(held))

    async def user(self, person: str, author: Author) -> Report:
        """Cut all that was given and begun in a person's name, and where they are signed in. No ban: the next call
        asks for a consent. Raises NotFound."""
        if not await self.store.cuts.knows_person(person):
            raise NotFound(f"Nobody is known as {person!r}.", hint="An id of a person, as in [people] or in calls.")
        silent: set[str] = set()
        for _ in range(MOST_STALE):
            grants, consents = await self.store.own.grants(person)
            sessions = await self.store.own.sessions(person)
            held = await self.store.cuts.paused("user", person)
            now = self.store.now()
            passes = [each for each in await self.store.own.passes(person, now) if each.user == person]
            ops: list[Op] = [Change(each, {"ended": "revoked"}) for each in passes]
            owing: list[Outbox] = []
            stops = [self._stop("cut", person, author, now + AHEAD)]
            for grant in grants:
                stops.append(await self._end(grant, (), author, ops, owing, silent))
            fact = self._of_person(author, person, author.fact("user.revoked", grants=len(grants)))
            audit = Audit(actor=author.actor, what=(fact,), user=person)
            records = tuple(self._record(grant, author, None) for grant in grants)
            ops += [Cut(now, user=person), Raise(tuple(stops))]
            applied = await self._applied(Unit(None, tuple(ops), audit, records))
            if applied is None:
                continue
            # What was begun by the commit is cut; whatever begins from now on is not.
            exact = Raise((self._stop("cut", person, author, applied.at),))
            again = Audit(actor=author.actor, what=({"do": "user.cut", "at": applied.at},), user=person)
            with contextlib.suppress(StorageError):  # then what begins in the next seconds is refused, too
                await self.store.apply(Unit(None, (exact,), again))
            await self.settle(held)
            report = Report("user", person, len(grants), len(consents), len(sessions), len(held), len(passes))
            return await self._give_back(report, owing, silent)
        raise _busy()

    async def grant(self, id: str, author: Author, alone: str | None = None) -> Report:
        """End an OAuth grant (`grt_`) or an approval for a while (`pas_`). Ended already: nothing. `alone`, an agent:
        where others use the grant too, only this agent's consent ends. Raises NotFound."""
        if is_id(id, "pas"):
            return await self._pass(id, author)
        silent: set[str] = set()
        for _ in range(MOST_STALE):
            grant = await self.store.grant(id) if is_id(id, "grt") else None
            if grant is None:
                raise NotFound(f"There is no grant {id[:80]!r}.", hint="Ids begin with grt_, or pas_ for a while.")
            if grant.state == "revoked":
                return Report("grant", id)
            _, consents = await self.store.own.grants(grant.user)
            mine = [each for each in consents if each.grant == id]
            ops: list[Op] = []
            owing: list[Outbox] = []
            rouse = Rouse(grant.user, self.store.now())
            if alone is not None and any(each.agent != alone for each in mine):
                mine = [each for each in mine if each.agent == alone]
                # Bars nothing: what was decided in this person's name before is decided anew.
                marker = self._stop("own", f"/{grant.user}", author)
                record = self._record(grant, author, alone, "consent.withdrawn")
                unit = Unit(None, (*map(Delete, mine), rouse, Raise((marker,))), record)
                if await self._applied(unit) is None:
                    continue
                await self.settle(())
                return Report("grant", id, consents=len(mine))
            stop = await self._end(grant, mine, author, ops, owing, silent)
            ops += [rouse, Raise((stop,))]
            if await self._applied(Unit(None, tuple(ops), self._record(grant, author, alone))) is None:
                continue
            await self.settle(())
            return await self._give_back(Report("grant", id, 1, len(mine)), owing, silent)
        raise _busy()

    async def connector(self, name: str, author: Author) -> Report:
        """Nothing of a connector is sent until it is restored; what is open ends. Raises NotFound."""
        await self._known_connector(name)
        held = await self.store.cuts.paused("connector", name)
        ops = (Cut(self.store.now(), connector=name), Raise((self._stop("connector", name, author),)))
        fact = author.fact("connector.stopped", connector=name)
        await self.store.apply(Unit(None, ops, Audit(actor=author.actor, what=(fact,))))
        await self.settle(held)
        return Report("connector", name, executions=len(held))

    async def restore(self, kind: str, name: str, author: Author) -> None:
        """Lift the stop of an agent or connector, and nothing else: what was cut or ended stays so. Raises NotFound."""
        await (self._known_agent(name) if kind == "agent" else self._known_connector(name))
        if (kind, name) not in await self._stops(active=True):
            return
        stop = replace(self._stop(kind, name, author), active=False)
        audit = Audit(
            actor=author.actor,
            what=(author.fact(f"{kind}.restored", **{kind: name}),),
            agent=name if kind == "agent" else None,
        )
        await self.store.apply(Unit(None, (Raise((stop,)),), audit))
        await self.settle(())

    async def _pass(self, id: str, author: Author) -> Report:
        for _ in range(MOST_STALE):
            found = await self.store.standing(id)
            if found is None:
                raise NotFound(f"There is no approval {id!r}.", hint="`jit-auth approvals list` names those in force.")
            if found.ended is not None:
                return Report("grant", id)
            # A call that would use it takes one of its uses: by then its version is another one.
            fact = author.fact("pass.ended", **{"pass": found.id}) | {"why": "revoked"}
            audit = Audit(actor=author.actor, what=(fact,), user=found.user, agent=found.chain[0])
            unit = Unit(None, (Change(found, {"ended": "revoked"}), Raise()), audit)
            if await self._applied(unit) is not None:
                await self.settle(())
                return Report("grant", id, passes=1)
        raise _busy()

    async def _end(
        self, grant: Grant, consents: Sequence[Consent], author: Author, ops: list[Op], owing: list[Outbox],
        silent: set[str],
    ) -> Stop:  # fmt: skip
        """The end of a grant, for good: its ops, what is owed to its provider, and the stop to raise for it."""
        now = self.store.now()
        to: dict[str, Any] = {
            "state": "revoked",
            "token": None,
            "refreshable": False,
            "refresher": None,
            "refresher_until": None,
            "updated": now,
        }
        ops += [Change(grant, to), *(Delete(each) for each in consents)]
        providers = self.named().providers
        provider = None if providers is None else providers.get(grant.provider)
        if providers is not None and (provider is None or not revocable(provider)):
            silent.add(grant.provider)
        elif grant.token is not None:
            try:
                token = await self.store.reveal(grant)
            except VaultError as error:
                log.warning("the token of %s cannot be opened, and so not be revoked: %s", grant.id, error.message)
            else:
                # Tried here first: not twice at once.
                due = now + round(PATIENCE * 1_000)
                owing.append(owed(grant.user, grant.provider, token, now, due=due))
                ops.append(Insert(owing[-1]))
        return self._stop("grant", grant.id, author)

    async def _give_back(self, report: Report, rows: Sequence[Outbox], silent: Collection[str]) -> Report:
        """Ask the providers for as long as there is patience. The cut is committed: nothing here may undo that."""
        if not rows:
            return replace(report, unrevocable=tuple(sorted(silent)))
        # What speaks OAuth (authlib, joserfc) is an eighth of the command's start, and the cut does not wait for it.
        from jit_auth.oauth.revoke import revoke

        done: set[str] = set()
        providers = self.named().providers
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(row: Outbox) -> None:
            provider = None if providers is None else providers.get(row.provider)
            if provider is None or not isinstance(row.token, Token):
                return
            async with limit:
                if not await revoke(self.egress, provider, row.token):
                    return
            done.add(row.id)
            fact = {"do": "token.revoked", "provider": row.provider}
            # Stale: a worker has done the same meanwhile.
            await self.store.apply(Unit(None, (Delete(row),), Audit(actor="engine", what=(fact,), user=row.user)))

        try:
            async with asyncio.timeout(PATIENCE):
                came = await asyncio.gather(*map(one, rows), return_exceptions=True)
        except TimeoutError:
            came = []
        for error in came:
            if isinstance(error, BaseException):
                log.warning("a token is left to the outbox: %s", type(error).__name__)
        return replace(report, revoked=len(done), pending=len(rows) - len(done), unrevocable=tuple(sorted(silent)))

    async def _applied(self, unit: Unit) -> Applied | None:
        """None: something has moved, and nothing was written."""
        answer = await self.store.apply(unit)
        return answer if isinstance(answer, Applied) else None

    async def _stops(self, *, active: bool = False) -> set[tuple[str, str]]:
        _, _, stops = await self.store.stops()
        return {(stop.kind, stop.id) for stop in stops if stop.active or not active}

    async def _known_agent(self, name: str) -> None:
        known = name in self.named().agents or await self.store.cuts.knows_agent(name)
        if known or ("agent", name) in await self._stops():
            return
        raise NotFound(f"There is no agent {name[:80]!r}.", hint="Its name, as in [agents.NAME].")

    async def _known_connector(self, name: str) -> None:
        connectors = self.named().connectors
        if connectors is None or name in connectors or ("connector", name) in await self._stops():
            return
        raise NotFound(f"There is no connector {name[:80]!r}.", hint="`jit-auth connectors list` names them.")

    def _stop(self, kind: str, id: str, author: Author, at: Millis | None = None) -> Stop:
        when = self.store.now() if at is None else at
        return Stop(kind=kind, id=id, epoch=0, active=True, who=author.actor, why=author.why, at=when)

    def _record(self, grant: Grant, author: Author, agent: str | None, did: str = "grant.revoked") -> Audit:
        fact = author.fact(did, grant=grant.id, provider=grant.provider)
        return Audit(
            actor=author.actor, what=(self._of_person(author, grant.user, fact),), user=grant.user, agent=agent
        )

    def _of_person(self, author: Author, person: str, fact: dict[str, Any]) -> dict[str, Any]:
        """What an operator writes about one person is committed to, and sealed with the stop (THREAT_MODEL 13)."""
        reason = {"why": Committed(author.why)} if author.why else {}
        return {**fact, **reason, "of": Who(person)}


def _busy() -> Unavailable:
    return Unavailable("Others are changing this very moment.", hint="Try again. What was cut so far stays cut.")
