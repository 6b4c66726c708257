"""Sign-in by a real issuer that is not ours (django-oauth-toolkit), with a browser that keeps a browser's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from jit_auth.config.issuer import Issuer
from jit_auth.errors import SignInRefused
from jit_auth.signin.oidc import Landed, Oidc, open_oidc
from tests.fakes.browser import Browser
from tests.fakes.provider_dot import DotProvider
from tests.fakes.serving import serving
from tests.integration.signin.conftest import KEY, Time

CLIENT_ID, SECRET = "jit-auth", "a secret with + and %"
COOKIE = "trip"


@pytest.fixture(scope="module")
def dot() -> Iterator[DotProvider]:
    with DotProvider.start("--openid") as provider:
        yield provider


class Ours:
    """Our end of the wire: `/signin` sends the browser away, the callback takes it back and keeps what came."""

    def __init__(self) -> None:
        self.oidc: Oidc
        self.url = ""
        self.fresh = False
        self.came: list[Landed | SignInRefused] = []

    async def begin(self, _: web.Request) -> web.StreamResponse:
        begun = await self.oidc.begin("corp", to="/approvals/apr_1", fresh=self.fresh)
        found = web.HTTPFound(begun.url)
        found.set_cookie(COOKIE, begun.cookie, max_age=begun.lifetime // 1000, httponly=True, samesite="Lax")
        raise found

    async def finish(self, request: web.Request) -> web.StreamResponse:
        try:
            self.came.append(await self.oidc.finish("corp", request.query, request.cookies.get(COOKIE)))
        except SignInRefused as refused:
            self.came.append(refused)
        return web.Response(text="back")


@asynccontextmanager
async def opened(dot: DotProvider, clock: Time) -> AsyncIterator[Ours]:
    ours = Ours()
    app = web.Application()
    app.add_routes([web.get("/signin", ours.begin), web.get("/signin/callback/corp", ours.finish)])
    async with serving(app) as ours.url:
        dot.client(CLIENT_ID, SECRET, f"{ours.url}/signin/callback/corp")
        issuer = Issuer(
            name="corp", issuer=dot.url, client_id=CLIENT_ID, client_secret=SECRET, domains=("example.com",)
        )
        async with open_oidc([issuer], public_url=ours.url, key=KEY, now=clock.now) as ours.oidc:
            yield ours


@pytest.fixture
async def ours(dot: DotProvider, clock: Time) -> AsyncIterator[Ours]:
    async with opened(dot, clock) as ours:
        yield ours


async def test_a_person_signs_in_at_a_real_issuer(ours: Ours, clock: Time) -> None:
    async with Browser() as browser:
        await browser.get(ours.url + "/signin")
        page = await browser.consent(user="Ana@example.com")
    assert page.text == "back"
    (landed,) = ours.came
    assert isinstance(landed, Landed), landed
    assert (landed.identity.issuer, landed.identity.person) == ("corp", "ana@example.com")
    assert landed.to == "/approvals/apr_1"
    assert landed.identity.auth_time is not None
    assert abs(landed.identity.auth_time - clock.now()) < 60_000


async def test_one_person_is_one_subject_and_another_is_another(ours: Ours) -> None:
    for user in ("ana@example.com", "ana@example.com", "bob@example.com"):
        async with Browser() as browser:
            await browser.get(ours.url + "/signin")
            await browser.consent(user=user)
    subjects = [each.identity.subject for each in ours.came if isinstance(each, Landed)]
    assert len(subjects) == 3
    assert subjects[0] == subjects[1] != subjects[2]


async def test_a_fresh_sign_in_meets_the_sign_in_page_again(ours: Ours) -> None:
    async with Browser() as browser:
        for fresh in (False, True):
            ours.fresh = fresh
            page = await browser.get(ours.url + "/signin")
            assert any(name == "password" for form in page.forms for name, _ in form.fields)
            await browser.consent(user="ana@example.com")
    first, second = ours.came
    assert isinstance(first, Landed), first
    assert isinstance(second, Landed), second
    assert second.identity.auth_time is not None
    assert first.identity.auth_time is not None
    assert second.identity.auth_time >= first.identity.auth_time


@pytest.mark.parametrize(
    ("user", "deny", "code"),
    [
        ("ana@example.com", True, "signin_refused"),
        ("unverified@example.com", False, "unverified_email"),
        ("eve@evil.example", False, "foreign_domain"),
    ],
)
async def test_who_does_not_get_in(ours: Ours, user: str, deny: bool, code: str) -> None:
    async with Browser() as browser:
        await browser.get(ours.url + "/signin")
        await browser.consent(user=user, deny=deny)
    (refused,) = ours.came
    assert isinstance(refused, SignInRefused)
    assert refused.code == code


async def test_the_same_callback_in_another_browser_and_once_more(ours: Ours) -> None:
    async with Browser() as browser, Browser() as other:
        await browser.get(ours.url + "/signin")
        await browser.consent()
        callback = next(url for url in reversed(browser.trail) if "/signin/callback/" in url)
        await other.get(callback)
        await browser.get(callback)
    landed, elsewhere, again = ours.came
    assert isinstance(landed, Landed), landed
    assert isinstance(elsewhere, SignInRefused)
    assert elsewhere.code == "foreign_browser"
    assert isinstance(again, SignInRefused)
    assert again.code == "signin_refused"
