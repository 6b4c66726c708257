"""The channel of development: one line per approver on stdout (loopback only)."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from jit_auth.channels.card import Card

Write = Callable[[str], object]


def stdout(text: str) -> None:
    """Write to standard output and flush; raises what a closed one raises."""
    sys.stdout.write(text)
    sys.stdout.flush()


class Terminal:
    """Prints `approve APR_ID PERSON URL` once for each card that can be decided."""

    def __init__(self, write: Write = stdout) -> None:
        self._write = write

    async def show(self, card: Card, ref: str | None) -> str:
        """Print the line of a new, open card. A card that was printed, or is decided, prints nothing: paper does not
        change. A standard output that is closed or full loses the line and nothing else."""
        if ref is None and card.open:
            try:
                # One write with its line feed: lines of several cards never run into each other.
                self._write(f"approve {card.ask} {card.person} {card.url}\n")
            except (OSError, ValueError):
                return "lost"
        return ref or "printed"


@asynccontextmanager
async def open_terminal(write: Write) -> AsyncIterator[Terminal]:
    """The terminal as a port, for as long as the service runs."""
    yield Terminal(write)
