"""Stored XSS in a real browser: foreign text in every field of every page and mail, and nothing of it runs.

THREAT_MODEL 19. Escaping is tried alone, with the content security policy switched off, and once with it. A parser's
word on the same pages, text by text, is in tests/attack/test_19_text.py: here a browser has it, and reads as it does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from msgspec.structs import replace
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Route

from jit_auth.core.fields import fields
from jit_auth.core.text import Part, visible
from jit_auth.model import Trouble
from tests.attack.test_19_text import MARKUP, planted
from tests.browser import scenes
from tests.browser.conftest import Site
from tests.browser.test_me import connect, home
from tests.integration.mail.test_mails import ALL, mail
from tests.integration.pages.conftest import Site as Stage
from tests.integration.pages.conftest import serving
from tests.integration.pages.standin import ACTION, ROUND, Standin
from tests.integration.pages.states import usual

__all__ = ["home"]  # the service with an issuer

POLYGLOT = (
    "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert(1) )//%0D%0A%0d%0a//</stYle/</titLe/</teXtarEa/</scRipt/--!>"
    "<sVg/<sVg/oNloAd=alert(1)//>"
)
UNSEEN = "a\u202eb\u200bc\u2066d\ufeffe\u00adf\u2060g\u200fh"
CHUNKS = [" ".join((UNSEEN, *MARKUP[at : at + 12], POLYGLOT)) for at in range(0, len(MARKUP), 12)]

_AFTER = (scenes.approved, scenes.denied, scenes.decided, scenes.overtaken, scenes.resolved, scenes.changed)

# What a text that was taken for markup would have made; handlers are called, as a mouse or a key would.
PLANTED = """() => {
  document.querySelectorAll('details').forEach(each => { each.open = true; });
  const found = [];
  for (const each of document.querySelectorAll('*')) {
    const tag = each.tagName.toUpperCase();
    if (['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'BASE', 'LINK', 'SVG', 'MATH', 'IMG', 'VIDEO'].includes(tag)) {
      found.push(tag);
    }
    for (const {name, value} of each.attributes) {
      const address = ['href', 'src', 'action', 'formaction', 'xlink:href', 'srcdoc'].includes(name);
      if (name.startsWith('on') || (address && /^\\s*(javascript|data|vbscript):/i.test(value))) {
        found.push(tag + ' ' + name + '=' + value);
      }
    }
    for (const kind of ['mouseover', 'mouseenter', 'focus', 'toggle', 'load', 'error']) {
      each.dispatchEvent(new Event(kind));
    }
  }
  return found;
}"""
HIDDEN = """() => document.documentElement.textContent.match(
  /[\\u00ad\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff]/g)"""


class Tab:
    """A page of the browser, and what ran or was fetched on it that should not."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.ran: list[str] = []
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.ran.append(f"error: {error}"))
        page.on("console", self._console)

    async def _dialog(self, dialog: Dialog) -> None:
        self.ran.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if "Content Security" in message.text or "Refused" in message.text:
            self.ran.append(message.text)

    async def outside(self, route: Route) -> None:
        """No page fetches anything from anywhere else."""
        if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost"):
            await route.fallback()
        else:
            self.ran.append(f"fetched: {route.request.url}")
            await route.abort()

    async def harmless(self, where: str) -> None:
        """Nothing of what the page says has become more than text."""
        assert await self.page.evaluate(PLANTED) == [], where
        assert self.ran == [], where

    async def says(self, where: str) -> None:
        """The same, of a page that holds the texts: they are there to be read, and what cannot be seen is marked."""
        await self.harmless(where)
        text = await self.page.evaluate("document.documentElement.textContent")
        assert "alert(1)" in text, where
        assert await self.page.evaluate(HIDDEN) is None, where
        assert "U+202E" in text, where
        marks = await self.page.locator("mark.hid").all_text_contents()
        assert {"U+202E", "U+200B", "U+2066"} <= {mark.strip("\u27e8\u27e9") for mark in marks}, where


@asynccontextmanager
async def tab(chromium: Browser, *, policy: bool) -> AsyncIterator[Tab]:
    """A tab of a fresh profile. `policy`: the pages' content security policy holds."""
    context = await chromium.new_context(bypass_csp=not policy)
    made = Tab(await context.new_page())
    await context.route("**/*", made.outside)
    yield made
    await context.close()


