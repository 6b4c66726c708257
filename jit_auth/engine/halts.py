"""Halt and resume: nothing is sent anywhere, until it is. What waits for people goes on waiting.

Attacks: a call that was decided before the halt is sent after it (every intent is compared with this stop in its own
transaction, THREAT_MODEL 9); two operators halt and resume at once (each names the epoch it has read: a halt that was
thrown since makes it read again), so that no span is lost, and no deadline with it; and whoever wants what is already
so is not refused for having come second.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from jit_auth.core.standstill import KEPT
from jit_auth.engine.author import Author
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import Unavailable
from jit_auth.model import At, Audit, Millis, Raise, Stale, Stop, Unit
from jit_auth.storage.store import Store


@dataclass(frozen=True)
class Halts:
    """The one switch for everything, of one store."""

    store: Store
    _turns: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """Those of one process take turns: between processes the epoch decides."""

    async def halt(self, author: Author) -> Millis:
        """From now on nothing is sent; since when. Halted already: since then, and the newer reason is on record."""
        return await self._turn(author, halted=True)

    async def resume(self, author: Author) -> Millis:
        """Go on; for how long it was halted (0: it was not)."""
        return await self._turn(author, halted=False)

    async def _turn(self, author: Author, *, halted: bool) -> Millis:
        async with self._turns:
            return await self._turned(author, halted=halted)

    async def _turned(self, author: Author, *, halted: bool) -> Millis:
        for tried in range(MOST_STALE):
            epoch, bundle, stops = await self.store.stops()
            old = next((stop for stop in stops if stop.kind == "all"), None)
            now = self.store.now()
            begun = old.at if old is not None and old.active else None
            if not halted and begun is None:
                return 0
            spans = () if old is None else tuple(span for span in old.spans if span[1] > now - KEPT)
            if not halted and begun is not None:
                spans = (*spans, (begun, max(begun, now)))
            stop = Stop(
                kind="all", id="", epoch=0, active=halted, who=author.actor, why=author.why,
                at=now if begun is None else begun, spans=spans,
            )  # fmt: skip
            audit = Audit(actor=author.actor, what=(author.fact("halted" if halted else "resumed"),))
            if halted and begun is not None and tried:
                # Somebody else has just halted it: what was asked for is so, and the reason goes on record.
                await self.store.apply(Unit(None, (), audit))
                return begun
            unit = Unit(At(epoch, bundle, ()), (Raise((stop,)),), audit)
            if not isinstance(await self.store.apply(unit), Stale):
                return stop.at if halted else max(0, now - (begun or now))
        raise Unavailable("Others are halting or resuming this very moment.", hint="Try again.")
