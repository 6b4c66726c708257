"""The pages as they are drawn: small and large, light and dark, without scripts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, ViewportSize

from tests.browser.scenes import SCENES
from tests.integration.pages.conftest import serving
from tests.integration.pages.standin import Standin
from tests.integration.pages.states import usual

HOSTILE = {
    "to": ["x@y.example", "paypal@\u0430pple.com", "\u05d0\u05d1\u05d2@example.com"],
    "subject": "W" * 998,
    "body": "a" + " " * 60_000 + "b\n\n\n\n\n\n" + "\u200b" * 3 + "x/" * 400,
    "filter": {"key" * 40: {"deep": ["v" * 300, 1]}},
}


def hostile() -> Standin:
    """Long words, long lists and text that tries to break out, wherever a page holds text."""
    doors = usual()
    decision = replace(
        doors.execution.decision,
        labels=("l" * 120, "m?"),
        reasons=("R" * 300,),
        editable=("subject", "to", "body", "filter"),
    )
    doors.execution = replace(
        doors.execution, params=HOSTILE, before={"subject": "V" * 500}, reason="r" * 2000, decision=decision
    )
    doors.round = replace(doors.round, why="why" * 200)
    doors.new = ("https://scopes.example/" + "s" * 300,)
    doors.request = replace(doors.request, url="https://api.mailhub.example/" + "p" * 1000, body=b"z" * 5000)
    doors.more = doors.more | {"eligible": ("ana@example.com", "e" * 200 + "@example.com")}
    doors.others = (doors.another(1), doors.another(2, execution=doors.execution))
    return doors


@pytest.mark.parametrize("part", range(2))
async def test_nothing_sticks_out_and_every_button_can_be_hit(chromium: Browser, part: int) -> None:
    page = await chromium.new_page()
    for name, (_, scene) in list(SCENES.items())[part::2]:
        async with serving(hostile()) as site:
            await scene(site, page)
            await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
            # Light and dark differ in colours alone.
            for width in (320, 390, 1200):
                await page.set_viewport_size(ViewportSize(width=width, height=800))
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, name
                for button in await page.get_by_role("button").all():
                    box = await button.bounding_box()
                    assert box is not None
                    assert box["height"] >= 44, name
                    assert box["x"] >= 0
                    assert box["x"] + box["width"] <= width, name
                for small in await page.locator("summary, .pick label, main a").all():
                    box = await small.bounding_box()
                    # WCAG 2.2, 2.5.8: targets of 24 CSS pixels, but for links in a sentence.
                    assert box is not None
                    assert box["height"] >= 16, name
    await page.close()


async def test_every_page_works_without_scripts(chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    for name, (doors, scene) in SCENES.items():
        async with serving(doors()) as site:
            await scene(site, page)
            assert await page.locator("h1").count() == 1, name
    await context.close()


async def test_on_a_phone_the_first_screen_says_what_it_is_about(chromium: Browser) -> None:
    """Environment, summary, risk, what it does, who asks for whom, where it goes: without a touch."""
    context = await chromium.new_context(viewport=ViewportSize(width=390, height=664))
    page = await context.new_page()
    async with serving(usual()) as site:
        await page.goto(site.origin + site.approval)
        for text in (
            "Environment dev",
            "Send to x@y.example and bo@example.com: Quarterly numbers",
            "High risk",
            "It cannot be taken back from here",
            "asks, for",
            "api.mailhub.example",
            "What is unusual",
        ):
            box = await page.get_by_text(text).first.bounding_box()
            assert box is not None, text
            assert box["y"] + box["height"] <= 664, text
    await context.close()


async def test_text_stands_out_from_its_ground_where_it_is_hostile(chromium: Browser) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for all text, also in marks, boxes and differences."""
    for scheme in ("light", "dark"):
        context = await chromium.new_context(color_scheme="dark" if scheme == "dark" else "light")
        page = await context.new_page()
        async with serving(hostile()) as site:
            for path in (site.approval, site.consent, site.all, "/approvals/apr_1"):
                await page.goto(site.origin + path)
                assert await page.evaluate(CONTRAST) == []
        await context.close()


CONTRAST = """() => {
  const parse = c => (c.match(/[0-9.]+/g) || []).map(Number);
  const light = c => { const f = parse(c).slice(0, 3).map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return getComputedStyle(e).backgroundColor; } return 'rgb(255,255,255)'; };
  const weak = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const e = walk.currentNode.parentElement; if (!walk.currentNode.data.trim()) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05); if (ratio < 4.5) weak.push([e.tagName, e.className, ratio.toFixed(2)]); }
  return weak; }"""