def hostile(stage: Stage, text: str) -> None:
    """The text wherever these pages hold text, votes and changes and faults of providers too."""
    planted(stage, text)
    doors = stage.doors
    doors.execution = replace(
        doors.execution, before={"subject": text, text: text}, edited_by=(text,),
        error=Trouble("provider_unavailable", text, text, by=text, feedback=text),
    )  # fmt: skip
    doors.others = (doors.another(1, execution=doors.execution, action=doors.action),)


async def test_no_text_runs_on_any_page(chromium: Browser) -> None:
    async with tab(chromium, policy=False) as bare, tab(chromium, policy=True) as usually:
        for number, text in enumerate(CHUNKS):
            async with serving(Standin()) as stage:
                hostile(stage, text)
                for path in (stage.approval, stage.consent, stage.unknown, stage.all, f"/approvals/{ROUND.id}"):
                    await bare.page.goto(stage.origin + path)
                    await bare.says(f"{path} {number}")
                if number == 0:
                    await usually.page.goto(stage.origin + stage.approval)
                    await usually.says("with the policy")


async def test_no_text_runs_on_what_follows_a_click(chromium: Browser) -> None:
    text = CHUNKS[0]
    async with tab(chromium, policy=False) as bare:
        for scene in _AFTER:
            async with serving(usual()) as stage:
                hostile(stage, text)
                await scene(stage, bare.page)
                await bare.harmless(scene.__name__)
        for kind in ("connected", "partly", "refused", "error"):
            async with serving(Standin()) as stage:
                hostile(stage, text)
                stage.doors.trip = False
                stage.doors.ending = stage.doors.finished(
                    kind, granted=(text,), missing=(text,), error=text, error_description=text, account=text,
                    link=stage.origin + stage.consent, manage_url="https://auth.mailhub.example/",
                )  # fmt: skip
                await bare.page.goto(stage.origin + stage.consent)
                await bare.page.get_by_role("button", name="Allow", exact=True).click()
                await (bare.harmless if kind == "refused" else bare.says)(kind)


async def test_no_text_runs_in_any_mail(chromium: Browser) -> None:
    async with tab(chromium, policy=False) as bare:
        for text in CHUNKS:
            seen, line = visible(text), visible(text, one_line=True)
            action = replace(ACTION, title=text)
            shown = fields(action, {"subject": text, text: [text]})
            for card, step in ALL:
                evil = replace(
                    card, title=line, summary=(Part(line, foreign=True),), agent=line, chain=(line,), user=line,
                    says=seen, reasons=(seen,), fields=shown, account=line, host=line, connector=line, outcome=seen,
                    again=seen, labels=(line,), unusual=(seen,), environment=line,
                )  # fmt: skip
                await bare.page.set_content(mail(evil, step).html)
                await bare.harmless(f"{card.role} {step}")
                assert "alert(1)" in await bare.page.evaluate("document.documentElement.textContent")
                assert await bare.page.evaluate(HIDDEN) is None, (card.role, step)


async def test_no_text_runs_on_ones_own_page(chromium: Browser, home: Site) -> None:
    async with tab(chromium, policy=False) as bare:
        await connect(bare.page, home)
        for text in CHUNKS[:2]:
            params = {"to": [text], "subject": text, "body": text}
            asked = await home.execute(
                "send_message", params, reason=text, task={"id": "t", "title": text[:200]}, metadata={"m": text[:200]}
            )
            assert asked["status"] == "paused"
            link = await home.approval(asked)
            await bare.page.goto(link)
            await bare.says("the approval of a stored call")
            await bare.page.get_by_label("Message to the agent").fill(text)
            await bare.page.get_by_role("button", name="Deny", exact=True).click()
            await bare.harmless("what is said after the vote")
            await bare.page.goto(link)
            await bare.says("the decided page, with its feedback")
        await bare.page.goto(f"{home.url}/me")
        await bare.says("/me")


async def test_this_would_find_what_runs(chromium: Browser) -> None:
    """The net has no hole: each of these, not escaped, is found."""
    async with tab(chromium, policy=False) as bare:
        for text in ("<script>alert(1)</script>", "<b onmouseover=alert(1)>x</b>"):
            bare.ran.clear()
            await bare.page.set_content(f"<!doctype html><title>x</title><p>{text}</p>")
            assert len(await bare.page.evaluate(PLANTED)) == 1
            assert bare.ran == ["dialog: 1"], text
        await bare.page.set_content("<!doctype html><title>x</title><a href=' javascript:alert(1)'>a\u202eb</a>")
        assert await bare.page.evaluate(PLANTED) == ["A href= javascript:alert(1)"]
        assert await bare.page.evaluate(HIDDEN) == ["\u202e"]
