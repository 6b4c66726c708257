"""What a finished round trip writes: the grant, the agent's consent, the ask's end; and letting a new agent in."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from typing import Any

import msgspec

from jit_auth.core.ids import new_id
from jit_auth.core.scopes import expand
from jit_auth.engine.current import Current
from jit_auth.engine.memory import Memory
from jit_auth.engine.sought import Sought, own_stops, seek, void
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import FlowRefused, StorageError, Unavailable
from jit_auth.model import (
    Applied,
    Ask,
    At,
    Audit,
    Change,
    Consent,
    Grant,
    Insert,
    Millis,
    Op,
    Outbox,
    Raise,
    Stale,
    Token,
    Touch,
    Unit,
    Wake,
)
from jit_auth.oauth.flow import Landed
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

DATABASE_PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0)
"""Seconds between tries to keep what a code was spent for, while a person waits."""
REVOKE_FOR: Millis = 86_400_000
"""How long the revocation of a token that came too late is tried."""
MOST_AT_ONCE = 50
"""How often a consent is written anew because others of the same user were written first; each time one of them is."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What came of it. `complete`: this call waits for nothing more from the provider."""

    ask: Ask
    """The ask as it stands: the same one, or the new one that asks for what is missing."""
    complete: bool
    granted: tuple[str, ...]
    missing: tuple[str, ...]
    account: str | None
    another: bool
    grant: str
    at: Millis
    """When the agent's consent was given: with the grant, what an undo is for."""


