"""What is around a question on a page: how often just this was asked, the last calls of its kind, what else waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from jit_auth.engine.judge import tally_key
from jit_auth.model import Ask, Card, Execution, Tally
from jit_auth.storage.store import Store

LAST = 5
"""Calls of its kind that are shown."""


class Around(Struct, frozen=True):
    """What was found; nothing, where nobody is to read it."""

    tally: Tally | None = None
    recent: tuple[Execution, ...] = ()
    """The last of this agent and action that have ended, newest first."""
    waiting: int = 0
    """How many other questions wait for this person."""

    @property
    def asked(self) -> int:
        """How often exactly this was put to people before."""
        return max(0, self.tally.times - 1) if self.tally is not None else 0

    @property
    def denied(self) -> int:
        """How often it was denied then."""
        return self.tally.denied if self.tally is not None else 0


@dataclass(frozen=True)
class Look:
    """Looks around the questions of one page: what several share is read once."""

    store: Store
    person: str
    _past: dict[tuple[str, str], Sequence[Execution]] = field(default_factory=dict)
    _cards: list[Sequence[Card]] = field(default_factory=list)

    async def around(self, execution: Execution, ask: Ask) -> Around:
        """Raises StorageError."""
        circles, kind = self.store.circles, (execution.agent, execution.action)
        crowd = await circles.crowd(execution.agent, tally_key(execution), 0)
        if kind not in self._past:
            self._past[kind] = await circles.recent(*kind)
        if not self._cards and self.person:
            self._cards.append(await circles.open_cards(self.person))
        recent = tuple(one for one in self._past[kind] if one.id != execution.id)[:LAST]
        waiting = {card.ask for cards in self._cards for card in cards} - {ask.id}
        return Around(crowd.tally, recent, len(waiting))
