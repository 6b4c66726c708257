"""The fakes are what they claim to be: an API that misbehaves on demand, a browser that keeps browsers' rules."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, web

from tests.fakes.browser import Blocked, Browser
from tests.fakes.mail_api import MailApi, dot_check
from tests.fakes.provider_dot import DotProvider
from tests.fakes.serving import serving

TOKENS = {"reader": ("alice", ["mail.read"]), "writer": ("alice", ["mail.read", "mail.send"])}


@pytest.fixture
async def api() -> AsyncIterator[MailApi]:
    async with MailApi(TOKENS.get).running() as api:
        yield api


@asynccontextmanager
async def asked(api: MailApi, method: str, token: str) -> AsyncIterator[tuple[int, str, str]]:
    """Status, body and challenge."""
    async with ClientSession() as session:
        body = {"to": "bo"} if method == "POST" else None
        async with session.request(
            method,
            api.url + "/messages",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            allow_redirects=False,
        ) as reply:
            yield reply.status, await reply.text(), reply.headers.get("WWW-Authenticate", "")


async def test_scopes_are_checked(api: MailApi) -> None:
    for method, token, expected in [
        ("GET", "reader", 200), ("POST", "reader", 403), ("POST", "writer", 201), ("GET", "nobody", 401),
    ]:  # fmt: skip
        async with asked(api, method, token) as (status, _, challenge):
            assert status == expected
            assert ("insufficient_scope" in challenge) is (status == 403)
            assert ("invalid_token" in challenge) is (status == 401)
    assert api.messages == [{"of": "alice", "to": "bo"}]
    assert api.counts == {"GET": 2, "POST": 2}


@pytest.mark.parametrize(
    ("fault", "status"), [("401", 401), ("401-bare", 401), ("403", 403), ("429:7", 429), ("500", 500)]
)
async def test_faults(api: MailApi, fault: str, status: int) -> None:
    api.faults.append(fault)
    async with asked(api, "GET", "reader") as (told, _, challenge):
        assert told == status
        assert bool(challenge) is (fault in ("401", "403"))
    async with asked(api, "GET", "reader") as (told, _, _):
        assert told == 200


@pytest.mark.parametrize(("fault", "done"), [("hang-up", 1), ("hang-up-early", 0)])
async def test_hanging_up(api: MailApi, fault: str, done: int) -> None:
    api.faults.append(fault)
    with pytest.raises(ClientError):
        async with asked(api, "POST", "writer"):
            pass
    assert (len(api.messages), api.counts["POST"]) == (done, 1)


async def test_echo(api: MailApi) -> None:
    api.faults.append("echo")
    async with asked(api, "GET", "reader") as (_, body, _):
        assert "Bearer reader" in body
        assert base64.b64encode(b"Bearer reader").decode() in body
        assert "Bearer%20reader" in body


async def test_an_api_behind_the_real_provider() -> None:
    with DotProvider.start() as dot:
        dot.client("api", "s", "http://127.0.0.1:1/cb")
        token = dot.issue("alice@example.com", "api", "mail.read")["access_token"]
        async with ClientSession() as session:
            check = dot_check(session, dot.url + "/introspect/", "api", "s")
            async with MailApi(check).running() as api:
                for value, expected in [(token, 200), ("x", 401)]:
                    async with asked(api, "GET", value) as (status, _, _):
                        assert status == expected


async def test_the_browser_keeps_form_action_behind_redirects() -> None:
    async def page(_: web.Request) -> web.Response:
        html = '<form method="post" action="/go"><button>Go</button></form><a href="/x">link</a>'
        policy = {"Content-Security-Policy": "default-src 'none'; form-action 'self'"}
        return web.Response(text=html, content_type="text/html", headers=policy)

    async def away(request: web.Request) -> web.Response:
        assert request.headers["Sec-Fetch-Site"] == "same-origin"
        assert request.headers["Origin"] == f"http://{request.host}"
        raise web.HTTPFound(elsewhere + "/")

    async def refresh(_: web.Request) -> web.Response:
        return web.Response(text="on", headers={"Refresh": f"0; url={elsewhere}/"})

    async def headers(request: web.Request) -> web.Response:
        return web.json_response(dict(request.headers))

    first, second = web.Application(), web.Application()
    first.add_routes([web.get("/", page), web.post("/go", away), web.get("/refresh", refresh)])
    second.add_routes([web.get("/", headers)])
    async with serving(first) as here, serving(second) as elsewhere, Browser() as browser:
        await browser.get(here + "/")
        assert browser.page.links == [("link", here + "/x")]
        with pytest.raises(Blocked):
            await browser.submit("Go")
        page_there = await browser.get(here + "/refresh")
        assert page_there.url == elsewhere + "/"
        assert '"Sec-Fetch-Site": "same-site"' in page_there.html
