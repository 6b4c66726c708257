"""One line per request: method, route template, status, code, duration. Never the path: paths hold tickets.

The lines of some milliseconds are written together, and not through `logging`: a record of it costs ten times as much,
on every call. What a crash loses of them the audit record has.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TextIO

import msgspec
from msgspec import Struct

from jit_auth.watch.here import Here

PAUSE = 0.1
"""Seconds for which lines are gathered."""
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by machines every few seconds: only what is refused is a line."""

_encode = msgspec.json.Encoder().encode


class _Line(Struct, frozen=True, omit_defaults=True):
    time: str
    level: str
    logger: str
    event: str
    method: str
    route: str
    status: int
    ms: float
    request: str
    code: str = ""
    execution: str = ""
    agent: str = ""
    trace: str = ""


class Access:
    """Writes to `stream` as the rest of the log does: JSON, or text."""

    def __init__(self, stream: TextIO, *, json: bool) -> None:
        self._stream = stream
        self._json = json
        self._lines: list[str] = []
        self._second = -1
        self._begin = ""

    def write(self, method: str, route: str, status: int, code: str, seconds: float, here: Here) -> None:
        """Note one answer. Called in the loop."""
        if status < 400 and route in QUIET:
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(PAUSE, self.flush)
        when, millis = self._now(), round(seconds * 1000, 1)
        if self._json:
            line = _Line(
                when, "info", "jit_auth.access", "request", method, route, status, millis, here.request, code,
                here.execution, here.agent, here.trace,
            )  # fmt: skip
            self._lines.append(_encode(line).decode())
        else:
            said = f" {code}" if code else ""
            whose = f" {here.execution}" if here.execution else ""
            self._lines.append(f"{when} info {method} {route} {status}{said} {millis} ms{whose}")

    def flush(self) -> None:
        """Write what was noted. A stream that is gone loses lines, and nothing else."""
        if self._lines:
            lines, self._lines = self._lines, []
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return

    def _now(self) -> str:
        """UTC to the millisecond; of each second the first part is made once."""
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second, self._begin = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._begin}.{rest // 1_000_000:03d}Z"
