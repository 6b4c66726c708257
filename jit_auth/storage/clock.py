"""The wall clock in milliseconds, with an offset that only tests raise (THREAT_MODEL 39), and one that never jumps."""

from __future__ import annotations

import time

from jit_auth.model import Millis

_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It counts the time for which the machine was suspended, where the system has such a clock."""


class Clock:
    """`clock()` is the wall clock plus `offset`, in milliseconds since the epoch."""

    __slots__ = ("offset",)

    def __init__(self, offset: Millis = 0) -> None:
        self.offset = offset

    def wall(self) -> Millis:
        """The wall clock alone."""
        return time.time_ns() // 1_000_000

    def steady(self) -> Millis:
        """Milliseconds since some moment: no setting of the wall clock moves it."""
        return time.clock_gettime_ns(_STEADY) // 1_000_000

    def __call__(self) -> Millis:
        return self.wall() + self.offset
