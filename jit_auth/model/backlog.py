"""What waits in the database at one moment."""

from __future__ import annotations

from msgspec import Struct


class Backlog(Struct, frozen=True, kw_only=True):
    """Counts, which go no further than a cap, and ages (seconds; 0 where there is none)."""

    paused: int = 0
    """Executions that wait for people."""
    released: int = 0
    """Functions of agents' own that wait to be claimed."""
    lost: int = 0
    """Intents past their deadline whose outcome is not on record: a process died, or the database was away."""
    cards: int = 0
    """Copies that are to be shown now, and are not."""
    cards_age: float = 0.0
    """Since when the longest due of them is."""
    outbox: int = 0
    """Events and revocations that are owed outside, those included that are tried again later."""
    outbox_age: float = 0.0
    """Since when the longest due of them is."""
