"""A calling application: it knows who is in its browsers' sessions, and confirms them (`[users] verify = "app"`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from tests.fakes.serving import serving

SECRET = "app-secret-" + "s" * 32


@dataclass
class App:
    """`/login?user=` signs a browser in; `/confirm` is `app_url`."""

    url: str = ""
    service: str = ""
    """Where jit_auth is."""
    secret: str = SECRET
    confirms: bool = True
    """Else it only writes down what browsers came with."""
    came: list[dict[str, str]] = field(default_factory=list)
    """Queries of `/confirm`, oldest first."""
    answers: list[tuple[int, Any]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[App]:
        app = web.Application()
        app.add_routes([web.get("/login", self._login), web.get("/confirm", self._confirm)])
        async with serving(app) as self.url:
            yield self

    async def confirm(
        self, ticket: str, nonce: str, user: str, *, secret: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """What the application's server posts; (status, JSON)."""
        told = {"Authorization": f"Bearer {self.secret if secret is None else secret}"} | headers
        url = f"{self.service}/connect/{ticket}/confirm"
        async with (
            ClientSession() as session,
            session.post(url, json={"nonce": nonce, "user": user}, headers=told) as reply,
        ):
            self.answers.append((reply.status, await reply.json(content_type=None)))
        return self.answers[-1]

    async def _login(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(text="signed in")
        response.set_cookie("app_session", request.query["user"], httponly=True, samesite="Lax")
        return response

    async def _confirm(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.came.append(query)
        user = request.cookies.get("app_session")
        if user is None:
            return web.Response(text="sign in here first", status=401)
        if not self.confirms:
            return web.Response(text="noted")
        status, answer = await self.confirm(query["ticket"], query["nonce"], user)
        if status == 200 and answer["return_url"]:
            raise web.HTTPSeeOther(answer["return_url"])
        return web.Response(text=f"{status} {answer.get('status') or answer.get('code')}")
