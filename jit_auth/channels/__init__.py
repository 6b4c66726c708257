"""How cards reach people: the explicit map of channels, and what each of them is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from jit_auth.channels.card import Card
from jit_auth.channels.terminal import open_terminal


class Port(Protocol):
    """An open channel: it makes a person's copy of a card true."""

    async def show(self, card: Card, ref: str | None) -> str:
        """Make copy `ref` (None: none yet) display `card`; give its ref. Safe to repeat."""
        ...


@dataclass(frozen=True)
class Channel:
    """One way to reach people. The page is the `via` without delivery, so it is none."""

    name: str
    open: Callable[[Any], AbstractAsyncContextManager[Port]]
    """Opens the channel with its settings (terminal: where to write) until the context ends."""


CHANNELS = {channel.name: channel for channel in (Channel("terminal", open_terminal),)}

__all__ = ["CHANNELS", "Card", "Channel", "Port"]
