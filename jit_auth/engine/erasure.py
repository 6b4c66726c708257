"""Erasing a person: cut off as by the kill switch, and then their key and id destroyed, in one unit (THREAT_MODEL 13).

Attacks: a token outlives its owner at the provider because the key that it was sealed under is gone (what is still to
be revoked is sealed anew under the house's own key before); a call under way writes the person back (the cut comes
first, and nothing is destroyed while a call of theirs is open); another process keeps the key in memory (a stop of
kind `erased` raises the epoch, by which every process forgets them); the record tells who the pseudonym was (the
erasure's own row holds no id).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from jit_auth.engine.author import Author
from jit_auth.engine.current import Current
from jit_auth.engine.cuts import Cuts
from jit_auth.engine.report import Report
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import NotFound, Unavailable, VaultError
from jit_auth.model import Applied, Audit, Committed, Cut, Delete, Erase, Insert, Op, Raise, Stop, Unit, Who
from jit_auth.storage.store import Store

PATIENCE = 10.0
"""Seconds in which what the person has open may end."""
PAUSE = 0.05


@dataclass(frozen=True)
class Erasures:
    """Erases people of one store. `settle` is called with calls that are to end, and after what was committed."""

    store: Store
    cuts: Cuts
    current: Current
    make_id: Callable[[str], str]
    settle: Callable[[Sequence[str]], Awaitable[None]]

    async def user(self, given: str, author: Author) -> Report:
        """Erase a person, under every id that [people] says is theirs. Raises BadRequest, NotFound, and Unavailable
        where a call of theirs does not end: what was cut stays cut."""
        people = self.current.bundle.people
        person = people.person(given)
        names = sorted({person, *(name for name, of in people.names.items() if of == person)})
        known = [name for name in names if await self.store.cuts.knows_person(name)]
        if not known:
            raise NotFound(f"Nobody is known as {person!r}.", hint="Who was erased before is not known any more.")
        whole = Report("user", person)
        for name in known:
            report = await self.cuts.user(name, author)
            await self._ended(name)
            await self._destroy(name, author)
            whole = _sum(whole, report)
        await self.store.scrub()
        return whole

    async def _ended(self, person: str) -> None:
        """Until nothing is open in the person's name."""
        until = asyncio.get_running_loop().time() + PATIENCE
        while still := await self.store.erasing.open(person):
            if asyncio.get_running_loop().time() > until:
                raise Unavailable(
                    "A call in this person's name is still under way.",
                    hint="Try again in a minute: what was cut stays cut.",
                )
            await self.settle(still)
            await asyncio.sleep(PAUSE)

    async def _destroy(self, person: str, author: Author) -> None:
        for _ in range(MOST_STALE):
            pid = await self.store.erasing.pseudonym(person)
            if pid is None:
                return
            now = self.store.now()
            ops: list[Op] = []
            lost = 0
            for row in await self.store.erasing.owed(person):
                ops.append(Delete(row))
                try:
                    token = await self.store.reveal(row)
                except VaultError:
                    lost += 1
                    continue
                ops.append(Insert(replace(row, id=self.make_id("out"), version=1, user=None, token=token)))
            kept = sum(isinstance(op, Insert) for op in ops)
            fact: dict[str, Any] = author.fact("user.erased", of=Who(person), owed=kept, lost=lost)
            if author.why:
                fact["why"] = Committed(author.why)
            stops = (
                Stop(kind="cut", id=person, epoch=0, active=True, who=author.actor, at=now),
                Stop(kind="erased", id=pid, epoch=0, active=True, who=author.actor, at=now),
            )
            ops += [Cut(now, user=person), Erase(person), Raise(stops)]
            unit = Unit(None, tuple(ops), Audit(actor=author.actor, what=(fact,), user=person))
            if isinstance(await self.store.apply(unit), Applied):
                await self.settle(())
                return
        raise Unavailable("Others are changing this very moment.", hint="Try again. What was cut so far stays cut.")


def _sum(one: Report, other: Report) -> Report:
    counts = ("grants", "consents", "sessions", "executions", "passes", "revoked", "pending")
    added: dict[str, Any] = {name: getattr(one, name) + getattr(other, name) for name in counts}
    return replace(one, **added, unrevocable=tuple(sorted({*one.unrevocable, *other.unrevocable})))