@dataclass(frozen=True)
class Connects:
    """Writes consents. Each method is one unit, repeated where rows moved meanwhile."""

    store_: Store
    memory: Memory
    current: Current

    async def let_in(self, sought: Sought, grant: Grant) -> Connection:
        """A new agent for scopes that the grant holds already: answered here, without a trip."""
        store, needed = self.store_, sought.lacking(frozenset())
        for _ in range(MOST_STALE):
            ask = sought.ask
            await self.refuse_stopped(sought, grant)
            now = store.now()
            ops = await self._consent(grant, ask.agent, needed, now)
            ops += self._answered(sought, grant, now, complete=True)
            ops.append(Wake(ask.agent, grant.user, grant.provider, now))
            fact = {
                "do": "consent",
                "ask": ask.id,
                "grant": grant.id,
                "provider": grant.provider,
                "scopes": list(needed),
                "trip": False,
            }
            subjects = sought.subjects(grant)
            belief = self.memory.belief
            ends = belief.until(ask.expires, ask.created)
            at = At(belief.epoch, self.current.bundle.hash, subjects, not_after=ends)
            if not isinstance(await store.apply(Unit(at, tuple(ops), _audit(ask, (fact,)))), Stale):
                self.memory.forget(grant.user, grant.provider)
                name = grant.account_name or grant.account or None
                return Connection(ask, True, needed, (), name, False, grant.id, now)
            sought = await self._again(sought)
        raise Unavailable("Others are answering this very moment.", hint="Try again.")

    async def refuse_stopped(self, sought: Sought, grant: Grant | None) -> None:
        """A link from before a kill switch connects nothing after it (THREAT_MODEL 25). Raises FlowRefused."""
        belief, ask = await self.memory.reread(), sought.ask
        subjects = (*sought.subjects(grant), *own_stops(ask.agent, ask.user or "", "*"))
        if any(subject in belief.stops for subject in subjects) or ask.user in self.current.bundle.left:
            raise FlowRefused("Access was stopped; nothing can be connected.", code="revoked")

    async def store(self, sought: Sought, landed: Landed) -> Connection:
        """The tokens that a provider gave, for the account that it named; what is missing is asked again."""
        store, user, provider = self.store_, sought.ask.user or "", sought.provider
        ask, epoch = sought.ask, landed.flow.epoch
        if user in self.current.bundle.left:
            await self._give_back(ask, landed, "token.too_late")
            raise FlowRefused("You have left meanwhile; nothing was connected.", code="revoked")
        if sought.execution is None and void(sought, self.current.bundle, (await store.stops())[2]):
            await self._give_back(ask, landed, "token.too_late")
            raise FlowRefused("The agent may not ask for this any more; nothing was connected.", code="revoked")
        for _ in range(MOST_AT_ONCE):
            ask, now = sought.ask, store.now()
            grants, _ = await store.grants(user, provider.id)
            old = next((grant for grant in grants if grant.account == landed.account), None)
            _refuse_narrower(sought, old, landed)
            grant, op, did = self._grant(old, user, provider.id, await self._token(old, landed), landed, now)
            granted = expand(landed.scopes, provider.implies)
            missing = sought.lacking(granted)
            needed = sought.lacking(frozenset())
            given = tuple(scope for scope in dict.fromkeys((*needed, *ask.scopes)) if scope in granted)
            right = sought.account is None or sought.account == landed.account
            ops: list[Op] = [op, *await self._consent(grant, ask.agent, given, now)]
            if old is None and grants:
                ops.append(Raise())  # a second account: every replica must come to know that one has to be named now
            asked = ask
            if ask.state == "open":
                answered = self._answered(sought, grant, now, complete=right and not missing)
                if right and missing:
                    asked = self._ask_again(ask, missing, now)
                    answered.append(Insert(asked))
                ops += answered
            ops.append(Wake(ask.agent, user, provider.id, now))
            facts = (
                {
                    "do": "consent",
                    "ask": ask.id,
                    "grant": grant.id,
                    "provider": provider.id,
                    "scopes": list(given),
                    "missing": list(missing),
                    "trip": True,
                },
                {"do": did, "grant": grant.id, "provider": provider.id, "scopes": list(landed.scopes)},
            )
            at = At(epoch, self.current.bundle.hash, sought.subjects(old))
            applied = await self._keep(Unit(at, tuple(ops), _audit(ask, facts)))
            if not isinstance(applied, Stale):
                self.memory.forget(user, provider.id)
                another = old is None and bool(grants)
                name = landed.account_name or None
                return Connection(asked, right and not missing, given, missing, name, another, grant.id, now)
            if applied.which == "stopped":
                # The user's own word counts too: who has taken something back since has the trip begun anew.
                subjects = frozenset((*sought.subjects(old), *own_stops(ask.agent, user, "*", "")))
                newest, _, stops = await store.stops()
                if any((stop.kind, stop.id) in subjects and stop.epoch > landed.flow.epoch for stop in stops):
                    await self._give_back(ask, landed, "token.too_late")
                    raise FlowRefused(
                        "Access was stopped while you were at the provider; nothing was connected.", code="revoked"
                    )
                epoch = newest  # what was stopped concerns others, or is a halt: consents still count
            sought = await self._again(sought)
        await self._give_back(ask, landed, "token.not_kept")
        raise Unavailable("Others are answering this very moment.", hint="Start again from the link.")

    async def _keep(self, unit: Unit) -> Applied | Stale:
        """Commit what a code was spent for: tried again for a while where the database is away."""
        for pause in DATABASE_PAUSES:
            try:
                return await self.store_.apply(unit)
            except StorageError as error:
                log.warning("a consent could not be written yet: %s", error.message)
                await asyncio.sleep(pause)
        return await self.store_.apply(unit)

    async def _token(self, old: Grant | None, landed: Landed) -> Token:
        """Some providers give a refresh token only at the first consent: then the account keeps the one it has."""
        token = landed.token
        if token.refresh is not None or old is None or old.state != "live" or not old.refreshable:
            return token
        return msgspec.structs.replace(token, refresh=(await self.store_.reveal(old)).refresh)

    def _grant(
        self, old: Grant | None, user: str, provider: str, token: Token, landed: Landed, now: Millis
    ) -> tuple[Grant, Op, str]:
        """The row of this provider account: a new one, or the same with new tokens. Never another account's."""
        to: dict[str, Any] = {
            "account_name": landed.account_name,
            "scopes": landed.scopes,
            "state": "live",
            "token": token,
            "expires": token.expires,
            "lifetime": token.lifetime,
            "refreshable": token.refresh is not None,
            "refresher": None,
            "refresher_until": None,
            "updated": now,
        }
        if old is None:
            grant = Grant(
                id=new_id("grt", now, os.urandom(10)),
                user=user,
                provider=provider,
                account=landed.account,
                created=now,
                **to,
            )
            return grant, Insert(grant), "grant.created"
        did = "grant.recovered" if old.state == "broken" else "grant.scopes_changed"
        return msgspec.structs.replace(old, version=old.version + 1, **to), Change(old, to), did

    async def _consent(self, grant: Grant, agent: str, scopes: tuple[str, ...], now: Millis) -> list[Op]:
        """The agent may use these scopes of the grant, beside those it was given before."""
        _, consents = await self.store_.grants(grant.user, grant.provider)
        old = next((consent for consent in consents if (consent.grant, consent.agent) == (grant.id, agent)), None)
        if old is None:
            return [Insert(Consent(grant=grant.id, agent=agent, scopes=scopes, at=now))]
        return [Change(old, {"scopes": tuple(dict.fromkeys((*old.scopes, *scopes))), "at": now})]

    def _answered(self, sought: Sought, grant: Grant, now: Millis, *, complete: bool) -> list[Op]:
        """The ask's end and the execution's new version; nothing where another account than the needed one came."""
        execution = sought.execution
        if sought.account is not None and sought.account != grant.account:
            return []
        ops: list[Op] = [Change(sought.ask, {"state": "met" if complete else "superseded"})]
        if execution is None:
            return [*ops, Touch(sought.ask.id, now)]
        to: dict[str, Any] = {"due": now, "updated": now, "grant": grant.id}
        if execution.account is None:
            to["account_name"] = grant.account_name
        if complete:
            to["met"] = now
        return [*ops, Change(execution, to)]

    def _ask_again(self, ask: Ask, missing: tuple[str, ...], now: Millis) -> Ask:
        return msgspec.structs.replace(
            ask,
            id=new_id("cns", now, os.urandom(10)),
            version=1,
            scopes=missing,
            new_agent=False,
            created=now,
            last_error=None,
            state="open",
        )

    async def _again(self, sought: Sought) -> Sought:
        return await seek(self.store_, self.current.bundle, sought.ask.id)

    async def _give_back(self, ask: Ask, landed: Landed, why: str) -> None:
        """What came cannot be kept (a kill switch was thrown during the trip): it is revoked at the provider."""
        now = self.store_.now()
        owed = Outbox(
            id=new_id("out", now, os.urandom(10)),
            kind="revoke",
            user=ask.user or "",
            provider=ask.provider or "",
            token=landed.token,
            due=now,
            until=now + REVOKE_FOR,
        )
        fact = {"do": why, "ask": ask.id, "provider": ask.provider}
        await self.store_.apply(Unit(None, (Insert(owed),), _audit(ask, (fact,))))


def _refuse_narrower(sought: Sought, old: Grant | None, landed: Landed) -> None:
    """Who was asked for one more account and came with one that is connected keeps what that one holds. The token is
    left to run out: to revoke it could end the connection itself at providers that know one grant per user."""
    if old is None or not sought.ask.another or old.state != "live":
        return
    if not expand(landed.scopes, sought.provider.implies).issuperset(old.scopes):
        raise FlowRefused(
            "This account is connected already, and holds more than was asked for now.",
            code="already_connected",
            hint="Open the link again and choose another account at the provider. Nothing was changed.",
        )


def _audit(ask: Ask, facts: tuple[dict[str, Any], ...]) -> Audit:
    execution = ask.execution or None
    return Audit(actor=f"person:{ask.user}", what=facts, user=ask.user, agent=ask.agent, execution=execution)
