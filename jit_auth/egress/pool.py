"""Keeps idle connections for a few seconds, and says which of them may carry the next request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from jit_auth.egress.connection import Connection, Key

IDLE = 4.0
"""Seconds after which an idle connection is closed: common servers close after 5 (node, Apache) or more."""
IDLE_FRESH = 1.0
"""The same for calls that must not be lost to a server's idle timeout (retry "never")."""
MOST = 1024
"""Idle connections kept in all."""


class Pool:
    """Idle connections by key, newest last. Every connection of one Egress is known here until it is closed."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._idle: dict[Key, list[Connection]] = {}
        self._count = 0
        self._live: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._empty: asyncio.Event | None = None

    def add(self, connection: Connection) -> None:
        """A new connection, busy; closed at once where the pool is closed or the connection already lost."""
        if self._closed:
            connection.abort()
        elif connection.open:
            self._live.add(connection)

    def take(self, key: Key, most_idle: float, now: float) -> Connection | None:
        """The newest idle connection for `key` that was idle for less than `most_idle` seconds, or None."""
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            self._count -= 1
            if not connection.open:
                continue
            if now - connection.idle_since < min(most_idle, connection.idle_limit):
                return connection
            # The others have been idle for longer still; they serve whoever asks for less freshness.
            idle.append(connection)
            self._count += 1
            return None
        return None

    def free(self, connection: Connection) -> None:
        """A connection's exchange has ended with nothing in doubt: keep it for a while."""
        if self._closed or self._count >= self._most:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.setdefault(connection.key, []).append(connection)
        self._count += 1
        if self._sweeper is None:
            self._sweeper = loop.call_later(1.0, self.sweep, loop)

    def gone(self, connection: Connection) -> None:
        """A connection is closed for good."""
        self._live.discard(connection)
        if self._empty is not None and not self._live:
            self._empty.set()

    async def close(self) -> None:
        """Close every connection, busy ones too, and wait until they are."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        if self._live:
            self._empty = asyncio.Event()
            _abort(self._live)
            await self._empty.wait()

    def sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what was idle too long; runs every second while anything is idle."""
        oldest = loop.time() - IDLE
        for key, idle in list(self._idle.items()):
            kept = [c for c in idle if c.open and c.idle_since > oldest]
            for connection in idle:
                if connection.open and connection.idle_since <= oldest:
                    connection.close()
            self._count -= len(idle) - len(kept)
            if kept:
                self._idle[key] = kept
            else:
                del self._idle[key]
        self._sweeper = loop.call_later(1.0, self.sweep, loop) if self._idle else None


def _abort(connections: Iterable[Connection]) -> None:
    for connection in tuple(connections):
        connection.give_up("The service is shutting down.")
        connection.abort()
