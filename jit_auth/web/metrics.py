"""/metrics: for admins of role viewer, and on a listener of its own for whoever reaches it (THREAT_MODEL 40).

Attacks: an agent, or a page in an operator's browser that rebinds its name to a loopback address, reads what is going
on here (a role is asked for; the own listener answers on loopback only to loopback's names, and has no other route).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from jit_auth.config.urls import is_loopback
from jit_auth.web.agents import Bearers
from jit_auth.web.query import parameters
from jit_auth.web.server import guarded

LOOPBACK = ("localhost", "127.0.0.1", "::1")
FORMAT = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"}


@dataclass(frozen=True)
class Scrapes:
    """The handlers; `text` gives the metrics in Prometheus' format."""

    text: Callable[[], Awaitable[bytes]]
    bearers: Bearers

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.asked)]

    async def asked(self, request: web.Request) -> web.Response:
        """By an admin."""
        self.bearers.admin(request, "viewer")
        return await self._answer(request)

    def alone(self, listen: tuple[str, int] | None) -> web.Application | None:
        """The application of `[server] metrics_listen`, where it is configured: `GET /metrics` and nothing else."""
        if listen is None:
            return None
        app = web.Application(client_max_size=1)
        hosts = {*LOOPBACK, listen[0].lower()} if is_loopback(listen[0]) else None
        app.add_routes([web.get("/metrics", guarded(self._answer, hosts, "/metrics"))])
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        parameters(request, ())
        return web.Response(body=await self.text(), headers=FORMAT)
