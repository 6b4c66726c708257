"""Both clients under one name: the blocking one speaks from a thread, so that one loop holds everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from jit_auth.client import AsyncClient, Client, Execution, Repeats
from tests.fakes.serving import serving

TOKEN = "jat_agt_" + "t" * 43
QUICK = Repeats(seconds=5.0, first=0.001, longest=0.01)
EXECUTION: dict[str, Any] = {"id": "exe_1", "action": "m.read", "status": "succeeded", "result": {"body": {"n": 1}}}


@dataclass
class Speaks:
    """`await speaks("get", "exe_1")`, whichever client it is."""

    client: Client | AsyncClient

    async def __call__(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        at = self.client
        for name in operation.split("."):
            at = getattr(at, name)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(at, *args, **kwargs)
        return await at(*args, **kwargs)  # type: ignore[operator]  # a method by now

    async def all(self, **filters: Any) -> list[Execution]:
        """The whole list, page by page."""
        if isinstance(self.client, Client):
            client = self.client
            return await asyncio.to_thread(lambda: list(client.list(**filters)))
        return [each async for each in self.client.list(**filters)]

    async def close(self) -> None:
        await self("close")


def client(kind: str, url: str, token: str = TOKEN, **options: Any) -> Speaks:
    made = Client if kind == "blocking" else AsyncClient
    return Speaks(made(url, token, **{"repeats": QUICK, **options}))


@dataclass
class Scripted:
    """Gives prepared answers, one after the other: (status, body, headers), "hang-up", or "cut" in the middle."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    """The clients' ends: equal ones are one connection."""

    def then(self, status: int, body: Any = None, **headers: str) -> Scripted:
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))
        return self

    def breaks(self, how: str = "hang-up") -> Scripted:
        self.answers.append(how)
        return self

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.seen]

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.path_qs}" for request in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.bodies.append(await request.read())
        assert request.transport is not None
        self.ports.append(request.transport.get_extra_info("peername")[1])
        answer = self.answers.pop(0)
        if answer == "hang-up":
            request.transport.abort()
            return web.Response()
        if answer == "cut":
            reply = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
            await reply.prepare(request)
            await reply.write(b'{"id": "exe_1", ')
            request.transport.close()
            return reply
        status, body, headers = answer
        if isinstance(body, bytes | str):
            return web.Response(status=status, body=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def scripted(port: int = 0) -> AsyncIterator[Scripted]:
    server = Scripted()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with serving(app, port=port) as server.url:
        yield server
