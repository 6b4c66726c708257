"""Nobody is worn down: beyond so many requests an hour a person gets one message for all (THREAT_MODEL 22)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from jit_auth.channels.card import Card as Shown
from jit_auth.channels.card import build_gathered
from jit_auth.core.mac import Mac
from jit_auth.core.reach import SHARED
from jit_auth.engine.approvals import Approvals
from jit_auth.engine.pages import ApprovalPage
from jit_auth.model import Card, Change, Insert, Millis, Op
from jit_auth.storage.store import Store

HOUR: Millis = 3_600_000
SOON: Millis = 3_000
"""What comes within this time after the first goes into the same message."""
AGAIN: Millis = HOUR // 4
"""How long a person then hears of nothing more: less than most questions are open, so that none runs out untold."""
DAY: Millis = 24 * HOUR
OPEN: Millis = 14 * DAY
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True)
class Gathers:
    """Gathered messages: one card row for each person and channel, shown again when there is more."""

    store: Store
    approvals: Approvals
    make_id: Callable[[str], str]
    mac: Mac
    per_hour: int
    """`[limits] asks_per_person_hour`."""
    environment: str

    REF: ClassVar[str] = "gathered"
    """The `ref` of a card that stands in a gathered message."""

    async def left(self, person: str, via: str) -> int:
        """How often this person may still be asked by this channel in this hour."""
        return self.per_hour - await self.store.circles.shown_since(person, via, self.store.now() - HOUR)

    async def ops(self, row: Card) -> list[Op]:
        """The gathered message of this person becomes due: soon, and at most every quarter of an hour."""
        now = self.store.now()
        known = await self.store.card(self._id(row))
        if known is None:
            new = Card(
                id=self._id(row), role="gather", ask="", execution="", person=row.person, via=row.via,
                due=now + SOON, expires=now + OPEN,
            )  # fmt: skip
            return [Insert(new)]
        to: dict[str, Any] = {}
        if known.due is None:
            to["due"] = max(now + SOON, known.shown + AGAIN)
        if known.expires < now + DAY:
            to["expires"] = now + OPEN  # links of older messages end with it
        return [Change(known, to)] if to else []

    async def card(self, row: Card, url: str) -> Shown:
        """All that waits for this person now and may be asked by this channel: rules keep requests off it by `via`."""
        pages: dict[str, ApprovalPage] = {}
        for card in await self.store.circles.open_cards(row.person):
            if card.via != row.via:
                continue
            opened = await self.store.opened(card.execution)
            ask = next((ask for ask in opened.asks if ask.id == card.ask), None) if opened is not None else None
            if opened is None or ask is None or ask.kind != "approval" or card.ask in pages:
                continue
            page = await self.approvals.shown(card, opened, ask)
            if page is not None and (row.person.startswith(SHARED) or row.person in page.eligible):
                pages[card.ask] = page
        return build_gathered(self.environment, row, tuple(pages.values()), url)

    def _id(self, row: Card) -> str:
        """The same for a person and channel for ever, and no pseudonym that could be guessed from outside."""
        mark = self.mac.digest(f"gather\n{row.via}\n{row.person}".encode())
        return "gth_" + "".join(_CROCKFORD[byte & 31] for byte in mark[:26])
