"""What a channel is: how it reaches people, its settings, and the port through which copies are made true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from jit_auth.channels.shape import Card
from jit_auth.channels.tools import Tools
from jit_auth.core.reach import Way

if TYPE_CHECKING:  # each command reads the map of channels, and none of them answers HTTP
    from aiohttp import web


class Port(Protocol):
    """An open channel: it makes a person's copy of a card true."""

    @property
    def routes(self) -> Sequence[web.RouteDef]:
        """What it answers over HTTP; registered by app."""
        ...

    async def show(self, card: Card, ref: str | None) -> str:
        """Make copy `ref` (None: none yet) display `card`; give its ref, in which the channel may keep what it has told
        already (reminders); `none` where the person got nothing, and need not. Safe to repeat: a copy posted before by
        a call that was cut off is found by `card.id`. Raises Later, Never."""
        ...

    async def tell(self, person: str, subject: str, words: str) -> None:
        """A word about the person's own account, where the channel reaches them: it asks for nothing. Raises Later,
        Never."""
        ...


@dataclass(frozen=True)
class Channel:
    """One way to reach people. The page is the `via` without delivery, so it is none."""

    name: str
    """In `[channels.*]` and `via`."""
    settings: type[Any] | None
    """Its table in config.toml (a Struct whose secrets are `config.secret.Secret`); None: it has none."""
    person_key: str | None
    """Its key in `[people.*]`, unique over people."""
    way: Callable[[Any, Any], Way]
    """(settings, People) -> how it reaches whom."""
    open: Callable[[Any, Tools], AbstractAsyncContextManager[Port]]
    """Opens the channel until the context ends. Never waits for the service behind it: that may be away."""
    check: Callable[[Any, Tools], Any] | None = None
    """`jit-auth check`: an awaitable of sentences about what is wrong there, each with the vendor's own word."""
    brief: bool = False
    """It gives a link once, and no more: nothing of the call is read for it, and no copy is shown again."""
