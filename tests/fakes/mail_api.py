"""A small mail API behind a provider's tokens: it counts, checks scopes, and can be told to misbehave."""

from __future__ import annotations

import base64
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession, web

from tests.fakes.serving import serving

Owner = tuple[str, Sequence[str]] | None
Check = Callable[[str], Owner | Awaitable[Owner]]


class MailApi:
    """`GET /messages` needs mail.read, `POST /messages` mail.send. `check` gives (user, scopes) of a token, or None.

    `faults` are answered first, one each; every entry is one of: "401" (invalid_token), "401-bare", "403"
    (insufficient_scope), "403-bare", "429:SECONDS", "503:SECONDS", a bare status ("500"), "hang-up" (the connection
    closes after the request was read and done), "hang-up-early" (before it was done), "echo" (200 that repeats the
    Authorization header raw, in base64 and URL-encoded), "redirect:URL".
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self.url = ""
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.messages: list[dict[str, Any]] = []
        self.seen: list[web.BaseRequest] = []
        """Requests that came in, oldest first (headers stay readable)."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MailApi]:
        app = web.Application()
        app.add_routes([web.get("/messages", self._answer), web.post("/messages", self._answer),
                        web.delete("/messages/{id}", self._answer)])  # fmt: skip
        async with serving(app) as url:
            self.url = url
            yield self

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.counts[request.method] += 1
        self.seen.append(request)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "hang-up-early":
            return self._hang_up(request)
        if fault and fault != "hang-up":
            return self._misbehave(request, fault)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        found = self._check(token)
        owner = await found if inspect.isawaitable(found) else found
        if owner is None:
            return _challenge(401, "invalid_token")
        needed = {"GET": "mail.read", "POST": "mail.send"}.get(request.method, "mail.delete")
        if needed not in owner[1]:
            return _challenge(403, "insufficient_scope", needed)
        if request.method == "GET":
            answer = web.json_response({"messages": [each for each in self.messages if each["of"] == owner[0]]})
        elif request.method == "POST":
            self.messages.append({"of": owner[0], **await request.json()})
            answer = web.json_response({"id": f"msg-{len(self.messages)}"}, status=201)
        else:
            answer = web.Response(status=204)
        return self._hang_up(request) if fault == "hang-up" else answer

    def _hang_up(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _misbehave(self, request: web.Request, fault: str) -> web.StreamResponse:
        name, _, value = fault.partition(":")
        if name == "echo":
            header = request.headers.get("Authorization", "")
            token = header.removeprefix("Bearer ")
            coded = [base64.b64encode((" " * shift + header).encode()).decode() for shift in range(3)]
            return web.json_response({"raw": header, "token": token, "base64": coded,
                                      "urlsafe": base64.urlsafe_b64encode(token.encode()).decode(),
                                      "url": quote(header, safe="")})  # fmt: skip
        if name == "redirect":
            return web.Response(status=302, headers={"Location": value})
        if name in ("401", "403"):
            return _challenge(int(name), "invalid_token" if name == "401" else "insufficient_scope", "mail.send")
        headers = {"Retry-After": value} if value else {}
        return web.Response(status=int(name.removesuffix("-bare")), headers=headers, text="no")


def _challenge(status: int, error: str, scope: str = "") -> web.Response:
    header = f'Bearer realm="mail", error="{error}"' + (f', scope="{scope}"' if status == 403 else "")
    return web.json_response({"error": error}, status=status, headers={"WWW-Authenticate": header})


def dot_check(session: ClientSession, introspect_url: str, client_id: str, secret: str) -> Check:
    """A check by RFC 7662 introspection at `provider_dot` (`{url}/introspect/`)."""

    async def check(token: str) -> Owner:
        form = {"token": token, "client_id": client_id, "client_secret": secret}
        async with session.post(introspect_url, data=form) as reply:
            told = await reply.json()
        return (told["username"], told.get("scope", "").split()) if told.get("active") else None

    return check
