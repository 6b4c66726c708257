"""Whether what a deciding unit rests on still holds, inside its transaction (THREAT_MODEL 9). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from jit_auth.model import At, Millis

Which = Literal["stopped", "bundle", "version", "idem", "open", "vote", "exists", "late", "lease", "history"]

ALL = ("all", "")
"""The stop that stops everything."""

ADRIFT: Millis = 60_000
"""A process whose clock is further than this from the database's sends nothing (THREAT_MODEL 39)."""


class Ground(NamedTuple):
    """What a transaction saw first: the epoch row under its lock, the database's clock, this process's lease."""

    epoch: int
    bundle: str
    now: Millis
    lease: Millis | None


def stale(
    at: At, subjects: frozenset[tuple[str, str]], ground: Ground, stops: Mapping[tuple[str, str], int], skew: Millis
) -> Which | None:
    """Why the unit may not be written, or None. `stops`: (kind, id) to the epoch of the stop, restored ones too.

    `stops` is read only where `at.epoch` is not the ground's: nothing was stopped since, else.
    """
    if at.send and at.bundle != ground.bundle:
        return "bundle"  # a replica with other files still accepts and pauses (THREAT_MODEL 10)
    if at.epoch != ground.epoch:
        for subject in (*subjects, ALL):
            # A stop keeps its epoch when it is lifted: what was decided before it stays stale (THREAT_MODEL 25).
            if stops.get(subject, 0) > at.epoch:
                return "stopped"
        if at.epoch > ground.epoch:
            return "stopped"  # decided on another, newer store: never on this one
    if at.send and (ground.lease is None or ground.lease <= ground.now or abs(skew) > ADRIFT):
        return "lease"
    if at.not_after is not None and ground.now >= at.not_after:
        return "late"
    return None
