"""The channel of development: one line per approver on stdout (loopback only)."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from jit_auth.channels.channel import Channel
from jit_auth.channels.shape import Card
from jit_auth.channels.tools import Tools
from jit_auth.core.reach import Way

if TYPE_CHECKING:  # it answers none
    from aiohttp import web

Write = Callable[[str], object]


def stdout(text: str) -> None:
    """Write to standard output and flush; raises what a closed one raises."""
    sys.stdout.write(text)
    sys.stdout.flush()


_WORDS = {"decide": "approve", "resolve": "resolve"}


class Terminal:
    """Prints `approve APR_ID PERSON URL` (or `resolve UNK_ID PERSON URL`) once for each card that can be decided."""

    def __init__(self, write: Write = stdout) -> None:
        self._write = write

    async def show(self, card: Card, ref: str | None) -> str:
        """Print the line of a new, open card. A card that was printed, or is decided, prints nothing: paper does not
        change. A standard output that is closed or full loses the line and nothing else."""
        word = _WORDS.get(card.role)
        if ref is None and card.open and word is not None:
            try:
                # One write with its line feed: lines of several cards never run into each other.
                self._write(f"{word} {card.ask} {card.person} {card.url}\n")
            except (OSError, ValueError):
                return "lost"
        return ref or "printed"

    async def tell(self, person: str, subject: str, words: str) -> None:
        """Nothing: whoever reads the terminal of development is everybody."""

    @property
    def routes(self) -> Sequence[web.RouteDef]:
        """It answers nothing."""
        return ()


@asynccontextmanager
async def open_terminal(settings: Any, tools: Tools) -> AsyncIterator[Terminal]:
    """The terminal as a port, for as long as the service runs."""
    yield Terminal(tools.write)


TERMINAL = Channel(
    "terminal", None, None, lambda settings, people: Way("terminal", everyone=True), open_terminal, brief=True
)
