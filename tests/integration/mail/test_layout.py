"""The HTML part as it is drawn: phone and large screen, light and dark, with text that tries to break out."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, ViewportSize, async_playwright

from jit_auth.channels.card import Card, Change
from jit_auth.channels.email.told import Step
from jit_auth.core.fields import Field
from jit_auth.core.text import Part, visible
from tests.integration.mail.kit import CARD, GATHER
from tests.integration.mail.test_mails import CONSENT, END, RESOLVE, mail

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

HOSTILE = replace(
    CARD,
    risk="critical",
    environment="e" * 80,
    summary=(Part("Send to "), Part("\u05d0\u05d1\u05d2@" + "x" * 180, True), Part(": "), Part("W" * 180, True)),
    title="t" * 200,
    host="h" * 253,
    fields=(
        Field("n" * 120, "W" * 998, 998, False, "text"),
        Field("body", visible("a" + " " * 60_000 + "b\n\n\n\n\n\n" + "\u200b" * 3 + "x/" * 400), 1, False, "text"),
    ),
    changed=(Change("c" * 120, "W" * 500, "V" * 500),),
    labels=("l" * 200,),
    unusual=("u" * 300,),
    reasons=("r" * 300,),
    agent="m" * 64,
    chain=("p" * 64, "m" * 64),
    says="s" * 2000,
    waiting=3,
)
SHOWN: list[tuple[Card, Step]] = [
    *((CARD, "ask"), (HOSTILE, "ask"), (replace(CARD, risk="medium", warned=True), "soon"), (END, "end")),
    *((CONSENT, "ask"), (RESOLVE, "ask"), (replace(CARD, risk="low", reminded=1), "remind"), (GATHER, "ask")),
]

WEAK = """() => {
  const parse = c => (c.match(/[0-9.]+/g) || []).map(Number);
  const light = c => { const f = parse(c).slice(0, 3).map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return getComputedStyle(e).backgroundColor; } return 'rgb(255,255,255)'; };
  const weak = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.offsetParent) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5 || parseFloat(getComputedStyle(e).fontSize) < 13)
      weak.push([e.tagName, e.className, ratio.toFixed(2), getComputedStyle(e).fontSize]); }
  return weak; }"""


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the mails are not drawn")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_mail_can_be_read_at_any_width_in_light_and_dark(chromium: Browser, scheme: str) -> None:
    """Nothing sticks out, the button can be hit, and all text has 13 px and 4.5 to 1 (WCAG 2.2 AA)."""
    for width in (320, 390, 1000):
        context = await chromium.new_context(
            viewport=ViewportSize(width=width, height=800),
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=True,
        )
        page = await context.new_page()
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        for card, step in SHOWN:
            await page.set_content(mail(card, step).html)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, (card.role, step)
            assert await page.evaluate(WEAK) == [], (card.role, step)
            for link in await page.get_by_role("link").all():
                box = await link.bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
            if step != "end":
                button = await page.get_by_role("link").first.bounding_box()
                assert button is not None
                assert button["height"] >= 44
        assert asked == []  # nothing is loaded: no picture tells anybody that the mail was opened
        await context.close()


async def test_a_mail_without_its_style_sheet_is_still_readable(chromium: Browser) -> None:
    """Mail programs that throw <style> away keep the colours that stand inline, also where they draw in the dark."""
    context = await chromium.new_context(viewport=ViewportSize(width=320, height=800), color_scheme="dark")
    page = await context.new_page()
    html = mail(HOSTILE).html
    start, end = html.index("<style>"), html.index("</style>")
    await page.set_content(html[:start] + html[end + len("</style>") :])
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await page.evaluate(WEAK) == []
    await context.close()
