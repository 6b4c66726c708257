"""The HTTP application: the Host check before routing, one error shape, health, and all routes.

Attack: a web page rebinds its own name to 127.0.0.1 and talks to this service with its own Host (THREAT_MODEL 38):
every Host but ours is 421 before anything is read. There are no CORS headers, ever.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from jit_auth.errors import Misdirected, Problem, StorageError
from jit_auth.web import problem

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered under any Host: load balancers ask by address."""


def application(
    routes: Sequence[web.RouteDef], hosts: Collection[str], ready: Callable[[], Awaitable[tuple[int, str]]]
) -> web.Application:
    """The app. `hosts` are the Host names it answers to, lower case, without port; `ready` gives status and code."""
    known = frozenset(hosts)

    @web.middleware
    async def front(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path not in OPEN_PATHS and host_of(request.headers.get("Host", "")) not in known:
                raise Misdirected(
                    "This service does not answer under that name.",
                    hint="Use the address in `[server] public_url`, or add the name to `hosts`.",
                )
            return await handler(request)
        except Problem as error:
            return problem.response(error)
        except StorageError as error:
            log.warning("storage: %s", error.message)
            return problem.plain(503, "storage_unavailable", "The database does not answer.", "Try again in a moment.")
        except web.HTTPException as error:
            return _http(error)
        except Exception:
            log.exception("a handler failed: %s", request.match_info.route.resource)
            return problem.plain(500, "internal", "Something went wrong here.", "It is in the service's log.")

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(request: web.Request) -> web.Response:
        status, code = await ready()
        return web.Response(text=code, status=status)

    app = web.Application(middlewares=[front], client_max_size=1 << 20)
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), *routes])
    return app


def host_of(header: str) -> str:
    """The name in a Host header: without port and brackets, lower case."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


_CODES = {
    404: ("not_found", "There is nothing here.", "The routes are in the documentation of the HTTP API."),
    405: ("method_not_allowed", "Not by this method.", "`Allow` names the methods."),
    413: ("too_large", "The body is too large.", "A call has at most 64 KiB."),
}


def _http(error: web.HTTPException) -> web.Response:
    """aiohttp's own refusals in our shape."""
    if error.status < 400:
        raise error
    code, detail, hint = _CODES.get(error.status, ("bad_request", error.reason, "Correct the request."))
    response = problem.plain(error.status, code, detail, hint)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response
