"""Scripted servers and an Egress that may go to loopback; both are gone after each test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from jit_auth.egress import Egress
from jit_auth.model import Reply, Request

from .servers import Script, Server

Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(script)` gives a listening server."""
    servers: list[Server] = []

    async def start(script: Script, context: ssl.SSLContext | None = None) -> Server:
        server = Server(script)
        await server.start(context)
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(["127.0.0.1"])
    yield egress
    await egress.close()


Get = Callable[..., Awaitable[Reply]]


@pytest.fixture
def get(egress: Egress) -> Get:
    """`await get(server, method=..., body=..., **options of send)`."""

    async def get(server: Server, method: str = "GET", path: str = "/", body: bytes = b"", **options: Any) -> Reply:
        options = {"timeout": 5000, **options}
        return await egress.send(Request(method, server.url + path, (), body), hosts=["127.0.0.1"], **options)

    return get
