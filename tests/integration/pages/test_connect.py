"""The consent page, the way to the provider and back: what changes something, what does not, and what people read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from jit_auth.errors import Away, Conflict, FlowRefused, Misconfigured
from tests.integration.pages.conftest import Site, serving, words
from tests.integration.pages.standin import Standin, gone

BACK = "/oauth/callback/mailhub?code=c-1&state=s-123&iss=https%3A%2F%2Fauth.mailhub.example"


async def begin(site: Site) -> dict[str, str]:
    """Press the button; the browser's cookies afterwards."""
    answer = await site.form(site.consent, {"decision": "allow"})
    assert answer.status == 200
    return {name: morsel.value for name, morsel in answer.cookies.items()}


async def back(site: Site, cookies: dict[str, str], path: str = BACK, **headers: str) -> Any:
    return await site.ask("GET", path, cookies=cookies, headers=headers)


async def test_the_page_says_who_asks_for_what(site: Site) -> None:
    text = words((await site.get(site.consent)).text)
    for said in (
        "Connect MailHub for mailbot?",
        "alice@example.com",
        "Send to x@y.example and bo@example.com: Quarterly numbers",
        "mailhub.send_message",
        "What mailbot gets if you allow it Send e-mail as you mail.send",
        "What the connection holds already, and keeps Read your e-mail mail.read",
        "You go on to auth.mailhub.example",
        "https://auth.mailhub.example/apps",
        "mailbot says The agent's own words. Nobody has checked them. Alice asked me",
        "Environment dev",
    ):
        assert said in text, said


async def test_looking_changes_nothing(site: Site) -> None:
    for headers in ({}, {"Sec-Purpose": "prefetch"}, {"Purpose": "preview"}):
        answer = await site.get(site.consent, **headers)
        assert answer.status == 200
        assert not answer.cookies
    assert site.doors.began == 0


@pytest.mark.parametrize("values", [{"decision": "allow"}, {}])
async def test_the_button_goes_on_without_a_redirect_and_binds_this_browser(site: Site, values: dict[str, str]) -> None:
    answer = await site.form(site.consent, values)
    assert answer.status == 200
    assert answer.headers["Refresh"] == f"0; url={site.doors.leaving_url}"
    assert 'href="https://auth.mailhub.example/authorize?client_id=jit-auth&amp;state=s-123' in answer.text
    assert "Location" not in answer.headers
    (cookie,) = answer.headers.getall("Set-Cookie")
    assert re.match(r"jat_flow_[0-9a-f]{16}=c{43};", cookie)
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=600" in cookie
    assert "Path=/oauth/callback" in cookie
    assert "Secure" not in cookie
    assert "c" * 43 not in answer.text


async def test_under_https_the_cookie_is_host_bound() -> None:
    async with serving(Standin(), "https://jit.example.com") as site:
        answer = await site.form(site.consent, {}, Origin="https://jit.example.com")
        assert answer.status == 200
        (cookie,) = answer.headers.getall("Set-Cookie")
        assert re.match(r"__Host-jat_flow_[0-9a-f]{16}=c{43};", cookie)
        assert "Secure" in cookie
        assert "Path=/;" in cookie + ";"
        assert "Domain" not in cookie
        assert (await site.form(site.consent, {}, Origin=site.origin)).status == 403


async def test_no_is_an_answer_too(site: Site) -> None:
    answer = await site.form(site.consent, {"decision": "refuse"})
    assert answer.status == 200
    assert "mailbot was not allowed to use MailHub" in words(answer.text)
    assert site.doors.execution.state == "denied"
    assert site.doors.began == 0


@pytest.mark.parametrize("values", [{"decision": "maybe"}, {"decision": ""}, {"scopes": "all"}])
async def test_other_answers_change_nothing(site: Site, values: dict[str, str]) -> None:
    assert (await site.form(site.consent, values)).status == 400
    assert site.doors.began == 0


