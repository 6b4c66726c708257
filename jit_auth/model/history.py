"""Which attempts count for a call, where policies read `history.*` or `task.*` (THREAT_MODEL 21)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec import Struct

from jit_auth.model.connector import Exposes
from jit_auth.model.execution import History, Millis

MOST_COUNTED = 10_000
"""Nothing is counted further: a decision must not cost more the more an agent does."""


class Past(Struct, frozen=True, kw_only=True):
    """Which attempts count for one call.

    For a call that is not admitted yet: all that are, up to an hour or a day ago. Once it is, their number stays what
    it was (`known`): calls that came after it change nothing about it. A number that no rule read then is that of
    the rows before its own.
    """

    agent: str
    """The chain's first agent."""
    user: str | None
    action: str
    names: tuple[str, ...]
    """What is read: names of fields of `History`."""
    writes: tuple[str, ...] = ()
    """Full names of the actions that count as writes."""
    task: str | None = None
    """The call's task. Executions of the same first agent with the same one count, whoever the user: what an agent has
    read for one person it knows when it acts for another."""
    exposes: Mapping[str, tuple[Exposes, ...]] = MappingProxyType({})
    """What each action touches. One that is not named here any more touches everything."""
    id: str | None = None
    """Of an execution that is admitted."""
    at: Millis | None = None
    """When it was."""
    known: Mapping[str, int | bool] = MappingProxyType({})
    """Numbers of attempts that it was admitted with. Denials, `first_seen` and what its task has touched are read
    anew: what is sent may be no more than a reference to what was read since."""
    then: bool = False
    """Its task as it was at admission: to explain, not to decide."""
    holds: Callable[[History], bool] | None = None
    """Whether the decision would be the same with this history. Asked inside the transaction, so it does no I/O."""
