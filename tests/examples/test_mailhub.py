"""MailHub says no where a real OAuth 2.1 server does (RFC 6749, 6750, 7009, 7636, 9207)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from examples.demo.person import Browser, PageError
from examples.mailhub import provider, service

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Hub:
    """A running MailHub, a person's browser, a client's HTTP session, and the queries that came back to the client."""

    hub: service.MailHub
    browser: Browser
    http: aiohttp.ClientSession
    redirect: str
    came: list[dict[str, str]]

    def authorize(self, **change: str | None) -> str:
        query = {
            "response_type": "code",
            "client_id": service.CLIENT_ID,
            "redirect_uri": self.redirect,
            "scope": "mail.read offline_access",
            "state": "s1",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **change,
        }
        kept = {key: value for key, value in query.items() if value is not None}
        return f"{self.hub.provider_url}/authorize?{urlencode(kept)}"

    async def consent(self, label: str = "allow", **change: str | None) -> dict[str, str]:
        """Sign in where asked, press a button of the consent page; what comes back to the client."""
        await self.browser.open(self.authorize(**change))
        if self.browser.offers("sign in"):
            await self.browser.press("sign in", {"email": service.ALICE.email, "password": service.ALICE.password})
        await self.browser.press(label)
        return self.came[-1]

    async def token(self, secret: str | None = None, **form: str) -> tuple[int, dict[str, Any]]:
        pair = f"{service.CLIENT_ID}:{secret or self.hub.client_secret}".encode()
        headers = {"Authorization": "Basic " + base64.b64encode(pair).decode()}
        async with self.http.post(self.hub.provider_url + "/token", data=form, headers=headers) as reply:
            return reply.status, await reply.json()

    async def redeem(self, code: str, **change: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect}
        return await self.token(**{**form, "code_verifier": VERIFIER, **change})

    async def refresh(self, token: str, **change: str) -> tuple[int, dict[str, Any]]:
        return await self.token(**{"grant_type": "refresh_token", "refresh_token": token, **change})

    async def connected(self, scope: str = "mail.read offline_access") -> dict[str, Any]:
        status, token = await self.redeem((await self.consent(scope=scope))["code"])
        assert status == 200
        return token

    async def call(self, method: str, token: str, path: str = "/messages", body: object = None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, self.hub.api_url + path, headers=headers, json=body) as reply:
            return reply.status, reply.headers.get("WWW-Authenticate", "")


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    came: list[dict[str, str]] = []

    async def callback(request: web.Request) -> web.Response:
        came.append(dict(request.query))
        return web.Response(text="back at the client")

    client = web.Application()
    client.router.add_get("/oauth/callback/mailhub", callback)
    async with TestServer(client) as server, Browser() as browser, aiohttp.ClientSession() as http:
        redirect = f"http://127.0.0.1:{server.port}/oauth/callback/mailhub"
        mailhub = await service.start(redirect)
        yield Hub(mailhub, browser, http, redirect, came)
        await mailhub.stop()


async def test_code_with_pkce_gives_a_token_that_reads_but_does_not_send(hub: Hub) -> None:
    answer = await hub.consent()
    assert answer["state"] == "s1"
    assert answer["iss"] == hub.hub.provider_url
    status, token = await hub.redeem(answer["code"])
    assert status == 200
    assert token["scope"] == "mail.read offline_access"
    assert (await hub.call("GET", token["access_token"]))[0] == 200
    status, challenge = await hub.call("POST", token["access_token"], body={"to": ["a@b.example"]})
    assert status == 403
    assert 'error="insufficient_scope"' in challenge
    assert hub.hub.api.sent == []


async def test_what_was_sent_is_kept(hub: Hub) -> None:
    token = await hub.connected("mail.send")
    message = {"to": ["a@b.example"], "subject": "s", "body": "b"}
    assert (await hub.call("POST", token["access_token"], body=message))[0] == 201
    assert hub.hub.api.sent == [{"id": "s1", "from": service.ALICE.email, **message}]
    assert (await hub.call("DELETE", token["access_token"], "/messages/m1"))[0] == 204
    assert "refresh_token" not in token  # offline_access was not asked for


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "mail.read admin"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
    ],
)
async def test_bad_authorization_requests_go_back_with_an_error(
    hub: Hub, change: dict[str, str | None], error: str
) -> None:
    await hub.browser.open(hub.authorize(**change))
    assert hub.came == [{"error": error, "state": "s1", "iss": hub.hub.provider_url}]


@pytest.mark.parametrize("change", [{"client_id": "other"}, {"redirect_uri": "http://127.0.0.1:9/"}])
async def test_nobody_is_sent_to_an_unregistered_address(hub: Hub, change: dict[str, str]) -> None:
    with pytest.raises(PageError, match="not registered"):
        await hub.browser.open(hub.authorize(**change))
    assert hub.came == []


async def test_a_code_works_once_and_a_second_use_ends_its_tokens(hub: Hub) -> None:
    code = (await hub.consent())["code"]
    _, token = await hub.redeem(code)
    assert (await hub.redeem(code)) == (400, _error("invalid_grant"))
    assert (await hub.call("GET", token["access_token"]))[0] == 401


@pytest.mark.parametrize("change", [{"code_verifier": "w" * 43}, {"redirect_uri": "http://127.0.0.1:9/"}])
async def test_a_code_is_bound_to_verifier_and_address(hub: Hub, change: dict[str, str]) -> None:
    code = (await hub.consent())["code"]
    assert (await hub.redeem(code, **change)) == (400, _error("invalid_grant"))


async def test_a_wrong_client_secret_is_refused(hub: Hub) -> None:
    code = (await hub.consent())["code"]
    assert (await hub.redeem(code, secret="wrong")) == (401, _error("invalid_client"))


async def test_refresh_rotates_and_reuse_ends_the_family(hub: Hub) -> None:
    first = await hub.connected()
    _, second = await hub.refresh(first["refresh_token"])
    assert (await hub.call("GET", second["access_token"]))[0] == 200
    assert (await hub.refresh(second["refresh_token"], scope="mail.send")) == (400, _error("invalid_scope"))
    assert (await hub.refresh(first["refresh_token"])) == (400, _error("invalid_grant"))
    assert (await hub.call("GET", second["access_token"])) == (401, 'Bearer realm="MailHub", error="invalid_token"')
    assert (await hub.refresh(second["refresh_token"])) == (400, _error("invalid_grant"))


async def test_revocation_ends_all_tokens_of_the_consent(hub: Hub) -> None:
    token = await hub.connected()
    pair = {"client_id": service.CLIENT_ID, "client_secret": hub.hub.client_secret}
    for value in ("unknown", token["refresh_token"]):
        async with hub.http.post(hub.hub.provider_url + "/revoke", data={"token": value, **pair}) as reply:
            assert reply.status == 200
    assert (await hub.call("GET", token["access_token"]))[0] == 401


async def test_denial_and_a_part_of_what_was_asked(hub: Hub) -> None:
    answer = await hub.consent("deny")
    assert answer["error"] == "access_denied"
    await hub.browser.open(hub.authorize(scope="mail.read mail.send"))
    form = hub.browser.forms[0]
    form.fields.remove(("scope", "mail.send"))
    await hub.browser.press("allow")
    _, token = await hub.redeem(hub.came[-1]["code"])
    assert token["scope"] == "mail.read"


async def test_a_forged_consent_form_gives_nothing(hub: Hub) -> None:
    await hub.consent()
    await hub.browser.open(hub.authorize())
    with pytest.raises(PageError, match="does not belong to your session"):
        await hub.browser.press("allow", {"csrf": "forged"})
    assert len(hub.came) == 1


async def test_userinfo_names_the_account(hub: Hub) -> None:
    token = await hub.connected()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    async with hub.http.get(hub.hub.provider_url + "/me", headers=headers) as reply:
        assert await reply.json() == {"sub": service.ALICE.sub, "email": service.ALICE.email}
    async with hub.http.get(hub.hub.provider_url + "/me") as reply:
        assert reply.status == 401


async def test_an_expired_access_token_is_refused() -> None:
    now = [1000.0]
    account = service.ALICE
    client = provider.Client("c", "s", ("http://127.0.0.1:9/",))
    server = provider.AuthorizationServer(
        "http://127.0.0.1:1", accounts=(account,), clients=(client,), lifetime=60, clock=lambda: now[0]
    )
    token = server.issue(account, client, frozenset({"mail.read"}))
    access = str(token["access_token"])
    assert server.introspect(access) is not None
    now[0] += 60
    assert server.introspect(access) is None


def _error(code: str) -> Any:
    class Like:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, dict) and other.get("error") == code and bool(other.get("error_description"))

        def __hash__(self) -> int:
            return hash(code)

        def __repr__(self) -> str:
            return f"<error {code}>"

    return Like()
