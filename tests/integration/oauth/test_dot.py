"""Against a real OAuth server (django-oauth-toolkit): login elsewhere, rotation with reuse detection, RFC 9207."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from jit_auth.credentials import KINDS
from jit_auth.egress import Egress
from jit_auth.errors import Broken, ConsentRefused, FlowRefused, Misconfigured, ProviderError
from jit_auth.model import Grant, Insert, Provider, Request, Token
from jit_auth.oauth.flow import Landed
from jit_auth.oauth.refresh import Refresher
from jit_auth.oauth.revoke import revoke
from jit_auth.storage.store import Store
from tests.fakes.browser import Browser
from tests.fakes.provider_dot import DotProvider
from tests.integration.oauth.conftest import SUBJECTS, USER, Desk, write

SECRET = "d0t+secret %"


@pytest.fixture(scope="module")
def server() -> Iterator[DotProvider]:
    with DotProvider.start() as server:
        yield server


@pytest.fixture
def dot(server: DotProvider, desk: Desk) -> DotProvider:
    server.client("jit-auth", SECRET, f"{desk.url}/oauth/callback/dot")
    server.settings(ACCESS_TOKEN_EXPIRE_SECONDS=3600)
    server.reset()
    return server


def provider(dot: DotProvider, **changes: Any) -> Provider:
    values: dict[str, Any] = {
        "id": "dot", "issuer": dot.url, "userinfo_url": dot.userinfo_url, "hosts": ("127.0.0.1",),
        "client_id": "jit-auth", "client_secret": SECRET,
    }  # fmt: skip
    return Provider(**(values | changes))


async def call(egress: Egress, dot: DotProvider, token: Token, method: str = "GET") -> tuple[int, str | None]:
    """The API behind it: status and challenge."""
    kind = KINDS["oauth2"]
    request = Request(method, dot.messages_url, body=b"" if method == "GET" else b'{"to":"bo"}')
    sent = kind.apply(provider(dot), request, kind.open(provider(dot), token), 0)
    reply = await egress.send(sent, hosts=("127.0.0.1",), timeout=5000)
    return reply.status, reply.header("www-authenticate")


async def keep(store: Store, landed: Landed, *, left: int = 0) -> Grant:
    now = store.now()
    grant = Grant(
        id="gra_1", user=USER, provider="dot", account=landed.account, scopes=landed.scopes, token=landed.token,
        expires=now + left, lifetime=landed.token.lifetime, refreshable=True, created=now, updated=now,
    )  # fmt: skip
    await write(store, Insert(grant))
    kept = await store.grant("gra_1")
    assert kept is not None
    return kept


async def fresh(refresher: Refresher, store: Store, grant: Grant, dot: DotProvider, **how: Any) -> Grant:
    epoch, bundle, _ = await store.stops()
    return await refresher.fresh(grant, provider(dot), subjects=SUBJECTS, epoch=epoch, bundle=bundle, **how)


async def test_the_whole_trip(desk: Desk, dot: DotProvider, browser: Browser, egress: Egress) -> None:
    landed = await desk.trip(browser, provider(dot), "mail.read", "mail.send", user=USER)
    assert landed.account.startswith("dot-")
    assert landed.account_name == USER
    assert set(landed.scopes) == {"mail.read", "mail.send"}
    assert any(url.startswith(dot.login_url) for url in browser.trail)  # signed in on another origin
    assert await call(egress, dot, landed.token) == (200, None)
    assert await call(egress, dot, landed.token, "POST") == (201, None)


async def test_part_of_the_scopes(desk: Desk, dot: DotProvider, browser: Browser, egress: Egress) -> None:
    landed = await desk.trip(browser, provider(dot), "mail.read", "mail.send", user=USER, untick=["mail.send"])
    assert landed.scopes == ("mail.read",)
    status, challenge = await call(egress, dot, landed.token, "POST")
    assert status == 403
    assert "insufficient_scope" in (challenge or "")


async def test_no_is_no_without_iss(desk: Desk, dot: DotProvider, browser: Browser) -> None:
    with pytest.raises(ConsentRefused):
        await desk.trip(browser, provider(dot), "mail.read", user=USER, deny=True)
    assert "iss" not in desk.came[-1]


async def test_iss_is_promised_and_must_come(desk: Desk, dot: DotProvider, browser: Browser) -> None:
    begun = await desk.begin(provider(dot), "mail.read")
    await browser.get(begun.url)
    await browser.consent(user=USER)
    query = dict(desk.came[-1])
    assert query.pop("iss") == dot.url
    with pytest.raises(FlowRefused) as caught:
        await desk.finish(provider(dot), query, begun.cookie)
    assert caught.value.code == "missing_issuer"


async def test_the_code_is_bound_to_the_verifier_and_good_once(desk: Desk, dot: DotProvider, browser: Browser) -> None:
    first = await desk.begin(provider(dot), "mail.read")
    await browser.get(first.url)
    await browser.consent(user=USER)
    stolen = desk.came[-1]["code"]
    second = await desk.begin(provider(dot), "mail.read")
    await browser.get(second.url)
    await browser.consent(user=USER)
    query = dict(desk.came[-1]) | {"code": stolen}  # injected into the thief's own round trip
    with pytest.raises(ProviderError) as caught:
        await desk.finish(provider(dot), query, second.cookie)
    assert caught.value.code == "invalid_grant"


async def test_a_wrong_secret_is_the_operators_fault(desk: Desk, dot: DotProvider, browser: Browser) -> None:
    with pytest.raises(Misconfigured):
        await desk.trip(browser, provider(dot, client_secret="wrong"), "mail.read", user=USER)


async def test_24_callers_rotate_once(
    desk: Desk, dot: DotProvider, browser: Browser, store: Store, egress: Egress
) -> None:
    landed = await desk.trip(browser, provider(dot), "mail.read", user=USER)
    grant = await keep(store, landed)
    refresher = Refresher(store, egress)
    rows = await asyncio.gather(*(fresh(refresher, store, grant, dot) for _ in range(24)))
    assert dot.counts()["refresh_token 200"] == 1
    tokens = {(await store.reveal(row)).access for row in rows}
    assert len(tokens) == 1
    assert await call(egress, dot, Token(access=tokens.pop())) == (200, None)


async def test_reuse_of_a_rotated_token_ends_the_grant(
    desk: Desk, dot: DotProvider, browser: Browser, store: Store, egress: Egress
) -> None:
    landed = await desk.trip(browser, provider(dot), "mail.read", user=USER)
    grant = await keep(store, landed)
    refresher = Refresher(store, egress)
    new = await fresh(refresher, store, grant, dot)
    # A copy of the old token turns up, from a restored backup, say: the provider ends the family.
    await write(store, Insert(_copy(grant, landed.token, store.now())))
    copy = await store.grant("gra_2")
    assert copy is not None
    with pytest.raises(Broken):
        await fresh(refresher, store, copy, dot)
    used = (await store.reveal(new)).access
    with pytest.raises(Broken):
        await fresh(refresher, store, new, dot, force=True, used=used)


def _copy(grant: Grant, token: Token, now: int) -> Grant:
    return Grant(
        id="gra_2", user=USER, provider="dot", account="copy", scopes=grant.scopes, token=token, expires=now,
        lifetime=grant.lifetime, refreshable=True, created=now, updated=now,
    )  # fmt: skip


async def test_revocation(desk: Desk, dot: DotProvider, browser: Browser, egress: Egress) -> None:
    landed = await desk.trip(browser, provider(dot), "mail.read", user=USER)
    assert await revoke(egress, provider(dot), landed.token)
    status, challenge = await call(egress, dot, landed.token)
    assert status == 401
    assert "invalid_token" in (challenge or "")
