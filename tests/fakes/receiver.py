"""Somebody who is told of events: a real HTTP server that keeps what came, and answers as it is told to.

`verified` is an implementation of its own of the specification
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.serving import serving


@dataclass
class Told:
    """One delivery, as it arrived."""

    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        found: str = self.json["type"]
        return found


@dataclass
class Receiver:
    """`answer` gives the status (or a whole response) for a delivery, or never answers (`None`)."""

    answer: Callable[[Told], int | web.Response | None] = lambda told: 204
    told: list[Told] = field(default_factory=list)
    url: str = ""
    """Ends without a slash."""
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        told = Told(request.raw_path, headers, await request.read())
        async with self.news:
            self.told.append(told)
            self.news.notify_all()
        answer = self.answer(told)
        if answer is None:
            await asyncio.Event().wait()
        return answer if isinstance(answer, web.Response) else web.Response(status=answer or 204)

    async def until(self, what: Callable[[list[Told]], Any], seconds: float = 10.0) -> Any:
        """The first true value that `what` gives of all deliveries so far."""
        async with asyncio.timeout(seconds), self.news:
            while not (found := what(self.told)):
                await self.news.wait()
            return found


@asynccontextmanager
async def receiving(answer: Callable[[Told], int | web.Response | None] | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free loopback port."""
    receiver = Receiver(answer) if answer is not None else Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    async with serving(app) as receiver.url:
        yield receiver


def verified(told: Told, secret: str, now: float, tolerance: float = 300) -> Any:
    """The event, if its signature is good: by the specification's text, from the secret as receivers hold it.

    Raises ValueError.
    """
    prefix, _, encoded = secret.partition("_")
    if prefix != "whsec":
        raise ValueError("no such secret")
    key = base64.b64decode(encoded)
    stamp = told.headers["webhook-timestamp"]
    if not stamp.isdigit() or abs(int(stamp) - now) > tolerance:
        raise ValueError("the timestamp is not of now")
    signed = told.id.encode("ascii") + b"." + stamp.encode("ascii") + b"." + told.body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii")
    for signature in told.headers["webhook-signature"].split(" "):
        version, _, given = signature.partition(",")
        if version == "v1" and hmac.compare_digest(given, expected):
            return json.loads(told.body)
    raise ValueError("no signature fits")