async def test_a_new_agent_is_answered_here_without_a_trip(site: Site) -> None:
    site.doors.trip = False
    page = words((await site.get(site.consent)).text)
    assert "Let mailbot use your MailHub access?" in page
    assert "your answer here is enough" in page
    answer = await site.form(site.consent, {"decision": "allow"})
    assert "mailbot may use MailHub for you" in words(answer.text)
    assert "Refresh" not in answer.headers
    assert not answer.cookies


async def test_without_a_call_the_page_names_the_actions(site: Site) -> None:
    site.doors.call, site.doors.titles = False, ("List messages", "Delete\u202e <i>all</i>")
    page = (await site.get(site.consent)).text
    said = words(page)
    for each in (
        "Wants to be able to Send an e-mail",
        "List messages",
        "Nothing is done now: the agent asks before it calls",
    ):
        assert each in said, each
    assert "Quarterly numbers" not in said
    assert "Nobody has checked them" not in said
    assert "\u202e" not in page
    assert "<i>all" not in page
    site.doors.ending = site.doors.finished("connected", granted=("mail.send",))
    cookies = await begin(site)
    assert "Nothing is done with it before the agent asks for something" in words((await back(site, cookies)).text)
    refused = await site.form(site.consent, {"decision": "refuse"})
    assert "Not allowed. Nothing was connected." in words(refused.text)


async def test_the_last_error_of_the_provider_is_shown_neutralised(site: Site) -> None:
    site.doors.consent = replace(site.doors.consent, last_error="server_error\u202e <i>")
    page = (await site.get(site.consent)).text
    assert "\u27e8U+202E\u27e9" in page
    assert "&lt;i&gt;" in page


async def test_the_callback_hands_query_and_cookie_on_once(site: Site) -> None:
    cookies = await begin(site)
    answer = await back(site, cookies)
    assert answer.status == 200
    assert "mailbot may use MailHub for you" in words(answer.text)
    assert "alice@mailhub.example" in answer.text
    ((provider, query, cookie),) = site.doors.callbacks
    assert (provider, cookie) == ("mailhub", "c" * 43)
    assert query == {"code": "c-1", "state": "s-123", "iss": "https://auth.mailhub.example"}
    (gone_cookie,) = answer.headers.getall("Set-Cookie")
    assert "Max-Age=0" in gone_cookie
    assert gone_cookie.split("=")[0] in cookies
    again = await back(site, cookies)
    assert again.status == 409
    assert "finished before" in again.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
    ],
)
async def test_a_prefetched_callback_changes_nothing_and_is_not_kept(site: Site, headers: dict[str, str]) -> None:
    cookies = await begin(site)
    answer = await back(site, cookies, **headers)
    assert answer.status == 403
    assert not answer.cookies
    assert site.doors.callbacks == []
    assert (await back(site, cookies)).status == 200


async def test_a_head_request_does_not_spend_the_code(site: Site) -> None:
    answer = await site.ask("HEAD", BACK, cookies=await begin(site))
    assert answer.status == 405
    assert site.doors.callbacks == []


async def test_another_browser_and_another_flow_bring_no_cookie(site: Site) -> None:
    cookies = await begin(site)
    assert (await back(site, {})).status == 403
    assert (await back(site, cookies, BACK.replace("s-123", "s-124"))).status == 403
    assert (await back(site, {"jat_flow": "c" * 43})).status == 403
    assert [cookie for _, _, cookie in site.doors.callbacks] == [None, None, None]


async def test_two_consent_pages_in_one_browser_do_not_take_each_others_cookie(site: Site) -> None:
    cookies = await begin(site)
    site.doors.leaving_url = site.doors.leaving_url.replace("s-123", "s-456")
    assert set(await begin(site)).isdisjoint(cookies)


async def test_a_parameter_sent_twice_is_refused_before_the_engine(site: Site) -> None:
    answer = await back(site, await begin(site), BACK + "&state=s-999")
    assert answer.status == 400
    assert site.doors.callbacks == []


async def test_unknown_parameters_are_handed_on(site: Site) -> None:
    assert (await back(site, await begin(site), BACK + "&scope=mail.send&session_state=1")).status == 200


