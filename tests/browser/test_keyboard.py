"""Without a pointer: every control is reached by Tab in the order it is read, shows that it has the focus, and acts."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.browser.scenes import SCENES
from tests.integration.pages.conftest import serving
from tests.integration.pages.states import usual

STOPS = "a[href], button, input:not([type=hidden]), textarea, select, summary"
# The control that has the focus: its text, its number among the controls that can have it, the ring's width, the
# contrast of the ring with what surrounds it (WCAG 1.4.11: 3 to 1), and whether it is in sight with the whole ring.
FOCUS = """stops => {
  const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
  const parse = c => (c.match(/[0-9.]+/g) || []).map(Number);
  const light = c => { const f = parse(c).slice(0, 3).map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] > 0) return getComputedStyle(e).backgroundColor; } return 'rgb(255,255,255)'; };
  const [a, b] = [light(style.outlineColor), light(ground(at.parentElement))].sort((x, y) => y - x);
  const here = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const all = [...document.querySelectorAll(stops)].filter(e => e.checkVisibility());
  return {
    text: at.textContent.trim(), number: all.indexOf(at), of: all.length,
    ring: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth), contrast: (a + 0.05) / (b + 0.05),
    seen: box.top >= 5 && box.bottom + 5 <= innerHeight && (at.contains(here) || here !== null && here.contains(at)),
  };
}"""


async def tab_to(page: Page, text: str) -> None:
    """Press Tab until the control with this text has the focus."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if (await page.evaluate(FOCUS, STOPS))["text"] == text:
            return
    pytest.fail(f"Tab does not reach {text!r}")


@pytest.mark.parametrize("width", [pytest.param(1280, id="desktop"), pytest.param(320, id="phone")])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_tab_visits_every_control_in_order_and_shows_where_it_is(
    chromium: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = await chromium.new_context(viewport=ViewportSize(width=width, height=800), color_scheme=scheme)
    for name in ("approval", "edited", "together", "unknown", "connect", "partly", "decided"):
        doors, scene = SCENES[name]
        async with serving(doors()) as site:
            page = await context.new_page()
            await scene(site, page)
            await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
            await page.evaluate("document.body.tabIndex = -1; document.body.focus()")  # from the top
            visited: list[int] = []
            while True:
                await page.keyboard.press("Tab")
                focus: Any = await page.evaluate(FOCUS, STOPS)
                if focus["number"] == -1 or len(visited) > focus["of"]:
                    break
                visited.append(focus["number"])
                assert focus["ring"] >= 2, (name, focus)
                assert focus["contrast"] >= 3, (name, focus)
                assert focus["seen"], (name, focus)
                of = focus["of"]
            assert visited == list(range(of)), name
            await page.close()
    await context.close()


@pytest.mark.parametrize("word", ["Approve", "Deny"])
@pytest.mark.parametrize("key", ["Enter", "Space"])
async def test_a_vote_is_cast_with_tab_and_one_key(page: Page, word: str, key: str) -> None:
    """And the ring is really drawn: the picture with the focus is another one than the picture without."""
    async with serving(usual()) as site:
        await page.goto(site.origin + site.approval)
        await tab_to(page, word)
        box: Any = await page.get_by_role("button", name=word, exact=True).bounding_box()
        ring: Any = {
            "x": box["x"] - 6,
            "y": box["y"] - 6,
            "width": box["width"] + 12,
            "height": 5,
        }
        focused = await page.screenshot(clip=ring)
        await page.evaluate("document.activeElement.blur()")
        assert await page.screenshot(clip=ring) != focused
        assert site.doors.chosen == []
        await page.reload()
        await tab_to(page, word)
        await page.keyboard.press(key)
        verdict = {"Approve": "approve", "Deny": "deny"}[word]
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            {"Approve": "You approved this", "Deny": "You denied this"}[word]
        )
        assert [(choice.verdict, choice.hold, choice.params) for choice in site.doors.chosen] == [(verdict, None, None)]


async def test_the_first_key_leads_past_the_head_of_the_page(page: Page) -> None:
    """The link is out of sight until it has the focus, and then it is in sight."""
    async with serving(usual()) as site:
        await page.goto(site.origin + site.approval)
        skip = page.get_by_role("link", name="Skip to the content")
        await expect(skip).not_to_be_in_viewport()
        await page.keyboard.press("Tab")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport(ratio=1)
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.closest('main') !== null")


async def test_what_is_folded_is_opened_changed_and_sent_by_keys(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.approval)
        await tab_to(page, "Change it before it is sent")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.get_by_label("subject")).to_be_focused()
        await page.keyboard.press("Control+A")
        await page.keyboard.type("Numbers")
        await tab_to(page, "Ask anew with these changes")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("You changed this, and it is asked anew")
        (choice,) = site.doors.chosen
        assert choice.params == {"subject": "Numbers"}


async def test_a_consent_is_refused_by_keys(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.consent)
        await tab_to(page, "Do not allow")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_contain_text("was not allowed")
        assert (site.doors.began, site.doors.consent.state) == (0, "denied")
