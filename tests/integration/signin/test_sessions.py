"""Sign-in and sessions in the whole service: who a browser is, for how long, and how it comes to be nobody's again.

What an ID token has to hold is tried in `test_attacks.py`; here is what the service makes of it.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from yarl import URL

from jit_auth.signin.linking import unlink
from jit_auth.signin.sessions import IDLE, LONGEST
from tests.fakes.browser import Browser, Page
from tests.fakes.issuer import ABSENT, Fault, HostileIssuer
from tests.integration.signin.service import ANA, BO, EVE, Corp, form_token, session_cookie, strict

HOUR = 3_600_000
COOKIE = "jat_session"


async def inside(world: Corp, cookie: str | None) -> bool:
    """Whether whoever holds this cookie is signed in."""
    headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
    async with world.session.get(f"{world.url}/approvals", headers=headers, allow_redirects=False) as reply:
        assert reply.status == 303
        return reply.headers["Location"] == "/me"


async def test_a_sign_in_gives_a_session_that_scripts_cannot_read(world: Corp) -> None:
    cookie, callback = await trip(world)
    async with world.session.get(
        URL(callback, encoded=True), headers={"Cookie": cookie}, allow_redirects=False
    ) as reply:
        (given,) = [text for text in reply.headers.getall("Set-Cookie") if text.startswith(COOKIE)]
        gone = [text for text in reply.headers.getall("Set-Cookie") if text.startswith("jat_signin_")]
    assert re.fullmatch(
        rf"{COOKIE}=[A-Za-z0-9_-]{{43}}; HttpOnly; Max-Age={LONGEST // 1000}; Path=/; SameSite=Lax", given
    )
    assert "Max-Age=0" in gone[0]
    assert callback.startswith(f"{world.url}/signin/callback/corp?")


async def trip(world: Corp, to: str = "/approvals/apr_0", **claims: Any) -> tuple[str, str]:
    """A sign-in that was begun: its cookie as a header, and the callback that the issuer sent, not yet opened."""
    world.issuer.claims = {"email": ANA, "sub": f"s-{ANA}", **claims}
    path = f"{world.url}/signin?to={quote(to, safe='/')}"
    async with world.session.get(path, allow_redirects=False) as reply:
        assert reply.status == 303
        cookie = reply.headers["Set-Cookie"].partition(";")[0]
        onward = reply.headers["Location"]
    async with world.session.get(URL(onward, encoded=True), allow_redirects=False) as reply:
        return cookie, reply.headers["Location"]


async def open_callback(world: Corp, callback: str, cookie: str = "", **headers: str) -> tuple[int, str, list[str]]:
    """Status, page and cookies of a callback."""
    told = {name.replace("_", "-"): text for name, text in headers.items()} | ({"Cookie": cookie} if cookie else {})
    async with world.session.get(URL(callback, encoded=True), headers=told, allow_redirects=False) as reply:
        return reply.status, await reply.text(), reply.headers.getall("Set-Cookie", [])


# Whose session it is


async def test_a_session_that_was_planted_before_the_sign_in_is_not_the_one_after_it(world: Corp) -> None:
    planted = "p" * 43
    async with Browser() as ana:
        ana.plant(COOKIE, planted, world.url)
        await world.sign_in(ana)
        mine = session_cookie(ana, world.url)
        assert mine is not None
        assert mine != planted
        assert await inside(world, mine)
    assert not await inside(world, planted)


async def test_an_attackers_live_session_in_anas_browser_ends_at_her_sign_in(world: Corp) -> None:
    async with Browser() as eve, Browser() as ana:
        await world.sign_in(eve, EVE)
        stolen = session_cookie(eve, world.url)
        assert stolen is not None
        ana.plant(COOKIE, stolen, world.url)
        page = await world.sign_in(ana)
        assert ANA in page.text
        assert not await inside(world, stolen)
        assert await inside(world, session_cookie(ana, world.url))


async def test_a_new_sign_in_ends_the_browsers_old_session_and_no_other(world: Corp) -> None:
    async with Browser() as desk, Browser() as phone:
        await world.sign_in(desk)
        await world.sign_in(phone)
        old, other = session_cookie(desk, world.url), session_cookie(phone, world.url)
        await world.sign_in(desk)
        new = session_cookie(desk, world.url)
        assert len({old, other, new}) == 3
        assert [await inside(world, each) for each in (old, other, new)] == [False, True, True]


async def test_an_alias_signs_in_as_the_person(resting: Corp) -> None:
    resting.extra = '[people."carla@example.com"]\naliases = ["carla.rossi@example.com"]\n'
    resting.write()
    async with resting.running() as _, Browser() as carla:
        page = await resting.sign_in(carla, "Carla.Rossi@EXAMPLE.com")
        assert "There is nothing here for carla@example.com" in " ".join(page.text.split())


# How it ends


async def test_an_idle_session_ends(world: Corp) -> None:
    async with Browser() as ana:
        await world.sign_in(ana)
        cookie = session_cookie(ana, world.url)
    world.clock.offset += IDLE - 60_000
    assert await inside(world, cookie)
    world.clock.offset += IDLE - 60_000
    assert await inside(world, cookie), "its use was not put down"
    world.clock.offset += IDLE
    assert not await inside(world, cookie)


async def test_a_session_in_use_ends_after_a_week(world: Corp) -> None:
    async with Browser() as ana:
        await world.sign_in(ana)
        cookie = session_cookie(ana, world.url)
    alive = 0
    while await inside(world, cookie):
        alive += 1
        world.clock.offset += 11 * HOUR
        assert alive * 11 * HOUR < LONGEST + 12 * HOUR
    assert alive * 11 * HOUR >= LONGEST - 11 * HOUR


async def test_who_signs_out_is_signed_out(world: Corp) -> None:
    async with Browser() as ana:
        page = await signed_page(world, ana)
        cookie = session_cookie(ana, world.url)
        told = await world.post(
            f"{world.url}/signout",
            [("form_token", form_token(page))],
            browser=ana,
            Origin=world.url,
            Accept="text/html",
        )
        assert told.status == 200
        assert "You are signed out here" in told.json
        assert f"{COOKIE}=" in told.headers["Set-Cookie"]
        assert "Max-Age=0" in told.headers["Set-Cookie"]
    assert not await inside(world, cookie)
    assert len(await world.facts("signout")) == 1


@pytest.mark.parametrize(
    ("headers", "token", "code"),
    [
        ({"Origin": "https://evil.example"}, True, "foreign_origin"),
        ({"Origin": "null"}, True, "foreign_origin"),
        ({}, True, "bad_form_token"),
        ({"Origin": "own"}, False, "bad_form_token"),
    ],
    ids=["foreign", "null", "no origin", "no token"],
)
async def test_nobody_else_signs_a_person_out(world: Corp, headers: dict[str, str], token: bool, code: str) -> None:
    async with Browser() as ana:
        page = await signed_page(world, ana)
        told = {name: world.url if text == "own" else text for name, text in headers.items()}
        fields = [("form_token", form_token(page))] if token else [("x", "y")]
        answer = await world.post(f"{world.url}/signout", fields, browser=ana, **told)
        assert (answer.status, answer.json["code"]) == (403, code)
        assert await inside(world, session_cookie(ana, world.url))
    async with world.session.get(f"{world.url}/signout") as reply:
        assert reply.status == 405


async def signed_page(world: Corp, browser: Browser) -> Page:
    """A page with a form, for Ana who has signed in."""
    answer = await world.execute("list_messages", user=ANA)
    (consent,) = answer.json["waiting_for"]
    return await world.sign_in(browser, to=consent["url"].removeprefix(world.url))


async def test_nothing_in_a_stolen_database_opens_anything(world: Corp) -> None:
    async with Browser() as ana:
        page = await signed_page(world, ana)
        cookie, token = session_cookie(ana, world.url), form_token(page)
    begun, callback = await trip(world)
    assert world.service is not None
    assert cookie is not None
    (row,) = await world.service.store.own.sessions(ANA)
    files = b"".join(path.read_bytes() for path in world.folder.glob("jit-auth.db*"))
    assert row.id.encode() in files, "what is looked for would be found"
    query = URL(callback, encoded=True).query
    secrets = (cookie, token, begun.partition("=")[2], query["state"], query["code"], f"s-{ANA}", "s3cr+t %&")
    assert [text for text in secrets if text.encode() in files] == []
    for known in (row.id, row.id.removeprefix("ses_"), row.id.removeprefix("ses_")[:43]):
        assert not await inside(world, known)


@pytest.mark.parametrize("cookie", ["", "x", "a" * 42, "a" * 44, "a" * 42 + "=", "ses_" + "a" * 39, "%00" * 14 + "a"])
async def test_what_is_no_session_is_none(world: Corp, cookie: str) -> None:
    assert not await inside(world, cookie)


# The way back from the issuer


async def test_a_callback_in_another_browser_signs_nobody_in(world: Corp) -> None:
    """Login CSRF: Eve begins, and lets Ana's browser finish."""
    _, callback = await trip(world, email=EVE, sub="s-eve")
    async with Browser() as ana:
        page = await ana.get(callback)
        assert page.status == 403
        assert "foreign_browser" in page.text
        assert session_cookie(ana, world.url) is None
    assert world.issuer.counts["token"] == 0
    # Neither does one into a browser that has a trip of its own.
    cookie, _ = await trip(world)
    status, html, cookies = await open_callback(world, callback, cookie)
    assert (status, "unknown_state" in html, cookies) == (403, True, [])


