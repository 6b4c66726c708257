"""What one person may see of their own: what waits for them, what was done in their name, what they gave to whom.

Attacks: somebody else's calls, accounts or approvals on this page (everything is read by the person who is signed in,
and by no id that was sent); a page that is slow for whoever has many calls (nothing here reads more than a page of
them); an agent that reads who decided (only the person in whose name it acted is shown that).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct

from jit_auth.catalog.load import Operation
from jit_auth.engine.circle import Circle
from jit_auth.engine.consents import Consents
from jit_auth.engine.current import Current
from jit_auth.engine.memory import Memory
from jit_auth.engine.sought import seek, void
from jit_auth.engine.withdrawals import ALL
from jit_auth.errors import NotFound
from jit_auth.model import Action, Ask, Consent, Execution, Grant, Millis, Pass, Session, Vote
from jit_auth.storage.store import Store

PAGE = 50
"""Calls on one page."""
MOST_WAITING = 50
LOOKED_AT = 200
"""Open questions of everybody among which a person's are looked for; beyond that, those they have a copy of."""


class Waiting(Struct, frozen=True, kw_only=True):
    """A question that waits for this person. `link`: where it is answered."""

    kind: str
    """approval, outcome or consent."""
    link: str
    execution: Execution | None
    """None: an agent asks to connect before any call."""
    action: Action | None
    provider_name: str
    expires: Millis
    agent: str
    wants: tuple[Action, ...] = ()
    """Without a call: what the agent wants to be ready for."""


class Deed(Struct, frozen=True, kw_only=True):
    """What an agent did, or wants to do, in this person's name. `action`: None where there is none of that name now."""

    execution: Execution
    action: Action | None
    provider_name: str
    votes: tuple[Vote, ...] = ()
    under: tuple[str, ...] = ()
    """Who gave the approval for a while that it was sent under."""


class Share(Struct, frozen=True, kw_only=True):
    """What one agent may use of an account. `used`: its last use among the last calls, if any."""

    agent: str
    scopes: tuple[str, ...]
    since: Millis
    used: Millis | None


class Account(Struct, frozen=True, kw_only=True):
    """An account that this person connected."""

    grant: str
    provider_name: str
    account: str
    state: str
    scopes: tuple[str, ...]
    """What the provider granted."""
    scope_titles: Mapping[str, str]
    since: Millis
    shares: tuple[Share, ...]


class Helper(Struct, frozen=True, kw_only=True):
    """An agent that acts, or could act, for this person. `stopped`: by themselves."""

    agent: str
    stopped: bool


class Mine(Struct, frozen=True, kw_only=True):
    """The whole page; a later page of deeds holds nothing else. `cursor`: of the next one."""

    person: str
    waiting: tuple[Waiting, ...] = ()
    more_waiting: bool = False
    deeds: tuple[Deed, ...]
    cursor: str | None
    accounts: tuple[Account, ...] = ()
    shared: bool = False
    """`[users] consent = "shared"`: what is given to one agent counts for all."""
    passes: tuple[Pass, ...] = ()
    helpers: tuple[Helper, ...] = ()
    all_stopped: bool = False
    sessions: tuple[Session, ...] = ()
    now: Millis


