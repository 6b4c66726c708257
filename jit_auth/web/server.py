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

HOT = ("POST", "/execute")
"""The route that is taken most."""
Watching = Callable[[str, str, str | None], Callable[[int, str], None]]
"""Called with method, route template and `traceparent` as a request begins; what it gives, with status and code as it
ends."""
CLOSED = 499
"""Status, for the log, of a request whose answer nobody waited for."""
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Answered under any Host: load balancers ask by address."""


def unwatched(method: str, where: str, traceparent: str | None) -> Callable[[int, str], None]:
    """Nobody looks on."""
    return lambda status, code: None


def application(
    routes: Sequence[web.RouteDef],
    hosts: Collection[str],
    ready: Callable[[], Awaitable[tuple[int, str]]],
    watching: Watching = unwatched,
) -> web.Application:
    """The app. `hosts` are the Host names it answers to, lower case, without port; `ready` gives status and code."""
    known = frozenset(hosts)

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(request: web.Request) -> web.Response:
        status, code = await ready()
        return web.Response(text=code, status=status)

    app = web.Application(client_max_size=1 << 20)
    hot: Handler | None = None
    for route in (web.get("/healthz", healthz), web.get("/readyz", readyz), *routes):
        handler = guarded(route.handler, None if route.path in OPEN_PATHS else known, route.path, watching)
        app.add_routes([web.RouteDef(route.method, route.path, handler, route.kwargs)])
        if (route.method, route.path) == HOT:
            hot = handler
    rest = _Rest("/")
    rest.add_route("*", guarded(_nowhere, known, "*", watching))
    app.router.register_resource(rest)
    if hot is not None:
        _straight(app, hot)
    return app


def _straight(app: web.Application, hot: Handler) -> None:
    """Agents' calls go to their handler without aiohttp's router, which costs a twentieth of one (measured). Whatever
    is not plainly such a call takes the usual way."""
    routed, (method, path) = app._handle, HOT

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.raw_path == path and request.method == method and "Expect" not in request.headers:
            return await hot(request)
        return await routed(request)

    app._handle = handle  # type: ignore[method-assign]  # aiohttp has no other place before its router


def guarded(handler: Handler, hosts: Collection[str] | None, where: str, watching: Watching = unwatched) -> Handler:
    """The handler behind the Host check (`hosts` None: any will do), its errors in our shape; `where` is the route's
    template, for whoever watches.

    Every handler is wrapped once: aiohttp's middlewares do the same, and cost a thirtieth of a call.
    """

    async def front(request: web.Request) -> web.StreamResponse:
        end = watching(request.method, where, request.headers.get("traceparent"))
        status, code = CLOSED, ""
        try:
            response, code = await answered(request)
            status = response.status
            return response
        except web.HTTPException as redirect:
            status = redirect.status
            raise
        finally:
            end(status, code)

    async def answered(request: web.Request) -> tuple[web.StreamResponse, str]:
        try:
            if hosts is not None and host_of(request.headers.get("Host", "")) not in hosts:
                raise Misdirected(
                    "This service does not answer under that name.",
                    hint="Use the address in `[server] public_url`, or add the name to `hosts`.",
                )
            return await handler(request), ""
        except Problem as error:
            return problem.response(error), error.code
        except StorageError as error:
            log.warning("storage: %s", error.message)
            away = problem.plain(503, error.code, "The database does not answer.", "Try again in a moment.")
            return away, error.code
        except web.HTTPException as error:
            return _http(error)
        except Exception:
            log.exception("a handler failed: %s", where)
            fault = problem.plain(500, "internal", "Something went wrong here.", "It is in the service's log.")
            return fault, "internal"

    return front


class _Rest(web.PlainResource):
    """Fits whatever no other resource does, `OPTIONS *` too. Registered last.

    (The target of CONNECT has no path, so that aiohttp asks no resource: its own 404 is the answer.)
    """

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo, set[str]]:
        return web.UrlMappingMatchInfo({}, next(iter(self))), set()


async def _nowhere(request: web.Request) -> web.Response:
    """What no route answers: 405 where others would by another method, else 404."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not request.match_info.route.resource:
            allowed |= (await resource.resolve(request))[1]
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound


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


def _http(error: web.HTTPException) -> tuple[web.Response, str]:
    """aiohttp's own refusals in our shape, with their code."""
    if error.status < 400:
        raise error
    code, detail, hint = _CODES.get(error.status, ("bad_request", error.reason, "Correct the request."))
    response = problem.plain(error.status, code, detail, hint)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response, code