async def test_a_callback_works_once(world: Corp) -> None:
    cookie, callback = await trip(world)
    status, _, cookies = await open_callback(world, callback, cookie)
    assert (status, len(cookies)) == (303, 2)
    status, html, cookies = await open_callback(world, callback, cookie)
    assert (status, "signin_refused" in html, cookies) == (403, True, [])
    status, html, cookies = await open_callback(world, callback)  # as the browser would: its cookie is gone
    assert (status, "foreign_browser" in html, cookies) == (403, True, [])


async def test_a_sign_in_that_took_too_long(world: Corp) -> None:
    cookie, callback = await trip(world)
    world.clock.offset += 600_000
    status, html, cookies = await open_callback(world, callback, cookie)
    assert (status, "took too long" in html, cookies) == (403, True, [])


async def test_a_changed_subject_is_another_account(world: Corp) -> None:
    async with Browser() as ana, Browser() as heir:
        await world.sign_in(ana)
        page = await world.sign_in(heir, ANA, sub="s-the-heir")
        assert page.status == 403
        assert "other_subject" in page.text
        assert "jit-auth people unlink" in page.text
        assert session_cookie(heir, world.url) is None
        assert await inside(world, session_cookie(ana, world.url)), "she is who she was"
    async with Browser() as again:
        assert (await world.sign_in(again)).status == 404
    assert len(await world.facts("identity.linked")) == 1
    # Until an operator says that the account is another one now.
    assert world.service is not None
    linked, sessions = await unlink(world.service.store, ANA)
    assert ([each.issuer for each in linked], sessions) == (["corp"], 2)
    async with Browser() as heir, Browser() as ana:
        assert (await world.sign_in(heir, ANA, sub="s-the-heir")).status == 404
        assert await inside(world, session_cookie(heir, world.url))
        assert (await world.sign_in(ana)).status == 403, "now it is she who is the other one"


