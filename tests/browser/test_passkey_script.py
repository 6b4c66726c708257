"""The one script: a browser enrols a passkey and signs decisions for real, and says what is wrong where it cannot."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace
from playwright.async_api import Browser, CDPSession, Page, expect

from jit_auth.core.digest import parse_json
from jit_auth.signin.passkeys import (
    Passkey,
    Receipt,
    Statement,
    assertion_options,
    decided,
    enrolled,
    enrolment,
    genuine,
    used,
)
from jit_auth.web.forms import read_post, refuse_foreign
from jit_auth.web.pages import Pages
from tests.fakes.authenticator import b64

ANA = "ana@example.com"
NOW = 1_764_064_800_000
CHALLENGE = b"c" * 32
SCHEMES: tuple[Any, ...] = ("light", "dark")
PAGE = """
{% extends "base.html" %}
{% import "passkey.html" as passkey with context %}
{% block title %}Trial{% endblock %}
{% block main %}
<section>
<h1>Decide with your passkey</h1>
<form method="post">
<div class="choice">
{% for name in options %}
<button class="yes-button" disabled data-passkey="{{ name }}" name="decision" value="{{ name }}">
{{- name | capitalize -}}
</button>
{% endfor %}
<button class="hold-button" name="decision" value="leave">Leave it</button>
</div>
</form>
{{ passkey.ask() }}
</section>
{% endblock %}
"""


class TrialPages(Pages):
    """The pages with one more, that uses the macro."""

    def __init__(self, public_url: str) -> None:
        super().__init__(public_url, "test")
        self._templates["trial.html"] = self._jinja.from_string(PAGE)


@dataclass
class Trial:
    """A site of one page: it enrols a passkey, then asks for decisions with it. What it accepted and was sent."""

    origin: str
    pages: Pages
    person: str = ANA
    passkeys: list[Passkey] = field(default_factory=list)
    enrolling: bool = True
    receipts: list[Receipt] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)

    def statement(self, decision: Any) -> Statement:
        return Statement(
            nonce=b64(decision[:1].encode() * 32),
            approval="apr_1",
            digest="sha256:" + "5" * 64,
            decision=decision,
            hold=None,
            person=self.person,
            expires=NOW + 1,
        )

    async def show(self, request: web.Request) -> web.Response:
        if self.enrolling:
            options = {
                "enrol": enrolment(self.person, "localhost", "jit_auth", self.passkeys, CHALLENGE, handle=b"handle")
            }
        else:
            options = {
                decision: assertion_options(self.statement(decision), self.passkeys, "localhost")
                for decision in ("approve", "deny")
            }
        return self.pages.with_passkeys("trial.html", options=options)

    async def take(self, request: web.Request) -> web.Response:
        refuse_foreign(request, self.pages.origin)
        posted = (await read_post(request)).values
        self.posts.append(posted)
        if posted["decision"] == "leave":
            return web.Response(text="left")
        answer = parse_json(posted["passkey"].encode())
        if self.enrolling:
            made = enrolled(
                answer,
                person=self.person,
                name="Phone",
                now=NOW,
                challenge=CHALLENGE,
                rp_id="localhost",
                origin=self.origin,
            )
            self.passkeys.append(made)
            return web.Response(text="enrolled")
        statement, passkey = self.statement(posted["decision"]), used(answer, self.passkeys)
        receipt = decided(answer, statement, passkey, rp_id="localhost", origin=self.origin, now=NOW)
        self.passkeys = [replace(passkey, counter=receipt.counter)]
        self.receipts.append(receipt)
        return web.Response(text="decided: " + statement.decision)


@asynccontextmanager
async def serving(**state: Any) -> AsyncIterator[Trial]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        origin = f"http://localhost:{listening.getsockname()[1]}"
        trial = Trial(origin, TrialPages(origin), **state)
        app = web.Application()
        app.add_routes([web.get("/", trial.show), web.post("/", trial.pages.guarded(trial.take))])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listening).start()
        try:
            yield trial
        finally:
            await runner.cleanup()


async def plugged(page: Page, **more: Any) -> tuple[CDPSession, str]:
    """Chromium's virtual authenticator, and its id."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options | more})
    return session, made["authenticatorId"]


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name).click()


async def enrol(page: Page, trial: Trial) -> None:
    await page.goto(trial.origin)
    await expect(page.get_by_text("Passkeys need JavaScript")).to_be_hidden()
    await press(page, "Enrol")
    await expect(page.get_by_text("enrolled")).to_be_visible()
    trial.enrolling = False


async def test_a_browser_enrols_and_decides_for_real(page: Page) -> None:
    async with serving() as trial:
        await plugged(page)
        await enrol(page, trial)
        (passkey,) = trial.passkeys
        assert passkey.transports == ("internal",)
        for decision in ("approve", "deny", "approve"):
            await page.goto(trial.origin)
            await press(page, decision.capitalize())
            await expect(page.get_by_text(f"decided: {decision}")).to_be_visible()
        assert all(genuine(receipt, rp_id="localhost", origin=trial.origin) for receipt in trial.receipts)
        assert len({receipt.signature for receipt in trial.receipts}) == 3
        assert [sorted(post) for post in trial.posts] == [["decision", "passkey"]] * 4


