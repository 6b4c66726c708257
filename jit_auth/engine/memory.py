"""What a process believes about stops, grants and consents: hints that only ever speed a yes.

One frozen `Belief` is swapped whole when a newer epoch is seen. It starts empty and fills by reading; before anything
is refused or asked for a lack, the caller reads the rows (`fresh=True`). That a belief is out of date is found by the
epoch, in the intent's transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from jit_auth.core.ids import ERASED
from jit_auth.core.standstill import Span, spans_of, until
from jit_auth.errors import StorageError
from jit_auth.model import Consent, Execution, Grant, Millis, Stop
from jit_auth.storage.store import Store

KEPT = 50_000
"""How many (user, provider) pairs are remembered."""
RECENT: Millis = 100
"""How old a belief may be that is told to anybody who asks."""
PATIENCE = 1.0
"""Seconds that somebody who asks waits for a newer one."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one user has at one provider: grants (none revoked) and, per grant, which agent may use which scopes."""

    grants: tuple[Grant, ...] = ()
    consents: Mapping[tuple[str, str], Consent] = field(default_factory=dict)

    def consent(self, grant: Grant | None, agent: str, *, shared: bool) -> Consent | None:
        """What `agent` may use of `grant`; `shared`: the union of what all agents may."""
        if grant is None:
            return None
        if not shared:
            return self.consents.get((grant.id, agent))
        given = [consent for consent in self.consents.values() if consent.grant == grant.id]
        if not given:
            return None
        scopes = tuple(dict.fromkeys(scope for consent in given for scope in consent.scopes))
        return msgspec.structs.replace(given[0], scopes=scopes)


@dataclass(frozen=True, slots=True)
class Belief:
    """A snapshot's number with the stops of that snapshot; `known` are readings since, none older than it."""

    epoch: int
    bundle: str
    stops: Mapping[tuple[str, str], Stop]
    known: dict[tuple[str, str], Holding] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    """When everything was halted: deadlines stood still."""

    @property
    def halted(self) -> bool:
        return ("all", "") in self.stops

    def cut(self, execution: Execution) -> bool:
        """Whether it was begun before its user was cut off, or erased."""
        if execution.user is not None and execution.user.startswith(ERASED):
            return True
        found = self.stops.get(("cut", execution.user)) if execution.user is not None else None
        return found is not None and execution.created <= found.at

    def until(self, deadline: Millis, since: Millis) -> Millis:
        """When a deadline is over that has run since `since`."""
        return until(deadline, since, self.spans)


class Memory:
    """The present belief of one process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.belief = Belief(0, "", {})
        self._forgotten = 0
        self._read: Millis = 0

    async def reread(self) -> Belief:
        """Swap in a new belief: the epoch first, then the stops, in one snapshot; holdings are read when needed."""
        epoch, bundle, stops = await self._store.stops()
        active = {(stop.kind, stop.id): stop for stop in stops if stop.active}
        self.belief = Belief(epoch, bundle, active, spans=spans_of(stops))
        self._read = self._store.now()
        return self.belief

    async def recent(self) -> Belief:
        """A belief that is no older than RECENT: for whoever is asked by anybody, as often as they like."""
        now = self._store.now()
        if not 0 <= now - self._read < RECENT:
            self._read = now  # who asks meanwhile is answered from memory
            # A database that is away or slow is told by others: what was known last holds.
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    return await self.reread()
        return self.belief

    async def holding(self, user: str, provider: str, *, fresh: bool = False) -> Holding:
        """What this user has there: as remembered, or, `fresh`, as the rows say."""
        belief = self.belief
        if not fresh:
            known = belief.known.get((user, provider))
            if known is not None:
                return known
        forgotten = self._forgotten
        grants, consents = await self._store.grants(user, provider)
        holding = Holding(grants, {(consent.grant, consent.agent): consent for consent in consents})
        if forgotten == self._forgotten:  # else the rows may have been changed while this was read
            if len(belief.known) >= KEPT:
                belief.known.pop(next(iter(belief.known)), None)
            belief.known[user, provider] = holding
        return holding

    def forget(self, user: str, provider: str) -> None:
        """Read the rows next time: this process has just changed them."""
        self._forgotten += 1
        self.belief.known.pop((user, provider), None)
