"""Undo of a consent, for an hour: the agent may no longer use the account, and where nobody else does, nobody may.

Attacks: whoever gets hold of some other link ends accesses by it (the ticket is for this purpose, grant, agent, user
and moment alone, and stands on the last page only); another consent is given at the same moment (rows are compared, and
a grant that ends is stopped in the same unit, so that no call that was decided before still leaves with it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jit_auth.core.links import genuine, row_of, ticket
from jit_auth.engine.current import Current
from jit_auth.engine.memory import Memory
from jit_auth.engine.pages import UndoPage
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import Gone, NotFound, Unavailable
from jit_auth.model import Audit, Change, Consent, Delete, Grant, Insert, Millis, Op, Raise, Stale, Stop, Unit
from jit_auth.oauth.owed import owed, revocable
from jit_auth.storage.store import Store

HOUR: Millis = 3_600_000


@dataclass(frozen=True)
class Undo:
    """Takes consents back by their own links."""

    store: Store
    memory: Memory
    current: Current
    environment: str
    ticket_key: bytes

    def ticket(self, grant: str, agent: str, user: str, at: Millis) -> str:
        """For the consent that this agent was given at that moment, until it is changed; good for an hour."""
        return ticket(self.ticket_key, "undo", grant, _whose(agent, user), at + HOUR)

    async def page(self, link_ticket: str) -> UndoPage:
        """What would be undone; changes nothing. Raises NotFound, Gone."""
        grant, consent, others = await self._find(link_ticket)
        return self._page(grant, consent, ends=not others, done=False)

    async def undo(self, link_ticket: str) -> UndoPage:
        """Undo it. Raises NotFound (a second time too), Gone."""
        for _ in range(MOST_STALE):
            grant, consent, others = await self._find(link_ticket)
            facts: list[dict[str, Any]] = [{"do": "consent.undone", "grant": grant.id, "provider": grant.provider}]
            ops: list[Op] = [Delete(consent)]
            if others:
                # Bars nothing: what was decided in this person's name before is decided anew.
                who = f"person:{grant.user}"
                ops.append(Raise((Stop(kind="own", id=f"/{grant.user}", epoch=0, active=True, who=who),)))
            else:
                ops += await self._end(grant)
                facts.append({"do": "grant.revoked", "grant": grant.id, "provider": grant.provider, "why": "undone"})
            audit = Audit(actor=f"person:{grant.user}", what=tuple(facts), user=grant.user, agent=consent.agent)
            if not isinstance(await self.store.apply(Unit(None, tuple(ops), audit)), Stale):
                self.memory.forget(grant.user, grant.provider)
                return self._page(grant, consent, ends=not others, done=True)
        raise Unavailable("Others are changing this access at the moment.", hint="Try again: nothing was changed.")

    async def _end(self, grant: Grant) -> list[Op]:
        """The grant's end: here at once, and at its provider as soon as that answers."""
        now = self.store.now()
        provider = self.current.bundle.catalog.providers.get(grant.provider)
        ops: list[Op] = [Change(grant, {"state": "revoked", "token": None, "updated": now})]
        if grant.token is not None and provider is not None and revocable(provider):
            ops.append(Insert(owed(grant.user, grant.provider, await self.store.reveal(grant), now)))
        why = Stop(kind="grant", id=grant.id, epoch=0, active=True, who=f"person:{grant.user}", why="undone")
        return [*ops, Raise((why,))]

    async def _find(self, link_ticket: str) -> tuple[Grant, Consent, tuple[Consent, ...]]:
        """The grant, the consent that the ticket is for, and the other agents' consents for the grant."""
        named = row_of(link_ticket)
        grant = await self.store.grant(named[0]) if named is not None and named[0].startswith("grt_") else None
        if grant is not None and grant.state != "revoked":
            _, consents = await self.store.grants(grant.user, grant.provider)
            mine = [consent for consent in consents if consent.grant == grant.id]
            for consent in mine:
                until = consent.at + HOUR
                whose = _whose(consent.agent, grant.user)
                if genuine(self.ticket_key, "undo", grant.id, whose, until, link_ticket):
                    if self.store.now() >= until:
                        raise Gone("This could be undone for an hour.", hint="End the access at the provider itself.")
                    return grant, consent, tuple(each for each in mine if each is not consent)
        raise NotFound("There is no such link.", hint="What was undone already, or given anew, has none any more.")

    def _page(self, grant: Grant, consent: Consent, *, ends: bool, done: bool) -> UndoPage:
        catalog = self.current.bundle.catalog
        provider = catalog.providers.get(grant.provider)
        name = next(
            (each.provider_name for each in catalog.actions.values() if each.provider.id == grant.provider),
            grant.provider,
        )
        return UndoPage(
            environment=self.environment,
            user=grant.user,
            agent=consent.agent,
            provider_name=name,
            account=grant.account_name or grant.account or None,
            until=consent.at + HOUR,
            ends=ends,
            told=provider is not None and revocable(provider),
            done=done,
            manage_url=provider.manage_url if provider is not None else None,
        )


def _whose(agent: str, user: str) -> str:
    # No person's id holds a slash: no two pairs are one text.
    return f"{agent}/{user}"
