"""A hostile issuer, our end of the round trip, and a clock that both read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from multidict import MultiDict
from yarl import URL

from jit_auth.config.issuer import Issuer
from jit_auth.model import Millis
from jit_auth.signin.fetch import issuers_session
from jit_auth.signin.oidc import Landed, Oidc
from tests.fakes.issuer import HostileIssuer
from tests.integration.signin.service import Corp
from tests.integration.signin.service import corp as service

PUBLIC_URL = "https://jit.example.net"
KEY = b"\x07" * 32


class Time:
    """The present, but for what a test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def seconds(self) -> float:
        return time.time() + self.ahead

    def now(self) -> Millis:
        return int(self.seconds() * 1000)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def evil(clock: Time) -> AsyncIterator[HostileIssuer]:
    async with HostileIssuer(clock.seconds).running() as issuer:
        yield issuer


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with issuers_session() as session:
        yield session


def corp(evil: HostileIssuer, **changes: Any) -> Issuer:
    """The issuer as an operator would write it."""
    fields: dict[str, Any] = {
        "name": "corp", "issuer": evil.url, "client_id": evil.client_id, "client_secret": evil.client_secret,
        "domains": ("example.com",),
    }  # fmt: skip
    return Issuer(**{**fields, **changes})


@pytest.fixture
def oidc(evil: HostileIssuer, session: ClientSession, clock: Time) -> Oidc:
    return Oidc([corp(evil)], public_url=PUBLIC_URL, key=KEY, now=clock.now, session=session)


async def answered(url: str) -> MultiDict[str]:
    """What the issuer's redirect carries back, when a browser goes to `url`."""
    async with (
        ClientSession(trust_env=False) as browser,
        browser.get(URL(url, encoded=True), allow_redirects=False) as reply,
    ):
        assert reply.status == 302
        back = reply.headers["Location"]
    assert urlsplit(back).path.startswith("/signin/callback/")
    return MultiDict(URL(back, encoded=True).query)


async def sign_in(oidc: Oidc, name: str = "corp", *, to: str = "/me", fresh: bool = False) -> Landed:
    begun = await oidc.begin(name, to=to, fresh=fresh)
    return await oidc.finish(name, await answered(begun.url), begun.cookie)


@asynccontextmanager
async def signing_in(issuer: Issuer, now: Callable[[], Millis]) -> AsyncIterator[Oidc]:
    async with issuers_session() as session:
        yield Oidc([issuer], public_url=PUBLIC_URL, key=KEY, now=now, session=session)


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Corp]:
    """Everything but the whole service: tests start and restart it."""
    async with service(tmp_path) as found:
        yield found


@pytest.fixture
async def world(resting: Corp) -> AsyncIterator[Corp]:
    """The whole service, running; people sign in."""
    async with resting.running():
        yield resting
