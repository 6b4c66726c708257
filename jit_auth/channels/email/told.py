"""Which mail is owed to a person now: decided by what the card says and what the person was told already. Pure."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from jit_auth.channels.card import Card
from jit_auth.model import OPEN

Step = Literal["ask", "remind", "soon", "end"]
"""The question itself; a reminder; that it runs out; how it ended."""

_REF = re.compile(r"asked r([0-9]{1,6})( soon)?(?: ([a-z]+))?(?: to ([a-z]{1,16}_[0-9a-z]{1,64}))?")


class Told(Struct, frozen=True):
    """What one copy has told its person. `ended` is the last state that was told as the end; `newest` the latest
    request that a gathered mail listed (ids sort by time)."""

    asked: bool = False
    reminded: int = 0
    warned: bool = False
    ended: str = ""
    newest: str = ""

    @property
    def ref(self) -> str:
        """As it is kept in the card's row: `asked r2 soon succeeded`, `asked r0 to apr_...`, or `none`."""
        if not self.asked:
            return "none"
        more = (" soon" if self.warned else "", self.ended and f" {self.ended}", self.newest and f" to {self.newest}")
        return f"asked r{self.reminded}{''.join(more)}"


def told(ref: str | None) -> Told:
    """What a ref says. One that cannot be read says that the question was asked: a doubtful copy asks nobody twice."""
    if ref is None or ref in ("none", "maybe"):  # sent once more it is the same mail, by its Message-ID
        return Told()
    found = _REF.fullmatch(ref)
    if found is None:
        return Told(asked=True)
    return Told(True, int(found[1]), bool(found[2]), found[3] or "", found[4] or "")


def owed(card: Card, was: Told) -> Step | None:
    """The one mail that is due. Mails that were missed are not sent later: the latest tells all of it."""
    if not was.asked:
        # Nobody who was never asked is told how it ended; a notice alone is news in any state.
        return "ask" if card.open or card.role == "notice" else None
    if card.role == "gather":
        # The same row is shown again when more requests were gathered: the worker sees to it that this is seldom.
        return "ask" if card.open and newest(card) > was.newest else None
    if card.open:
        if card.role not in ("decide", "resolve", "consent") or _decided(card):
            return None
        if card.warned and not was.warned:
            return "soon"
        return "remind" if card.reminded > was.reminded else None
    over = card.role in ("decide", "resolve", "notice") and not card.superseded and card.state not in OPEN
    return "end" if over and card.state != was.ended else None


def after(card: Card, was: Told, step: Step | None) -> Told:
    """What the person has been told once this step is done."""
    if step is None and not was.asked:
        return was
    # A question about an unknown outcome is asked in that state: it is no news of how it ended.
    over = step == "end" or (step == "ask" and card.state not in OPEN)
    return Told(
        asked=True,
        reminded=max(was.reminded, card.reminded),
        warned=was.warned or card.warned,
        ended=card.state if over else was.ended,
        newest=max(was.newest, newest(card)) if step == "ask" else was.newest,
    )


def newest(card: Card) -> str:
    """The latest of the requests that a gathered card lists."""
    return max((waiting.ask for waiting in card.gathered), default="")


def _decided(card: Card) -> bool:
    return any(vote.who == card.person for vote in card.decided)
