"""RFC 9700 where no other test stands: downgrade, injection, mix-up, tokens in addresses, posts that are repeated.

THREAT_MODEL 5, 6, 15; docs/security.md has the whole table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from jit_auth.errors import JitAuthError, ProviderError
from tests.fakes.browser import Browser
from tests.fakes.provider_odd import OddProvider
from tests.fakes.serving import serving
from tests.integration.oauth.conftest import Desk, hub
from tests.integration.pages.conftest import Site
from tests.integration.pages.standin import DIGEST
from tests.project.tree import modules


async def back(desk: Desk, provider: Any, browser: Browser) -> tuple[dict[str, str], str]:
    """What a callback brought, not yet taken, and the browser's cookie."""
    begun = await desk.begin(provider, "mail.read")
    await browser.get(begun.url)
    await browser.consent(user="alice")
    return dict(desk.came[-1]), begun.cookie


@pytest.mark.parametrize("methods", [[], ["plain"], ["none"], "S1", None])
async def test_no_metadata_takes_pkce_away(desk: Desk, odd: OddProvider, browser: Browser, methods: Any) -> None:
    odd.odd.metadata_says = {"code_challenge_methods_supported": methods}
    bare = hub(odd, issuer=odd.url, authorize_url=None, token_url=None, revoke_url=None, userinfo_url=None)
    begun = await desk.begin(bare, "mail.read")
    asked = parse_qs(urlsplit(begun.url).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    await desk.trip(browser, bare, "mail.read")
    assert len(odd.forms[-1]["code_verifier"]) >= 43


async def test_a_code_of_another_trip_is_refused(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    """A stolen code in the thief's own trip: his state, his cookie, the victim's code."""
    provider = hub(odd, issuer=odd.url)
    victim, _ = await back(desk, provider, browser)
    thief, cookie = await back(desk, provider, browser)
    with pytest.raises(ProviderError) as refused:
        await desk.finish(provider, thief | {"code": victim["code"]}, cookie)
    assert refused.value.code == "invalid_grant"


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token", "token"])
async def test_a_token_in_the_callback_is_nothing(desk: Desk, odd: OddProvider, browser: Browser, name: str) -> None:
    """An implicit answer: beside a code it is not looked at, in its place it is no answer; neither comes to light."""
    planted = odd.issue("mallory", "mail.read").access
    query, cookie = await back(desk, hub(odd), browser)
    without = {key: value for key, value in query.items() if key != "code"} | {name: planted}
    with pytest.raises(JitAuthError) as refused:
        await desk.finish(hub(odd), without, cookie)
    assert planted not in str(refused.value)
    assert odd.counts["authorization_code"] == 0
    landed = await desk.finish(hub(odd), query | {name: planted}, cookie)
    assert (landed.account, landed.token.access) == ("odd-alice", odd.families[-1].access)
    assert planted not in (landed.token.access, landed.token.refresh)


async def test_a_code_goes_to_the_server_that_was_asked(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    """Mix-up: the honest server's answer at the hostile one's path, its `iss` honest, hostile or taken away."""
    async with OddProvider().running() as evil:
        hostile = hub(evil, id="evil", issuer=evil.url)
        query, cookie = await back(desk, hub(odd, issuer=odd.url), browser)
        bare = {name: value for name, value in query.items() if name != "iss"}
        for came in (query, bare, query | {"iss": evil.url}):
            with pytest.raises(JitAuthError) as refused:
                await desk.finish(hostile, came, cookie)
            assert query["code"] not in str(refused.value)
        assert evil.forms == []
        assert odd.forms == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("inside", [True, False])
async def test_a_token_endpoint_that_moves_gets_no_second_request(
    desk: Desk, odd: OddProvider, browser: Browser, status: int, inside: bool
) -> None:
    """Neither code nor client secret nor verifier is posted again, on the same host or elsewhere."""
    caught: list[Mapping[str, Any]] = []

    async def trap(request: web.Request) -> web.Response:
        caught.append(await request.post())
        return web.json_response({"access_token": "x", "token_type": "bearer"})

    async def moved(request: web.Request) -> web.Response:
        await request.post()
        return web.Response(status=status, headers={"Location": "/trap" if inside else elsewhere + "/trap"})

    other, here = web.Application(), web.Application()
    other.router.add_route("*", "/trap", trap)
    here.router.add_route("*", "/trap", trap)
    here.router.add_post("/token", moved)
    async with serving(other) as elsewhere, serving(here) as origin:
        provider = hub(odd, token_url=origin + "/token")
        query, cookie = await back(desk, provider, browser)
        with pytest.raises(JitAuthError) as refused:
            await desk.finish(provider, query, cookie)
        for secret in (query["code"], odd.client_secret):
            assert secret not in str(refused.value)
    assert caught == []


async def test_no_page_of_ours_repeats_a_post(site: Site) -> None:
    """Every answer to a post is a page or a 303; no module of ours names a status that would have it posted again."""
    answers = [
        await site.form(site.consent, {"decision": "allow"}),
        await site.form(site.approval, {"decision": "approve"}),
        await site.vote("approve"),
        await site.form(site.all, {"decision": "approve", "apr_gone": DIGEST}),
    ]
    assert {answer.status for answer in answers} <= {200, 303, 400, 403, 404, 409}
    repeats = re.compile(r"HTTP(Temporary|Permanent)Redirect|HTTPFound|status=30[1278]")
    assert [path.name for path in modules() if repeats.search(path.read_text())] == []