async def test_one_account_of_the_issuer_is_one_person(world: Corp) -> None:
    """The issuer renames the account: it stays the person it was linked to, and is not the other one."""
    async with Browser() as ana, Browser() as renamed:
        await world.sign_in(ana)
        page = await world.sign_in(renamed, BO, sub=f"s-{ANA}")
        assert (page.status, "other_subject" in page.text) == (403, True)
        assert session_cookie(renamed, world.url) is None


_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an address that was not verified": ({"email_verified": False}, "unverified_email"),
    "an address of which nothing is said": ({"email_verified": ABSENT}, "unverified_email"),
    "verified as text": ({"email_verified": "true"}, "unverified_email"),
    "another domain": ({"email": "ana@evil.example"}, "foreign_domain"),
    "a domain within": ({"email": "ana@sub.example.com"}, "foreign_domain"),
    "no nonce": ({"nonce": ABSENT}, "bad_id_token"),
    "another nonce": ({"nonce": "n" * 43}, "bad_id_token"),
    "for another application": ({"aud": "other"}, "bad_id_token"),
    "of another issuer": ({"iss": "https://evil.example"}, "bad_id_token"),
    "no subject": ({"sub": ABSENT}, "bad_id_token"),
    "an id that is no person's": ({"email": "group:finance"}, "bad_id_token"),
}


