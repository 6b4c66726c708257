"""A store, a way out, an odd provider, and the callback's end of the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from jit_auth.core.mac import Mac
from jit_auth.egress import Egress
from jit_auth.model import Ask, Audit, Grant, Insert, Op, Provider, Token, Unit
from jit_auth.oauth.flow import Begun, Flows, Landed
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.fakes.browser import Browser
from tests.fakes.provider_odd import Family, OddProvider
from tests.fakes.serving import serving

USER = "alice@example.com"
SUBJECTS = (("agent", "mailbot"), ("user", USER), ("provider", "odd"), ("connector", "odd"), ("grant", "gra_1"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def opened(url: str, clock: Clock, base: Path) -> AsyncIterator[Store]:
    store = await Store.open(url, Vault([("k1", b"\1" * 32)]), clock=clock, base=base, serve=False)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(clock: Clock, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened("sqlite:///jit.db", clock, tmp_path) as store:
        yield store


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(["127.0.0.1"])
    yield egress
    await egress.close()


@pytest.fixture
async def odd() -> AsyncIterator[OddProvider]:
    async with OddProvider().running() as provider:
        yield provider


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with Browser() as browser:
        yield browser


def hub(odd: OddProvider, **changes: Any) -> Provider:
    """The odd provider as data, every endpoint written out."""
    values: dict[str, Any] = {
        "id": "odd", "authorize_url": odd.url + "/authorize", "token_url": odd.url + "/token",
        "revoke_url": odd.url + "/revoke", "userinfo_url": odd.url + "/me", "hosts": ("127.0.0.1",),
        "client_id": odd.client_id, "client_secret": odd.client_secret,
    }  # fmt: skip
    return Provider(**(values | changes))


async def write(store: Store, *ops: Op) -> None:
    await store.apply(Unit(None, ops, Audit(actor="engine", what=({"do": "test"},), user=USER)))


async def granted(store: Store, family: Family, *, left: int = 0, lifetime: int = 3_600_000, **changes: Any) -> Grant:
    """A grant in the store, whose access token has `left` milliseconds to go."""
    now = store.now()
    token = Token(access=family.access, refresh=family.refresh, expires=now + left, lifetime=lifetime)
    values: dict[str, Any] = {
        "id": "gra_1", "user": USER, "provider": "odd", "account": "odd-alice", "scopes": family.scopes, "token": token,
        "expires": now + left, "lifetime": lifetime, "refreshable": True, "created": now, "updated": now,
    }  # fmt: skip
    await write(store, Insert(Grant(**(values | changes))))
    grant = await store.grant("gra_1")
    assert grant is not None
    return grant


class Desk:
    """Our side of a round trip, without pages: begins, and catches what the browser is sent back with."""

    def __init__(self, store: Store, egress: Egress, url: str, came: list[Mapping[str, str]]) -> None:
        self.store = store
        self.flows = Flows(store, egress, Mac(b"\2" * 32))
        self.url = url
        self.came = came
        """Queries of the callbacks, oldest first."""

    def redirect_uri(self, provider: Provider) -> str:
        return f"{self.url}/oauth/callback/{provider.id}"

    async def begin(self, provider: Provider, *scopes: str) -> Begun:
        now = self.store.now()
        ask = Ask(id="cns_1", execution="exe_1", kind="consent", agent="mailbot", user=USER, provider=provider.id,
                  created=now, expires=now + 3_600_000)  # fmt: skip
        if await self.store.ask("cns_1") is None:
            await write(self.store, Insert(ask))
        return await self.flows.begin(
            ask, provider, scopes, redirect_uri=self.redirect_uri(provider), epoch=self.store.epoch
        )

    async def finish(self, provider: Provider, query: Mapping[str, str], cookie: str | None) -> Landed:
        return await self.flows.finish(provider, query, cookie, redirect_uri=self.redirect_uri(provider))

    async def trip(self, browser: Browser, provider: Provider, *scopes: str, **consent: Any) -> Landed:
        """There and back again."""
        begun = await self.begin(provider, *scopes)
        await browser.get(begun.url)
        await browser.consent(**{"user": "alice", **consent})
        return await self.finish(provider, self.came[-1], begun.cookie)


@pytest.fixture
async def desk(store: Store, egress: Egress) -> AsyncIterator[Desk]:
    came: list[Mapping[str, str]] = []

    async def callback(request: web.Request) -> web.Response:
        came.append(request.query)
        return web.Response(text="back")

    app = web.Application()
    app.router.add_get("/oauth/callback/{provider}", callback)
    async with serving(app) as url:
        yield Desk(store, egress, url, came)