async def test_an_answer_to_deny_posted_as_approve_is_refused(page: Page) -> None:
    async with serving() as trial:
        await plugged(page)
        await enrol(page, trial)
        await page.goto(trial.origin)
        await page.evaluate("document.querySelector('[value=deny]').value = 'approve'")
        await press(page, "Deny")
        await expect(page.get_by_text("answered another question")).to_be_visible()
        assert trial.receipts == []


async def test_who_is_not_verified_sends_nothing_and_can_try_again(page: Page) -> None:
    async with serving() as trial:
        session, authenticator = await plugged(page)
        await enrol(page, trial)
        verified = {"authenticatorId": authenticator, "isUserVerified": False}
        await session.send("WebAuthn.setUserVerified", verified)
        await page.goto(trial.origin)
        await press(page, "Approve")
        await expect(page.get_by_role("status")).to_contain_text("The passkey was not used")
        assert len(trial.posts) == 1
        await session.send("WebAuthn.setUserVerified", verified | {"isUserVerified": True})
        await press(page, "Approve")
        await expect(page.get_by_text("decided: approve")).to_be_visible()


async def test_while_the_browser_asks_a_second_click_asks_nothing(page: Page) -> None:
    async with serving() as trial:
        await plugged(page)
        await enrol(page, trial)
        await page.add_init_script(
            """window.asked = 0;
            const get = navigator.credentials.get.bind(navigator.credentials);
            const touched = new Promise((touch) => { window.touch = touch; });
            navigator.credentials.get = async (options) => {
              window.asked += 1; await touched; return get(options);
            };"""
        )
        await page.goto(trial.origin)
        await press(page, "Approve")
        await expect(page.get_by_role("status")).to_have_text("Your browser asks for your passkey.")
        await press(page, "Approve")
        await press(page, "Deny")
        assert await page.evaluate("window.asked") == 1
        await page.evaluate("window.touch()")
        await expect(page.get_by_text("decided: approve")).to_be_visible()
        assert [post["decision"] for post in trial.posts] == ["enrol", "approve"]


async def test_a_passkey_is_enrolled_once_on_a_device(page: Page) -> None:
    async with serving() as trial:
        await plugged(page)
        await enrol(page, trial)
        trial.enrolling = True
        await page.goto(trial.origin)
        await press(page, "Enrol")
        await expect(page.get_by_role("status")).to_contain_text("holds a passkey of yours already")
        assert len(trial.passkeys) == 1


async def test_under_another_address_it_says_so(page: Page) -> None:
    async with serving() as trial:
        await plugged(page)
        await page.goto(trial.origin.replace("localhost", "127.0.0.1"))
        await press(page, "Enrol")
        await expect(page.get_by_role("status")).to_contain_text("Passkeys do not work under this address")
        assert trial.posts == []


async def test_other_buttons_submit_without_a_passkey(page: Page) -> None:
    async with serving() as trial:
        await page.goto(trial.origin)
        await press(page, "Leave it")
        await expect(page.get_by_text("left")).to_be_visible()
        assert trial.posts == [{"decision": "leave"}]


async def test_without_scripts_the_page_says_that_passkeys_need_them(chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    async with serving() as trial:
        await page.goto(trial.origin)
        await expect(page.get_by_text("Passkeys need JavaScript")).to_be_visible()
        await expect(page.get_by_role("button", name="Enrol")).to_be_disabled()
    await context.close()


async def test_no_other_script_runs_and_nothing_is_fetched(chromium: Browser) -> None:
    context = await chromium.new_context()
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    hostile = '</script><script>document.title="taken"</script><!--<script>' + ANA
    async with serving(person=hostile) as trial:
        response = await page.goto(trial.origin)
        assert response is not None
        policy = response.headers["content-security-policy"]
        assert re.fullmatch(
            r"default-src 'none'; style-src 'sha256-[\w+/=]+'; form-action 'self'; frame-ancestors 'none'; "
            r"base-uri 'none'; script-src 'sha256-[\w+/=]+'",
            policy,
        )
        assert await page.title() == "Trial (test) - jit_auth"
        assert complaints == []
        await page.evaluate(
            """() => { const made = document.createElement("script"); made.textContent = "document.title = 'taken'";
            document.body.append(made); document.body.setAttribute("onclick", "document.title = 'taken'");
            document.body.click(); }"""
        )
        assert await page.evaluate("fetch('/').then(() => 'fetched', () => 'refused')") == "refused"
        assert await page.title() == "Trial (test) - jit_auth"
        assert len([text for text in complaints if "Content Security Policy" in text]) >= 3
    await context.close()


async def test_other_pages_may_run_no_script() -> None:
    pages = Pages("http://localhost:8080", "test")
    assert "script-src" not in pages.headers["Content-Security-Policy"]
    with pytest.raises(Exception, match="is undefined"):
        TrialPages("http://localhost:8080").html("trial.html", options={})


async def test_axe_finds_nothing_while_it_says_what_is_wrong(chromium: Browser) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.base", reason="no axe-core: axe-playwright-python is not installed"
    )
    async with serving() as trial:
        for scheme in SCHEMES:
            context = await chromium.new_context(color_scheme=scheme)
            page = await context.new_page()
            await page.goto(trial.origin.replace("localhost", "127.0.0.1"))
            await press(page, "Enrol")
            await expect(page.get_by_role("status")).to_contain_text("Passkeys do not work")
            # By the debugger's own door: the page allows one script alone.
            await page.evaluate(axe.AXE_FILE_PATH.read_text(encoding="utf-8"))
            found = await page.evaluate("axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))")
            assert found == []
            await context.close()
