"""What one copy in Slack is: where its message stands, and what was said beneath it. Kept in the card row's `ref`."""

from __future__ import annotations

import re

from msgspec import Struct

from jit_auth.channels.card import Card

_REF = re.compile(
    r"([A-Z][A-Z0-9]{1,30}):([0-9]{1,12}\.[0-9]{1,9}):r([0-9]{1,6})(w?)(?: to ([a-z]{1,16}_[0-9a-z]{1,64}))?"
)


class Told(Struct, frozen=True):
    """A message (channel and timestamp), the reminders and the warning given beneath it, and the latest request that a
    gathered list names."""

    channel: str
    ts: str
    reminded: int = 0
    warned: bool = False
    newest: str = ""

    @property
    def ref(self) -> str:
        """As it is kept: `C012:1764064800.000100:r1w`."""
        to = f" to {self.newest}" if self.newest else ""
        return f"{self.channel}:{self.ts}:r{self.reminded}{'w' if self.warned else ''}{to}"


def told(ref: str | None) -> Told | None:
    """What a ref says; None where there is no message yet."""
    found = _REF.fullmatch(ref or "")
    if found is None:
        return None
    return Told(found[1], found[2], int(found[3]), bool(found[4]), found[5] or "")


def newest(card: Card) -> str:
    """The latest of the requests that a gathered card lists (ids sort by time)."""
    return max((waiting.ask for waiting in card.gathered), default="")
