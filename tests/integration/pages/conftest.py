"""A site with the pages on a loopback port, and a client that has no cookies of its own."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar, web

from tests.integration.pages.standin import (
    APPROVAL_TICKET,
    CONSENT_TICKET,
    DIGEST,
    GATHER_TICKET,
    OUTCOME_TICKET,
    Standin,
    application,
)

BLOCKS = "dt|dd|dl|h[1-6]|p|li|ul|ol|div|section|header|form|button|details|summary|label|option"


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: Any
    text: str
    json: Any
    cookies: Any


@dataclass
class Site:
    """The site and the engine behind it."""

    doors: Standin
    origin: str
    session: ClientSession

    @property
    def approval(self) -> str:
        return f"/approvals/{APPROVAL_TICKET}"

    @property
    def all(self) -> str:
        return f"/approvals/{APPROVAL_TICKET}/all"

    @property
    def gathered(self) -> str:
        return f"/approvals/{GATHER_TICKET}"

    @property
    def unknown(self) -> str:
        return f"/approvals/{OUTCOME_TICKET}"

    @property
    def consent(self) -> str:
        return f"/connect/{CONSENT_TICKET}"

    async def get(self, path: str, **headers: str) -> Answer:
        async with self.session.get(self.origin + path, headers=headers, allow_redirects=False) as response:
            return await _read(response)

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        async with self.session.request(method, self.origin + path, allow_redirects=False, **more) as response:
            return await _read(response)

    async def form(self, path: str, values: Any, **headers: str) -> Answer:
        """A browser's form post from our own page, unless `headers` say otherwise."""
        own = headers if headers else {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        return await self.ask("POST", path, data=values, headers=own)

    async def vote(self, decision: str, **values: str) -> Answer:
        return await self.form(self.approval, {"decision": decision, "digest": DIGEST} | values)

    async def json(self, path: str, value: Any) -> Answer:
        return await self.ask("POST", path, json=value)


async def _read(response: ClientResponse) -> Answer:
    text = await response.text()
    is_json = "json" in response.content_type
    return Answer(
        response.status,
        response.headers,
        text,
        await response.json(content_type=None) if is_json else None,
        response.cookies,
    )


def words(html: str) -> str:
    """The text of a page, as a reader has it."""
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    html = re.sub(rf"</?({BLOCKS})\b[^>]*>", " ", html)
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


@asynccontextmanager
async def serving(doors: Standin, public_url: str | None = None) -> AsyncIterator[Site]:
    """The pages on a free port; `public_url` is what they take for their own address (default: where they are)."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        runner = web.AppRunner(application(doors, public_url or origin))
        await runner.setup()
        await web.SockSite(runner, listening).start()
        async with ClientSession(cookie_jar=DummyCookieJar()) as session:
            yield Site(doors, origin, session)
        await runner.cleanup()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(Standin()) as found:
        yield found
