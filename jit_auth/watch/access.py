"""One line per request: method, route template, status, code, duration. Never the path: paths hold tickets.

The lines of some milliseconds are written together, and not through `logging`: a record of it costs ten times as much,
on every call. What a crash loses of them the audit record has.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from jit_auth.watch.here import Here

PAUSE = 0.1
"""Seconds for which lines are gathered."""
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by machines every few seconds: only what is refused is a line."""

_encode = msgspec.json.Encoder().encode


class Access:
    """Writes to `stream` as the rest of the log does: JSON, or text."""

    def __init__(self, stream: TextIO, *, json: bool) -> None:
        self._stream = stream
        self._json = json
        self._lines: list[str] = []

    def write(self, method: str, route: str, status: int, code: str, seconds: float, here: Here) -> None:
        """Note one answer. Called in the loop."""
        if status < 400 and route in QUIET:
            return
        if not self._lines:
            asyncio.get_running_loop().call_later(PAUSE, self.flush)
        time, millis = datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z", round(seconds * 1000, 1)
        if self._json:
            line = {"time": time, "level": "info", "logger": "jit_auth.access", "event": "request", "method": method,
                    "route": route, "status": status, "ms": millis, "request": here.request}  # fmt: skip
            more = {"code": code, "execution": here.execution, "agent": here.agent, "trace": here.trace}
            line |= {name: value for name, value in more.items() if value}
            self._lines.append(_encode(line).decode())
        else:
            words = (time, "info", method, route, str(status), code, f"{millis} ms", here.execution)
            self._lines.append(" ".join(word for word in words if word))

    def flush(self) -> None:
        """Write what was noted. A stream that is gone loses lines, and nothing else."""
        if self._lines:
            lines, self._lines = self._lines, []
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return
