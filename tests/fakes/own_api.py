"""A company's own API behind one credential: it shows what it was sent, as a careless server does, and can refuse."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp import web

from tests.fakes.serving import serving


class OwnApi:
    """Any method and path. `expects` is (header or query parameter, value); `statuses` come first, one each; a path
    in `moves` is a redirect."""

    def __init__(self, expects: tuple[str, str]) -> None:
        self.expects = expects
        self.url = ""
        self.statuses: list[int] = []
        self.moves: dict[str, str] = {}
        self.seen: list[web.Request] = []

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator[OwnApi]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        async with serving(app, context) as url:
            self.url = url
            yield self

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        if (there := self.moves.get(request.path)) is not None:
            return web.Response(status=302, headers={"Location": there})
        name, value = self.expects
        known = value in (request.headers.get(name), request.query.get(name))
        status = self.statuses.pop(0) if self.statuses else 200 if known else 401
        coded = value.removeprefix("Basic ")
        told = {
            "url": str(request.rel_url),
            "headers": dict(request.headers),
            "base64": b64encode(value.encode()).decode(),
            "quoted": quote(value, safe=""),
            "coded": coded,
            "body": await request.text(),
        }
        return web.json_response(told, status=status, headers={"X-Request-Id": coded})