@pytest.mark.parametrize("case", _REFUSED)
async def test_who_is_not_vouched_for_gets_a_page_and_no_session(world: Corp, case: str) -> None:
    claims, code = _REFUSED[case]
    async with Browser() as ana:
        page = (
            await world.sign_in(ana, **claims) if "email" not in claims else await world.sign_in(ana, claims["email"])
        )
        assert page.status == 403
        assert code in page.text
        assert "text/html" in page.headers["Content-Type"]
        assert session_cookie(ana, world.url) is None
        strict(page)
    (fact,) = await world.facts("signin.refused")
    assert (fact["issuer"], fact["code"]) == ("corp", code)
    assert await world.facts("identity.linked") == []


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ({"error": "access_denied", "code": ABSENT}, 403, "signin_refused"),
        ({"error": "<script>alert(1)</script>", "code": ABSENT}, 403, "signin_refused"),
        ({"iss": "https://evil.example"}, 403, "wrong_issuer"),
        ({"iss": ABSENT}, 403, "wrong_issuer"),
        ({"state": "s" * 43}, 403, "unknown_state"),
        ({"state": ABSENT}, 403, "bad_callback"),
        ({"code": ABSENT}, 403, "bad_callback"),
        ({"code": ["a", "b"]}, 400, "bad_query"),
    ],
)
async def test_an_answer_that_is_no_sign_in(world: Corp, answer: dict[str, Any], status: int, code: str) -> None:
    world.issuer.answer_says = answer
    async with Browser() as ana:
        page = await world.sign_in(ana)
        assert (page.status, code in page.text) == (status, True), page.text
        assert "<script>" not in page.html
        assert session_cookie(ana, world.url) is None
    world.issuer.answer_says = {}
    async with Browser() as ana:
        assert (await world.sign_in(ana)).status == 404


async def test_a_prefetch_spends_no_code(world: Corp) -> None:
    cookie, callback = await trip(world)
    for header in ("Sec_Purpose", "Purpose", "X_Moz"):
        status, html, cookies = await open_callback(world, callback, cookie, **{header: "prefetch"})
        assert (status, "prefetch" in html, cookies) == (403, True, [])
    async with world.session.head(URL(callback, encoded=True), headers={"Cookie": cookie}) as reply:
        assert reply.status == 405
    assert world.issuer.counts["token"] == 0
    status, _, cookies = await open_callback(world, callback, cookie)
    assert (status, len(cookies)) == (303, 2)


async def test_a_prefetch_of_the_sign_in_begins_none(world: Corp) -> None:
    headers = {"Sec-Purpose": "prefetch;prerender"}
    async with world.session.get(f"{world.url}/signin", headers=headers, allow_redirects=False) as reply:
        assert (reply.status, reply.headers.getall("Set-Cookie", [])) == (200, [])
        assert "Sign in with corp" in await reply.text()
    assert world.issuer.counts == {}


# Where it leads


@pytest.mark.parametrize(
    "to",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "///evil",
     "javascript:alert(1)", "/%2f/evil.example", "/..//evil.example", "me", "", "/a\r\nSet-Cookie: x=1",
     "/" + "a" * 2000, "@evil.example", "/.//evil.example", "http:evil.example"],
)  # fmt: skip
async def test_a_sign_in_leads_nowhere_but_here(world: Corp, to: str) -> None:
    cookie, callback = "", ""
    world.issuer.claims = {"email": ANA, "sub": f"s-{ANA}"}
    async with world.session.get(f"{world.url}/signin?{urlencode({'to': to})}", allow_redirects=False) as reply:
        cookie, onward = reply.headers["Set-Cookie"].partition(";")[0], reply.headers["Location"]
    assert onward.startswith(world.issuer.url + "/authorize?")
    async with world.session.get(URL(onward, encoded=True), allow_redirects=False) as reply:
        callback = reply.headers["Location"]
    async with world.session.get(URL(callback, encoded=True), headers={"Cookie": cookie}, allow_redirects=False) as got:
        assert (got.status, got.headers["Location"]) == (303, "/me")


