"""Bounds how long a client may take to say what it wants: connections that say nothing, or too slowly, are closed.

Attack (THREAT_MODEL 58): many connections that trickle a head or a body, or say nothing at all, hold files and memory
for as long as they like. aiohttp bounds how much a head may be, and not how long it may take. What a handler takes for
its answer (`wait`, event streams) is not bounded here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

HEAD = 15.0
"""Seconds from the connection to the first whole head."""
IDLE = 75.0
"""Seconds from an answer to the next whole head. Longer than common proxies keep idle connections (60)."""
BODY = 30.0
"""Seconds from a whole head to its whole body."""
EACH = 1.0
"""Seconds between two looks."""


class Patience:
    """Knows of each connection what is waited for. One for an application; `watch` closes what takes too long."""

    def __init__(self) -> None:
        self._busy: dict[RequestHandler, tuple[float, web.Request]] = {}
        self._waiting: dict[RequestHandler, tuple[float, float]] = {}
        """Connection -> (since when a head is waited for, for how long)."""

    @property
    def busy(self) -> int:
        """How many requests have a handler at work."""
        return len(self._busy)

    def begin(self, request: web.Request) -> None:
        """The head of this request is whole, and its handler begins."""
        self._busy[request.protocol] = (monotonic(), request)

    def end(self, request: web.Request) -> None:
        """Its handler has ended."""
        protocol = request.protocol
        self._busy.pop(protocol, None)
        self._waiting[protocol] = (monotonic(), IDLE)

    def look(self, connections: Iterable[RequestHandler], now: float) -> int:
        """Close those of all `connections` that took too long, at `now` (the loop's time); gives how many."""
        live = set(connections)
        for known in (self._busy, self._waiting):
            for gone in known.keys() - live:
                del known[gone]
        closed = 0
        for connection in live:
            busy = self._busy.get(connection)
            if busy is not None:
                since, request = busy
                late = not request.content.is_eof() and now - since > BODY
            else:
                since, most = self._waiting.setdefault(connection, (now, HEAD))
                late = now - since > most
            if late and connection.transport is not None:
                # Not close(): that waits until a client that does not read has read.
                connection.transport.abort()
                closed += 1
        return closed


PATIENCE = web.AppKey("patience", Patience)


def runner_of(app: web.Application, drain: float) -> web.AppRunner:
    """What serves `app`; `drain`: seconds that calls under way get to end.

    Bodies are taken as they come: a megabyte that unpacks to a gigabyte is a megabyte of no JSON.
    """
    return web.AppRunner(app, access_log=None, shutdown_timeout=drain, auto_decompress=False)


async def watch(runner: web.AppRunner) -> None:
    """Close what takes too long, looking every second; until cancelled. The runner is set up."""
    loop = asyncio.get_running_loop()
    patience = runner.app[PATIENCE]
    while runner.server is not None:
        patience.look(runner.server.connections, loop.time())
        await asyncio.sleep(EACH)
