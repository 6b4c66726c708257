"""The wall clock in milliseconds, with an offset that only tests raise (THREAT_MODEL 39)."""

from __future__ import annotations

import time

from jit_auth.model import Millis


class Clock:
    """`clock()` is the wall clock plus `offset`, in milliseconds since the epoch."""

    __slots__ = ("offset",)

    def __init__(self, offset: Millis = 0) -> None:
        self.offset = offset

    def wall(self) -> Millis:
        """The wall clock alone."""
        return time.time_ns() // 1_000_000

    def __call__(self) -> Millis:
        return time.time_ns() // 1_000_000 + self.offset
