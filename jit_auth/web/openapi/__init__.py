"""`GET /openapi.json`: the document of this service, made when somebody asks for it: most services are never asked."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

import msgspec
from aiohttp import web

PATH = "/openapi.json"


def route(others: Collection[web.RouteDef]) -> web.RouteDef:
    """The route of the document about these, health and itself. It is written once."""
    served = {(each.method, each.path) for each in others}
    served |= {("GET", PATH), ("GET", "/healthz"), ("GET", "/readyz")}

    @cache
    def body() -> bytes:
        from jit_auth.web.openapi.document import document  # 2,000 lines of schemas: not a part of every start

        return msgspec.json.encode(document(served))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body(), content_type="application/json", headers={"Cache-Control": "no-cache"})

    return web.get(PATH, handler)