@dataclass(frozen=True)
class Mines:
    """Reads pages."""

    store: Store
    memory: Memory
    current: Current
    consents: Consents

    async def page(self, person: str, cursor: str | None) -> Mine:
        """What there is now. Changes nothing. Raises BadRequest (`bad_query`) for a cursor that is none."""
        store, now = self.store, self.store.now()
        deeds, following = await self._deeds(person, cursor)
        if cursor is not None:
            return Mine(person=person, deeds=deeds, cursor=following, now=now)
        waiting = await self._waiting(person, now)
        accounts = await self._accounts(person)
        helpers, all_stopped = await self._helpers(person, accounts)
        return Mine(
            person=person,
            waiting=waiting[:MOST_WAITING],
            more_waiting=len(waiting) > MOST_WAITING,
            deeds=deeds,
            cursor=following,
            accounts=accounts,
            shared=self.current.bundle.shared_consent,
            passes=await store.own.passes(person, now),
            helpers=helpers,
            all_stopped=all_stopped,
            sessions=tuple(sorted(await store.own.sessions(person), key=lambda each: -each.used)),
            now=now,
        )

    async def _deeds(self, person: str, cursor: str | None) -> tuple[tuple[Deed, ...], str | None]:
        page = await self.store.own.executions(person, PAGE, cursor)
        rows: tuple[Execution, ...] = page.items
        decided = [row.id for row in rows if row.decision.wants]
        votes = await self.store.own.votes(person, min(decided), max(decided)) if decided else {}
        givers: dict[str, tuple[str, ...]] = {}
        for standing in {row.standing for row in rows if row.standing is not None}:
            found = await self.store.standing(standing)
            givers[standing] = found.voters if found is not None else ()
        made = []
        for row in rows:
            action, provider = self._known(row)
            made.append(
                Deed(
                    execution=row,
                    action=action,
                    provider_name=provider,
                    votes=votes.get(row.id, ()),
                    under=givers.get(row.standing or "", ()),
                )
            )
        return tuple(made), page.next

    async def _waiting(self, person: str, now: Millis) -> tuple[Waiting, ...]:
        """Questions that this person may still answer, soonest to run out first."""
        circle = Circle(self.current.bundle)
        found: dict[str, tuple[Ask, Execution]] = {}
        for kind in ("approval", "outcome"):
            listed = await self.store.circles.open_asks(kind, LOOKED_AT)
            found |= {ask.id: (ask, execution) for ask, execution in listed}
            if len(listed) == LOOKED_AT:
                found |= await self._told(person, kind, found)
        mine = [
            (ask, execution)
            for ask, execution in found.values()
            if now < self.memory.belief.until(ask.expires, ask.created)
            and execution.state == ("unknown" if ask.kind == "outcome" else "paused")
            and person in circle.voters(execution, ask)
        ]
        done = await self.store.own.voted(person, [ask.id for ask, _ in mine])
        waiting = [self._made(ask, execution, f"/approvals/{ask.id}") for ask, execution in mine if ask.id not in done]
        for ask, execution in await self.store.own.consents(person, MOST_WAITING + 1):
            if now < self.memory.belief.until(ask.expires, ask.created) and execution.state == "paused":
                waiting.append(self._made(ask, execution, self.consents.link(ask)))
        waiting += await self._connections(person)
        return tuple(sorted(waiting, key=lambda each: each.expires))

    async def _connections(self, person: str) -> list[Waiting]:
        """Consents that agents ask for before any call, as far as they may still ask."""
        asks = await self.store.circles.connecting_to(person, MOST_WAITING + 1)
        stops = (await self.store.stops())[2] if asks else ()
        found = []
        for ask in asks:
            try:
                sought = await seek(self.store, self.current.bundle, ask.id)
            except NotFound:
                continue
            if not void(sought, self.current.bundle, stops):
                wants = tuple(each.action for each in sought.operations)
                found.append(
                    Waiting(
                        kind=ask.kind, link=self.consents.link(ask), execution=None, action=None, agent=ask.agent,
                        provider_name=sought.provider_name, expires=ask.expires, wants=wants,
                    )
                )  # fmt: skip
        return found

    async def _told(self, person: str, kind: str, known: Mapping[str, object]) -> dict[str, tuple[Ask, Execution]]:
        """Where there are too many questions to look through: those that this person has a copy of."""
        found: dict[str, tuple[Ask, Execution]] = {}
        for card in await self.store.circles.open_cards(person):
            if card.ask in known or card.ask in found:
                continue
            opened = await self.store.opened(card.execution)
            ask = next((each for each in opened.asks if each.id == card.ask), None) if opened is not None else None
            if opened is not None and ask is not None and ask.kind == kind:
                found[ask.id] = (ask, opened.execution)
        return found

    def _made(self, ask: Ask, execution: Execution, link: str) -> Waiting:
        action, provider = self._known(execution)
        return Waiting(
            kind=ask.kind,
            link=link,
            execution=execution,
            action=action,
            provider_name=provider,
            expires=ask.expires,
            agent=execution.chain[0],
        )

    async def _accounts(self, person: str) -> tuple[Account, ...]:
        grants, consents = await self.store.own.grants(person)
        last: dict[tuple[str, str], Millis] = {}
        for use in await self.store.own.uses(person) if grants else ():
            last[use.grant, use.agent] = max(use.at, last.get((use.grant, use.agent), 0))
        operations = self.current.bundle.catalog.actions.values()
        names = {operation.provider.id: operation.provider_name for operation in operations}
        return tuple(self._account(grant, consents, last, names) for grant in grants)

    def _account(
        self,
        grant: Grant,
        consents: tuple[Consent, ...],
        last: Mapping[tuple[str, str], Millis],
        names: Mapping[str, str],
    ) -> Account:
        provider = self.current.bundle.catalog.providers.get(grant.provider)
        return Account(
            grant=grant.id,
            provider_name=names.get(grant.provider, grant.provider),
            account=grant.account_name or grant.account,
            state=grant.state,
            scopes=grant.scopes,
            scope_titles=provider.scope_titles if provider is not None else {},
            since=grant.created,
            shares=tuple(
                Share(agent=each.agent, scopes=each.scopes, since=each.at, used=last.get((grant.id, each.agent)))
                for each in consents
                if each.grant == grant.id
            ),
        )

    async def _helpers(self, person: str, accounts: tuple[Account, ...]) -> tuple[tuple[Helper, ...], bool]:
        if self.memory.belief.epoch != self.store.epoch:
            await self.memory.reread()
        tail = f"/{person}"
        stopped = {
            name.removesuffix(tail)
            for kind, name in self.memory.belief.stops
            if kind == "own" and name.endswith(tail) and name != tail
        }
        bundle = self.current.bundle
        names = {name for name in bundle.agents if bundle.serves(name, person)} | stopped
        names |= {share.agent for account in accounts for share in account.shares}
        helpers = tuple(Helper(agent=name, stopped=name in stopped) for name in sorted(names - {ALL}))
        return helpers, ALL in stopped

    def _known(self, execution: Execution) -> tuple[Action | None, str]:
        operation: Operation | None = self.current.bundle.operation(execution.action)
        return (None, "") if operation is None else (operation.action, operation.provider_name)
