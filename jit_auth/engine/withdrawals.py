"""What one person takes back, each change one unit: consents, accounts, passes, agents; and "this was not me".

Attacks: an id of somebody else's in a form (answered as if there were none); a call decided just before, sent just
after (every change raises the epoch with a stop that counts for this person, THREAT_MODEL 9); a consent or a refresh
that was under way revives what was taken back (it names an older epoch, or an older version: refused, and its token is
revoked, THREAT_MODEL 25); a consent written between reading and stopping (they are removed inside the raise).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from jit_auth.core.ids import is_id
from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.current import Current
from jit_auth.engine.memory import Memory
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import JitAuthError, NotFound, Unavailable, VaultError
from jit_auth.model import (
    Audit,
    Change,
    Consent,
    Delete,
    Grant,
    Insert,
    Op,
    Pass,
    Raise,
    Rouse,
    Stale,
    Stop,
    Unit,
    Who,
    Withdraw,
)
from jit_auth.oauth.owed import owed, revocable
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

ALL = "*"
"""In place of an agent: all of them."""
AT_ONCE = 25
"""Calls that are ended before the person is answered; the worker ends the others, which are due."""


@dataclass(frozen=True)
class Withdrawals:
    """The changes. `person` is who is signed in, and verified; ids come from a form. All raise NotFound for what is not
    theirs, and Unavailable where others keep changing it."""

    store: Store
    memory: Memory
    current: Current
    dispatcher: Dispatcher

    async def dispute(self, person: str, execution_id: str) -> None:
        """ "This was not me": on record, and in the operators' log. No event says so, and the agent is not told."""
        execution = await self.store.execution(execution_id) if is_id(execution_id, "exe") else None
        if execution is None or execution.user != person:
            raise _nothing()
        audit = Audit(
            actor=f"person:{person}",
            what=({"do": "disputed", "state": execution.state, "by": Who(person)},),
            user=person,
            agent=execution.chain[0],
            execution=execution.id,
        )
        await self.store.apply(Unit(None, (), audit))
        log.warning("%s by agent %s was not meant, says the person it was made for", execution.id, execution.chain[0])

    async def withdraw(self, person: str, grant_id: str, agent: str) -> None:
        """One agent may no longer use one account. The account stays connected for others."""
        for _ in range(MOST_STALE):
            grant, consents = await self._grant(person, grant_id)
            consent = next((each for each in consents if each.agent == agent), None)
            if consent is None:
                raise _nothing()
            fact = {"do": "consent.withdrawn", "grant": grant.id, "provider": grant.provider,
                    "scopes": list(consent.scopes)}  # fmt: skip
            ops = (Delete(consent), Raise((self._marker(person),)))
            if await self._done(person, ops, fact, agent):
                return
        raise _busy()

    async def disconnect(self, person: str, grant_id: str) -> None:
        """The account is nobody's any more: its grant ends for good, and its tokens are revoked at the provider."""
        for _ in range(MOST_STALE):
            grant, consents = await self._grant(person, grant_id)
            now = self.store.now()
            to: dict[str, Any] = {
                "state": "revoked",
                "token": None,
                "refreshable": False,
                "refresher": None,
                "refresher_until": None,
                "updated": now,
            }
            who = f"person:{person}"
            stop = Stop(kind="grant", id=grant.id, epoch=0, active=True, who=who, why="disconnected by its user")
            ops: list[Op] = [Change(grant, to), *(Delete(consent) for consent in consents)]
            given_back = await self._given_back(grant)
            ops += given_back
            ops.append(Raise((stop, self._marker(person))))
            fact = {"do": "grant.revoked", "grant": grant.id, "provider": grant.provider, "why": "disconnected",
                    "owed": bool(given_back)}  # fmt: skip
            if await self._done(person, tuple(ops), fact):
                return
        raise _busy()

    async def end_pass(self, person: str, pass_id: str) -> None:
        """An "approve for a while" ends now: by who gave it, or by the person it is about."""
        for _ in range(MOST_STALE):
            found = await self.store.standing(pass_id) if is_id(pass_id, "pas") else None
            if found is None or person not in (found.user, *found.voters):
                raise _nothing()
            if found.ended is not None:
                return
            fact = {"do": "pass.ended", "pass": found.id, "why": "by hand", "by": Who(person)}
            # A call that would use it takes one of its uses: by then its version is another one.
            audit = Audit(actor=f"person:{person}", what=(fact,), user=found.user, agent=found.chain[0])
            if not isinstance(await self.store.apply(Unit(None, (_ended(found, "by hand"),), audit)), Stale):
                return
        raise _busy()

    async def stop(self, person: str, agent: str) -> None:
        """This agent (`*`: every agent) does nothing in this person's name until they allow it again: what is open
        ends, consents and passes are taken back."""
        _, consents = await self.store.own.grants(person)
        serves = self.current.bundle.serves(agent, person)
        known = agent == ALL or serves or any(each.agent == agent for each in consents)
        if not known:
            raise _nothing()
        for _ in range(MOST_STALE):
            now = self.store.now()
            passes = [each for each in await self.store.own.passes(person, now) if each.user == person]
            passes = [each for each in passes if agent in (ALL, *each.chain)]
            who = f"person:{person}"
            stop = Stop(kind="own", id=f"{agent}/{person}", epoch=0, active=True, who=who, why="stopped by the user")
            ops = (Withdraw(person, agent), Rouse(person, now), *(_ended(each, "stopped") for each in passes),
                   Raise((stop,)))  # fmt: skip
            fact = {"do": "agent.stopped", "agent": agent, "passes": [each.id for each in passes]}
            if await self._done(person, ops, fact, None if agent == ALL else agent):
                break
        else:
            raise _busy()
        await self._end(person, agent)

    async def allow(self, person: str, agent: str) -> None:
        """Lift the person's own stop. Brings nothing back: consents are asked for anew."""
        _, _, stops = await self.store.stops()
        stop = next((each for each in stops if (each.kind, each.id) == ("own", f"{agent}/{person}")), None)
        if stop is None:
            raise _nothing()
        if not stop.active:
            return
        lifted = Stop(kind="own", id=stop.id, epoch=0, active=False, who=f"person:{person}", why="allowed again")
        await self._done(
            person, (Raise((lifted,)),), {"do": "agent.allowed", "agent": agent}, None if agent == ALL else agent
        )

    async def _grant(self, person: str, grant_id: str) -> tuple[Grant, tuple[Consent, ...]]:
        grants, consents = await self.store.own.grants(person)
        grant = next((each for each in grants if each.id == grant_id), None)
        if grant is None:
            raise _nothing()
        return grant, tuple(each for each in consents if each.grant == grant.id)

    async def _given_back(self, grant: Grant) -> list[Op]:
        """What is owed to the provider: its tokens back."""
        provider = self.current.bundle.catalog.providers.get(grant.provider)
        if grant.token is None or provider is None or not revocable(provider):
            return []
        try:
            token = await self.store.reveal(grant)
        except VaultError as error:
            log.warning("the token of %s cannot be opened, and so not be revoked: %s", grant.id, error.message)
            return []
        return [Insert(owed(grant.user, grant.provider, token, self.store.now()))]

    async def _done(self, person: str, ops: tuple[Op, ...], fact: dict[str, Any], agent: str | None = None) -> bool:
        """Commit, and believe it here at once. False: something has moved, and nothing was written."""
        audit = Audit(actor=f"person:{person}", what=({**fact, "by": Who(person)},), user=person, agent=agent)
        if isinstance(await self.store.apply(Unit(None, ops, audit)), Stale):
            return False
        await self.memory.reread()
        return True

    async def _end(self, person: str, agent: str) -> None:
        held = [found for found, chain in await self.store.own.held(person) if agent in (ALL, *chain)]
        for error in await asyncio.gather(*map(self._advance, held[:AT_ONCE]), return_exceptions=True):
            if isinstance(error, BaseException):
                raise error

    async def _advance(self, execution_id: str) -> None:
        try:
            await self.dispatcher.advance(execution_id)
        except JitAuthError as error:
            log.warning("%s is ended by the worker: %s", execution_id, error.message)

    def _marker(self, person: str) -> Stop:
        """Bars nothing: what was decided in this person's name before is decided anew."""
        return Stop(kind="own", id=f"/{person}", epoch=0, active=True, who=f"person:{person}", why="took back")


def _ended(found: Pass, why: str) -> Op:
    return Change(found, {"ended": why})


def _nothing() -> NotFound:
    return NotFound("There is nothing of yours by that name.", hint="Open /me again: it shows what there is.")


def _busy() -> Unavailable:
    return Unavailable("Others are changing this very moment.", hint="Try again. Nothing was changed.")
