"""Which attempts count for a call, where policies read `history.*` (THREAT_MODEL 21)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from jit_auth.model.execution import History, Millis

MOST_COUNTED = 10_000
"""Nothing is counted further: a decision must not cost more the more an agent does."""


class Past(Struct, frozen=True, kw_only=True):
    """Which attempts count for one call.

    For a call that is not admitted yet: all that are, up to an hour or a day ago. For one that is: those before it, as
    of the moment it was admitted, so that its own later attempts, and calls that came after it, change nothing about
    it; and never fewer than it was admitted with, since two that are admitted at once come in any order.
    """

    agent: str
    """The chain's first agent."""
    user: str | None
    action: str
    names: tuple[str, ...]
    """What is read: names of fields of `History`."""
    writes: tuple[str, ...] = ()
    """Full names of the actions that count as writes."""
    id: str | None = None
    """Of an execution that is admitted."""
    at: Millis | None = None
    """When it was."""
    least: History = History()
    """What it was admitted with."""
    holds: Callable[[History], bool] | None = None
    """Whether the decision would be the same with this history. Asked inside the transaction, so it does no I/O."""
