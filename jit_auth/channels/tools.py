"""What an open channel may use of the rest: the engine's decisions, who is who, and our own address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jit_auth.config.people import People
from jit_auth.model import Millis

if TYPE_CHECKING:  # each command reads the map of channels, and decides nothing
    from jit_auth.engine.doors import Decide


@dataclass(frozen=True)
class Tools:
    """Handed to each channel when it is opened. `people` gives who is who now; `write` is where the
    terminal of development prints."""

    decide: Decide
    people: Callable[[], People]
    public_url: str
    environment: str
    now: Callable[[], Millis]
    write: Callable[[str], object]
    loopback: bool = True
