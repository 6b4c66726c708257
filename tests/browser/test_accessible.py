"""Pages and mails for everybody: axe-core finds nothing, in any state, large and small, light and dark.

What a program can see is about half of what can be wrong: order of focus and its visibility are in test_keyboard.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, ViewportSize

from tests.browser.scenes import SCENES
from tests.integration.mail.test_layout import SHOWN
from tests.integration.mail.test_mails import mail
from tests.integration.pages.conftest import serving

PARTS = 3
"""The scenes are dealt out to so many tests, which run side by side."""
WIDTHS = (1280, 320)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# WCAG 2.2 A and AA, which holds 2.1 and 2.0, and what axe-core knows beyond it.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async ([tags, off]) => {
  const rules = Object.fromEntries(off.map(id => [id, {enabled: false}]));
  const found = await axe.run({runOnly: {type: 'tag', values: tags}, rules});
  const told = each => [each.id, each.impact, each.nodes.map(node => node.html + ' ' + node.failureSummary)];
  return {faults: found.violations.map(told), unsure: found.incomplete.map(told), passed: found.passes.map(e => e.id)};
}"""
# Rules that apply to every page and every mail: were they not among the passed, axe would have looked at nothing.
ALWAYS = {"color-contrast", "document-title", "html-has-lang", "page-has-heading-one", "heading-order", "meta-viewport"}
# A mail is drawn inside the page of a mail program, which has its landmarks already: a second `main` would be a fault.
NOT_IN_MAILS = ["landmark-one-main", "region"]


async def look(page: Page, *, off: list[str]) -> dict[str, Any]:
    """What axe-core says about the page as it stands, everything unfolded: by size and scheme, if it says anything."""
    await page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    await page.evaluate(AXE_SCRIPT)
    told = {}
    for width in WIDTHS:
        await page.set_viewport_size(ViewportSize(width=width, height=800))
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            found = await page.evaluate(RUN, [TAGS, off])
            assert set(found["passed"]) >= ALWAYS
            assert len(found["passed"]) >= 15
            if found["faults"] or found["unsure"]:
                told[f"{width} {scheme}"] = found["faults"] + found["unsure"]
    return told


@pytest.mark.parametrize("part", range(PARTS))
async def test_axe_finds_nothing_on_any_page(chromium: Browser, part: int) -> None:
    # The pages allow no scripts; axe is one.
    context = await chromium.new_context(bypass_csp=True)
    for name, (doors, scene) in list(SCENES.items())[part::PARTS]:
        async with serving(doors()) as site:
            page = await context.new_page()
            await scene(site, page)
            assert await look(page, off=[]) == {}, name
            await page.close()
    await context.close()


async def test_axe_finds_nothing_in_any_mail(chromium: Browser) -> None:
    page = await chromium.new_page()
    for card, step in SHOWN:
        await page.set_content(mail(card, step).html)
        assert await look(page, off=NOT_IN_MAILS) == {}, (card.role, step)
    await page.close()


async def test_axe_would_find_something(chromium: Browser) -> None:
    """The net has no hole: a page with one fault of each kind is not passed."""
    page = await chromium.new_page()
    await page.set_content(
        '<!doctype html><html lang="en"><title>x</title><meta name="viewport" content="width=device-width">'
        '<main><h1>One</h1><h2>Two</h2><p>Fine</p><p style="color:#aaa">Weak</p><input><h4>Four</h4></main>'
        "<ul><div>no item</div></ul>"
    )
    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate(RUN, [TAGS, []])
    assert {each[0] for each in found["faults"]} >= {"color-contrast", "label", "heading-order", "list", "region"}
