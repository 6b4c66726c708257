"""The consent round trip: what is taken back, from whom, how often, and what every failure is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from multidict import MultiDict

from jit_auth.errors import Away, ConsentRefused, FlowRefused, JitAuthError, Misconfigured, ProviderError
from jit_auth.model import Flow
from jit_auth.oauth.flow import LIFETIME
from jit_auth.storage.clock import Clock
from tests.fakes.browser import Browser
from tests.fakes.provider_odd import OddProvider
from tests.integration.oauth.conftest import Desk, hub


async def refused(desk: Desk, provider: Any, query: Mapping[str, str], cookie: str | None) -> str:
    with pytest.raises(FlowRefused) as caught:
        await desk.finish(provider, query, cookie)
    return caught.value.code


async def back(desk: Desk, odd: OddProvider, browser: Browser, **consent: Any) -> tuple[dict[str, str], str]:
    """What a callback brought, not yet taken, and the browser's cookie."""
    begun = await desk.begin(hub(odd, issuer=odd.url), "mail.read")
    await browser.get(begun.url)
    await browser.consent(**{"user": "alice", **consent})
    return dict(desk.came[-1]), begun.cookie


async def test_the_whole_trip(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    provider = hub(odd, issuer=odd.url, base_scopes=("offline_access",))
    landed = await desk.trip(browser, provider, "mail.read", "mail.send")
    family = odd.families[0]
    assert (landed.token.access, landed.token.refresh) == (family.access, family.refresh)
    assert landed.scopes == ("mail.read", "mail.send", "offline_access") == landed.flow.scopes
    assert (landed.account, landed.account_name) == ("odd-alice", "alice@example.com")
    assert landed.token.lifetime == 3_600_000
    assert family.access not in repr(landed)


async def test_the_flow_holds_neither_state_nor_cookie(desk: Desk, odd: OddProvider) -> None:
    begun = await desk.begin(hub(odd), "mail.read")
    state = parse_qs(urlsplit(begun.url).query)["state"][0]
    flow = await desk.store.flow(begun.flow_id)
    assert flow is not None
    assert state not in (flow.id, flow.cookie, flow.nonce, flow.verifier)
    assert begun.cookie not in (flow.id, flow.cookie, flow.nonce, flow.verifier)
    assert begun.cookie not in repr(begun)
    assert state not in repr(begun)
    assert flow.verifier not in begun.url
    assert flow.until - desk.store.now() <= LIFETIME


async def test_a_second_run_says_so_and_spends_nothing(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    provider = hub(odd)
    await desk.finish(provider, query, cookie)
    assert await refused(desk, provider, query, cookie) == "already_finished"
    assert await refused(desk, provider, query, None) == "already_finished"  # the page may have taken the cookie away
    assert odd.counts["authorization_code"] == 1


async def test_of_many_runs_at_once_one_gets_through(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    runs = [desk.finish(hub(odd), query, cookie) for _ in range(8)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    codes = [error.code for error in results if isinstance(error, FlowRefused)]
    assert codes == ["already_finished"] * 7
    assert odd.counts["authorization_code"] == 1


async def test_another_browser_is_refused_and_costs_nothing(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    other = await desk.begin(hub(odd), "mail.read")
    for foreign in (None, "", other.cookie, "x" * 43, "é", cookie[:-1], "." * 100, cookie.upper()):
        assert await refused(desk, hub(odd), query, foreign) == "foreign_browser"
    assert odd.counts["authorization_code"] == 0
    assert (await desk.finish(hub(odd), query, cookie)).account == "odd-alice"


async def test_another_providers_path_is_refused(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    assert await refused(desk, hub(odd, id="evil"), query, cookie) == "other_provider"
    assert odd.counts["authorization_code"] == 0


@pytest.mark.parametrize("state", [None, "", "x" * 43, "é" * 43, "a" * 5000, "../x"])
async def test_an_unknown_state_is_refused(desk: Desk, odd: OddProvider, browser: Browser, state: str | None) -> None:
    query, cookie = await back(desk, odd, browser)
    query = {name: value for name, value in query.items() if name != "state"} | ({"state": state} if state else {})
    assert await refused(desk, hub(odd), query, cookie) in ("unknown_state", "bad_callback")


@pytest.mark.parametrize("name", ["state", "code", "iss", "error"])
async def test_a_repeated_parameter_is_refused(desk: Desk, odd: OddProvider, browser: Browser, name: str) -> None:
    query, cookie = await back(desk, odd, browser)
    twice = MultiDict([*query.items(), (name, query.get(name, "x")), (name, "y")])
    assert await refused(desk, hub(odd), twice, cookie) == "bad_callback"
    tracked = MultiDict([*query.items(), ("utm", "1"), ("utm", "2")])
    assert (await desk.finish(hub(odd), tracked, cookie)).account == "odd-alice"


async def test_neither_code_nor_error(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    assert await refused(desk, hub(odd), {"state": query["state"]}, cookie) == "bad_callback"


async def test_after_ten_minutes_it_is_over(desk: Desk, odd: OddProvider, browser: Browser, clock: Clock) -> None:
    query, cookie = await back(desk, odd, browser)
    clock.offset += LIFETIME
    assert await refused(desk, hub(odd), query, cookie) == "expired"


async def test_another_issuer_is_refused(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    for iss in ("https://evil.example", odd.url + "/", odd.url.upper(), ""):
        assert await refused(desk, hub(odd, issuer=odd.url), query | {"iss": iss}, cookie) == "wrong_issuer"
    assert odd.counts["authorization_code"] == 0


@pytest.mark.parametrize("place", ["rfc8414", "below", "oidc"])
async def test_a_promised_issuer_must_come(desk: Desk, odd: OddProvider, browser: Browser, place: Any) -> None:
    odd.odd.iss, odd.odd.metadata = "none", place
    query, cookie = await back(desk, odd, browser)
    assert await refused(desk, hub(odd, issuer=odd.url), query, cookie) == "missing_issuer"
    assert odd.counts["authorization_code"] == 0


@pytest.mark.parametrize("place", ["rfc8414", "none"])
async def test_an_issuer_that_was_not_promised_may_be_missing(
    desk: Desk, odd: OddProvider, browser: Browser, place: Any
) -> None:
    odd.odd.iss, odd.odd.metadata, odd.odd.promise_iss = "none", place, False
    query, cookie = await back(desk, odd, browser)
    assert (await desk.finish(hub(odd, issuer=odd.url), query, cookie)).account == "odd-alice"


async def test_an_outage_of_the_metadata_does_not_drop_the_promise(
    desk: Desk, odd: OddProvider, browser: Browser
) -> None:
    odd.odd.iss, odd.odd.metadata = "none", "down"
    query, cookie = await back(desk, odd, browser)
    with pytest.raises(Away):
        await desk.finish(hub(odd, issuer=odd.url), query, cookie)
    odd.odd.metadata, odd.odd.promise_iss = "rfc8414", False
    assert (await desk.finish(hub(odd, issuer=odd.url), query, cookie)).account == "odd-alice"


async def test_the_person_says_no(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    odd.odd.iss = "none"  # as django-oauth-toolkit does for refusals
    query, cookie = await back(desk, odd, browser, deny=True)
    with pytest.raises(ConsentRefused) as caught:
        await desk.finish(hub(odd, issuer=odd.url), query, cookie)
    assert isinstance(caught.value.flow, Flow)
    assert caught.value.flow.ask == "cns_1"
    assert await refused(desk, hub(odd), query, cookie) == "already_finished"


async def test_a_refusal_of_another_issuer_is_not_believed(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser, deny=True)
    assert await refused(desk, hub(odd, issuer=odd.url), query | {"iss": "https://e.example"}, cookie) == "wrong_issuer"


async def test_another_error_is_told_in_the_providers_words(desk: Desk, odd: OddProvider) -> None:
    begun = await desk.begin(hub(odd), "mail.read")
    state = parse_qs(urlsplit(begun.url).query)["state"][0]
    query = {"state": state, "error": "server_error", "error_description": "try <later>", "code": "ignored"}
    with pytest.raises(ProviderError) as caught:
        await desk.finish(hub(odd), query, begun.cookie)
    assert (caught.value.code, caught.value.message) == ("server_error", "try <later>")
    assert caught.value.flow.ask == "cns_1"
    assert odd.counts["authorization_code"] == 0


async def test_scopes_are_read_back(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    landed = await desk.trip(browser, hub(odd), "mail.read", "mail.send", untick=["mail.send"])
    assert (landed.scopes, landed.flow.scopes) == (("mail.read",), ("mail.read", "mail.send"))
    odd.odd.add_scopes = ("mail.admin",)
    assert (await desk.trip(browser, hub(odd), "mail.read")).scopes == ("mail.read", "mail.admin")
    odd.odd.tell_scopes = False
    assert (await desk.trip(browser, hub(odd), "mail.read")).scopes == ("mail.read",)


@pytest.mark.parametrize("place", ["rfc8414", "below", "oidc"])
async def test_an_issuer_alone_is_enough(desk: Desk, odd: OddProvider, browser: Browser, place: Any) -> None:
    odd.odd.metadata = place
    bare = hub(odd, issuer=odd.url, authorize_url=None, token_url=None, revoke_url=None, userinfo_url=None)
    assert (await desk.trip(browser, bare, "mail.read")).account == "odd-alice"
    asked = odd.counts["metadata"]
    await desk.trip(browser, bare, "mail.read")
    assert odd.counts["metadata"] == asked


@pytest.mark.parametrize(
    "said",
    [
        {"token_endpoint": "https://evil.example/token"}, {"authorization_endpoint": "http://evil.example/a"},
        {"token_endpoint": "http://127.0.0.1@evil.example/token"}, {"token_endpoint": "javascript:alert(1)"},
        {"token_endpoint": "http://127.0.0.1.evil.example/token"}, {"userinfo_endpoint": "//evil.example/me"},
        {"issuer": "https://evil.example"},
    ],
)  # fmt: skip
async def test_metadata_cannot_lead_elsewhere(desk: Desk, odd: OddProvider, said: dict[str, str]) -> None:
    odd.odd.metadata_says = said
    bare = hub(odd, issuer=odd.url, authorize_url=None, token_url=None, userinfo_url=None)
    with pytest.raises(Misconfigured):
        await desk.begin(bare, "mail.read")


async def test_no_metadata_and_no_endpoints(desk: Desk, odd: OddProvider) -> None:
    odd.odd.metadata = "none"
    with pytest.raises(Misconfigured):
        await desk.begin(hub(odd, issuer=odd.url, token_url=None), "mail.read")


async def test_slack(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    odd.odd.slack, odd.odd.separator = True, ","
    slack = hub(
        odd, scope_separator=",", scope_param="user_scope", token_path="/authed_user", userinfo_url=None,
        account_id="/authed_user/id", account_name="/authed_user/name", token_auth="client_secret_post",
    )  # fmt: skip
    landed = await desk.trip(browser, slack, "chat:write", "users:read")
    assert landed.token.access == odd.families[0].access
    assert landed.scopes == ("chat:write", "users:read")
    assert (landed.account, landed.account_name) == ("U-alice", "alice")


@pytest.mark.parametrize("always", [False, True])
async def test_github(desk: Desk, odd: OddProvider, browser: Browser, always: bool) -> None:
    odd.odd.form_encoded, odd.odd.always_form_encoded = True, always
    odd.odd.separator, odd.odd.expires_in, odd.odd.give_refresh_token = ",", None, False
    odd.odd.userinfo = {"id": 583231, "login": "octocat", "email": None}
    landed = await desk.trip(browser, hub(odd, token_auth="client_secret_post"), "repo", "gist")
    assert landed.scopes == ("repo", "gist")
    assert (landed.token.refresh, landed.token.expires, landed.token.lifetime) == (None, None, None)
    assert (landed.account, landed.account_name) == ("583231", "octocat")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ((503, "text/html", "<h1>busy</h1>"), Away), ((200, "text/html", "<h1>hello</h1>"), Away),
        ((429, "application/json", "{}"), Away), ((500, "application/json", '{"error":"invalid_grant"}'), Away),
        ((302, "text/plain", ""), Away), ((401, "application/json", '{"error":"invalid_client"}'), Misconfigured),
        ((400, "application/json", '{"error":"invalid_grant"}'), ProviderError),
        ((200, "application/json", '{"access_token":"at","expires_in":'), Away),
    ],
)  # fmt: skip
async def test_a_failed_exchange_names_its_flow(
    desk: Desk, odd: OddProvider, browser: Browser, fault: tuple[int, str, str], kind: type[ProviderError]
) -> None:
    query, cookie = await back(desk, odd, browser)
    odd.faults.append(fault)
    with pytest.raises(ProviderError) as caught:
        await desk.finish(hub(odd), query, cookie)
    assert type(caught.value) is kind
    assert caught.value.flow.ask == "cns_1"
    assert await refused(desk, hub(odd), query, cookie) == "already_finished"


async def test_a_lost_answer_of_the_exchange(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    odd.hang_up.append("after")
    with pytest.raises(Away) as caught:
        await desk.finish(hub(odd), query, cookie)
    assert caught.value.flow.ask == "cns_1"
    assert odd.counts["authorization_code"] == 1


@pytest.mark.parametrize(
    ("said", "changes", "account"),
    [
        ({"id": 7, "email": "a@x.example"}, {}, ("7", "a@x.example")),
        ({"a": {"gid": "g1", "nick": "Al"}}, {"account_id": "/a/gid", "account_name": "/a/nick"}, ("g1", "Al")),
        ({"email": "only@x.example"}, {}, ("only@x.example", "only@x.example")),
    ],
)  # fmt: skip
async def test_who_connected(
    desk: Desk, odd: OddProvider, browser: Browser, said: dict[str, Any], changes: dict[str, str],
    account: tuple[str, str],
) -> None:  # fmt: skip
    odd.odd.userinfo = said
    landed = await desk.trip(browser, hub(odd, **changes), "mail.read")
    assert (landed.account, landed.account_name) == account


@pytest.mark.parametrize(
    "said", [{}, {"name": ""}, {"sub": True}, {"sub": "x" * 300}, {"sub": "a\x00b"}, {"ok": False, "error": "no"}]
)
async def test_an_account_that_is_not_told_takes_nobodys_place(
    desk: Desk, odd: OddProvider, browser: Browser, said: dict[str, Any]
) -> None:
    odd.odd.userinfo = said
    with pytest.raises(ProviderError) as caught:
        await desk.trip(browser, hub(odd), "mail.read")
    assert caught.value.code == "account_unknown"
    assert caught.value.flow.ask == "cns_1"


@pytest.mark.parametrize(("status", "kind"), [(503, Away), (429, Away), (403, ProviderError)])
async def test_userinfo_in_trouble(
    desk: Desk, odd: OddProvider, browser: Browser, status: int, kind: type[ProviderError]
) -> None:
    odd.odd.userinfo_status = status
    with pytest.raises(ProviderError) as caught:
        await desk.trip(browser, hub(odd), "mail.read")
    assert type(caught.value) is kind


async def test_a_provider_without_userinfo_has_one_account(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    landed = await desk.trip(browser, hub(odd, userinfo_url=None), "mail.read")
    assert (landed.account, landed.account_name) == ("", None)


@pytest.mark.parametrize(("told", "fine"), [("own", True), ("other", False)])
async def test_an_id_token_carries_our_nonce(
    desk: Desk, odd: OddProvider, browser: Browser, told: str, fine: bool
) -> None:
    odd.odd.id_token_nonce = told
    if fine:
        assert (await desk.trip(browser, hub(odd), "openid")).account == "odd-alice"
        return
    with pytest.raises(ProviderError) as caught:
        await desk.trip(browser, hub(odd), "openid")
    assert caught.value.code == "wrong_nonce"


async def test_two_tabs_do_not_end_each_other(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    tabs = [await desk.begin(hub(odd), "mail.read"), await desk.begin(hub(odd), "mail.send")]
    for begun in tabs:
        await browser.get(begun.url)
        await browser.consent(user="alice")
    for begun, query in zip(tabs, desk.came, strict=True):
        assert (await desk.finish(hub(odd), query, begun.cookie)).account == "odd-alice"


async def test_a_refused_address_is_the_operators_fault(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    with pytest.raises(Misconfigured) as caught:
        await desk.finish(hub(odd, hosts=("api.example",)), query, cookie)
    assert caught.value.code == "address_refused"
    assert odd.counts["authorization_code"] == 0


async def test_no_secret_in_any_error(desk: Desk, odd: OddProvider, browser: Browser) -> None:
    query, cookie = await back(desk, odd, browser)
    odd.faults.append((400, "application/json", f'{{"error":"{query["code"]}"}}'))
    with pytest.raises(JitAuthError) as caught:
        await desk.finish(hub(odd), query, cookie)
    error: BaseException | None = caught.value
    while error is not None:
        assert query["code"] not in str(error)
        assert odd.client_secret not in str(error)
        error = error.__cause__
