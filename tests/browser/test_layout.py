"""The pages as they are drawn: small and large, light and dark, with text that tries to break out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from playwright.async_api import Browser, ViewportSize

from tests.integration.pages.conftest import Site, serving
from tests.integration.pages.standin import Standin

HOSTILE = {
    "to": ["x@y.example", "paypal@\u0430pple.com", "\u05d0\u05d1\u05d2@example.com"],
    "subject": "W" * 998,
    "body": "a" + " " * 60_000 + "b\n\n\n\n\n\n" + "\u200b" * 3 + "x/" * 400,
    "filter": {"key" * 40: {"deep": ["v" * 300, 1]}},
}


def hostile() -> Standin:
    doors = Standin()
    doors.execution = replace(doors.execution, params=HOSTILE, reason="r" * 2000)
    doors.new = ("https://scopes.example/" + "s" * 300,)
    doors.request = replace(doors.request, url="https://api.mailhub.example/" + "p" * 1000, body=b"z" * 5000)
    return doors


@pytest.mark.parametrize("width", [320, 390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_sticks_out_and_every_button_can_be_hit(chromium: Browser, width: int, scheme: str) -> None:
    context = await chromium.new_context(
        viewport=ViewportSize(width=width, height=800), color_scheme="dark" if scheme == "dark" else "light"
    )
    page = await context.new_page()
    async with serving(hostile()) as site:
        for path in (site.approval, site.consent):
            await page.goto(site.origin + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            for button in await page.get_by_role("button").all():
                box = await button.bounding_box()
                assert box is not None
                assert box["height"] >= 44
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
    await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_its_ground(chromium: Browser, scheme: str) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for all text."""
    context = await chromium.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = await context.new_page()
    async with serving(hostile()) as site:
        for path in await _states(site):
            await page.goto(site.origin + path)
            weak = await page.evaluate(CONTRAST)
            assert weak == []
    await context.close()


async def _states(site: Site) -> list[str]:
    return [site.approval, site.consent, "/approvals/apr_1"]


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