async def test_a_sign_in_leads_back_to_where_it_was_asked_for(world: Corp) -> None:
    async with Browser() as ana:
        page = await world.sign_in(ana, to="/approvals/apr_0")
        assert page.url == f"{world.url}/approvals/apr_0"


@pytest.mark.parametrize("endpoint", ["metadata", "token", "jwks"])
async def test_an_issuer_that_is_down_costs_nothing(world: Corp, endpoint: str) -> None:
    world.issuer.faults[endpoint] = Fault(503)
    async with Browser() as ana:
        page = await world.sign_in(ana, to="/approvals/apr_0")
        assert page.status == 503
        assert session_cookie(ana, world.url) is None
        strict(page)
        assert "Nothing is lost" in page.text
        (again,) = [to for text, to in page.links if text.startswith("Sign in with")]
        assert again == f"{world.url}/signin?issuer=corp&to=/approvals/apr_0"
        world.issuer.faults.clear()
        page = await ana.get(again)
        assert page.url == f"{world.url}/approvals/apr_0"
        assert session_cookie(ana, world.url) is not None


async def test_where_nobody_signs_in_there_is_no_sign_in(resting: Corp) -> None:
    resting.users = '[users]\nverify = "none"\n'
    resting.write()
    path = resting.folder / "config.toml"
    text = path.read_text()
    begin, end = text.index("[issuers.corp]"), text.index(f'[people."{BO}"]')
    path.write_text(text[:begin] + text[end:])
    async with resting.running():
        for way in ("/signin", "/signin/callback/corp?state=x"):
            async with resting.session.get(resting.url + way) as reply:
                assert reply.status == 404


@pytest.mark.parametrize("path", ["/signin?issuer=other", "/signin/callback/other?state=x", "/signin/callback/%00"])
async def test_an_issuer_that_nobody_named(world: Corp, path: str) -> None:
    async with Browser() as ana:
        page = await ana.get(world.url + path)
        assert page.status == 404
        strict(page)


async def test_with_two_issuers_the_person_chooses(resting: Corp) -> None:
    async with HostileIssuer(resting.issuer.seconds).running() as second:
        resting.extra = (
            f'[issuers.partner]\nissuer = "{second.url}"\nclient_id = "jit"\nclient_secret = "s3cr+t %&"\n'
            'domains = ["partner.example"]\n'
        )
        resting.write()
        async with resting.running(), Browser() as dan:
            page = await dan.get(f"{resting.url}/signin?to=/approvals/apr_0")
            assert page.status == 200
            assert [text for text, _ in page.links if text.startswith("Sign in")] == [
                "Sign in with corp",
                "Sign in with partner",
            ]
            strict(page)
            second.claims = {"email": "dan@partner.example", "sub": "d"}
            page = await dan.get(next(to for text, to in page.links if text.endswith("partner")))
            assert page.url == f"{resting.url}/approvals/apr_0"
            assert "dan@partner.example" in page.text


async def test_a_fresh_sign_in_asks_the_person_once_more(world: Corp) -> None:
    world.issuer.claims = {"email": ANA, "sub": f"s-{ANA}"}
    async with Browser() as ana:
        await ana.get(f"{world.url}/signin?fresh&to=/approvals/apr_0")
        assert (world.issuer.asked["prompt"], world.issuer.asked["max_age"]) == ("login", "0")
        world.issuer.claims["auth_time"] = int(world.issuer.seconds()) - 3600
        page = await ana.get(f"{world.url}/signin?fresh&to=/approvals/apr_0")
        assert (page.status, "bad_id_token" in page.text) == (403, True)


async def test_the_pages_of_who_is_signed_in_are_nobody_elses_to_frame(world: Corp) -> None:
    async with Browser() as ana:
        strict(await signed_page(world, ana))
        strict(await ana.get(f"{world.url}/approvals/apr_0"))
        strict(await ana.get(f"{world.url}/signin?issuer=other"))
    async with world.session.get(f"{world.url}/signin", allow_redirects=False) as reply:
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Referrer-Policy"] == "same-origin"