async def test_a_consent_that_is_whole_goes_back_to_where_the_user_came_from(site: Site) -> None:
    site.doors.ending = site.doors.finished("connected", return_url="http://127.0.0.1:9000/done?x=1")
    answer = await back(site, await begin(site))
    assert (answer.status, answer.headers["Location"]) == (303, "http://127.0.0.1:9000/done?x=1")


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example", "http://a/\r\nX: y", 'http://a/"x', "data:,x"]
)
async def test_only_a_plain_web_address_is_a_way_back(site: Site, url: str) -> None:
    site.doors.ending = site.doors.finished("connected", return_url=url, manage_url=url)
    answer = await back(site, await begin(site))
    assert answer.status == 200
    assert url not in answer.text
    assert "Location" not in answer.headers


async def test_partly_granted_says_what_is_missing_and_offers_a_fresh_link(site: Site) -> None:
    link = f"{site.origin}/connect/jat_fresh"
    site.doors.ending = site.doors.finished(
        "partly", granted=("mail.read",), missing=("mail.send",), link=link, return_url="http://127.0.0.1:9000/"
    )
    answer = await back(site, await begin(site))
    assert answer.status == 200
    text = words(answer.text)
    assert "MailHub allowed only a part" in text
    assert "Still missing Send e-mail as you mail.send" in text
    assert "What mailbot may use now Read your e-mail" in text
    assert f'href="{link}"' in answer.text


async def test_refused_at_the_provider_is_no_error(site: Site) -> None:
    site.doors.ending = site.doors.finished("refused", return_url="http://127.0.0.1:9000/")
    answer = await back(site, await begin(site), "/oauth/callback/mailhub?error=access_denied&state=s-123")
    assert answer.status == 200
    assert "was not allowed to use MailHub" in words(answer.text)
    assert 'href="http://127.0.0.1:9000/"' in answer.text


async def test_any_other_error_is_shown_and_the_request_still_waits(site: Site) -> None:
    site.doors.ending = site.doors.finished(
        "error", error="server_error", error_description="<script>\u202e", link=f"{site.origin}/connect/jat_fresh"
    )
    answer = await back(site, await begin(site), "/oauth/callback/mailhub?error=server_error&state=s-123")
    text = words(answer.text)
    assert "server_error" in text
    assert "Try again" in text
    assert "<script>" not in answer.text


async def test_another_account_is_said_to_be_one(site: Site) -> None:
    site.doors.ending = site.doors.finished("connected", account="work\u202e@x", another_account=True)
    text = words((await back(site, await begin(site))).text)
    assert "another account than the one you connected before" in text
    assert "work\u27e8U+202E\u27e9@x" in text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (FlowRefused("Not this browser.", hint="Open the link again."), 403),
        (FlowRefused("Done.", code="already_finished"), 409),
        (Away("The provider does not answer.", hint="Later."), 502),
        (Misconfigured("Our client is refused.", hint="Tell the operator."), 500),
    ],
)
async def test_refusals_of_a_callback_are_pages(site: Site, error: Exception, status: int) -> None:
    async def refuse(*args: Any) -> None:
        raise error

    cookies = await begin(site)
    site.doors.consent_finish = refuse  # type: ignore[method-assign, assignment]  # what the engine may raise
    answer = await back(site, cookies)
    assert answer.status == status
    assert getattr(error, "code", "?") in answer.text


@pytest.mark.parametrize(
    "error", [gone("expired"), gone("cancelled"), Conflict("Done.", code="already_finished", hint="-")]
)
async def test_consents_that_are_over_say_so(site: Site, error: Conflict) -> None:
    site.doors.gone = error
    assert (await site.get(site.consent)).status == error.status
    assert (await site.form(site.consent, {})).status == error.status


async def test_an_authorization_url_that_no_header_may_hold_is_never_sent(site: Site) -> None:
    site.doors.leaving_url = "https://auth.mailhub.example/\r\nSet-Cookie: x=y"
    assert (await site.form(site.consent, {})).status == 500
