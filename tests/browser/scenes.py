"""The states of the pages that are looked at: in the tests of the layout, and as pictures for the documentation.

`python -m tests.browser.scenes DIR` draws them all, light and dark, on a desktop and on a phone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace
from playwright.async_api import Page, ViewportSize, async_playwright

from tests.browser.conftest import CHROMIUM
from tests.integration.pages.conftest import Site, serving
from tests.integration.pages.standin import ROUND, Standin, gone
from tests.integration.pages.states import edited, usual

Scene = Callable[[Site, Page], Awaitable[None]]


async def approval(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.approval)


async def opened(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.approval)
    for part in await page.locator("summary").all():
        await part.click()


async def together(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.all)
    await page.get_by_role("checkbox").first.check()


async def approved(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.approval)
    await page.get_by_role("button", name="Approve", exact=True).click()


async def decided(site: Site, page: Page) -> None:
    await approved(site, page)
    await page.goto(site.origin + site.approval)


async def notice(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/approvals/{ROUND.id}")


async def unknown(site: Site, page: Page) -> None:
    site.doors.execution = replace(site.doors.execution, state="unknown")
    await page.goto(site.origin + site.unknown)


async def resolved(site: Site, page: Page) -> None:
    await unknown(site, page)
    await page.get_by_label("How do you know?").fill("It is in the folder of sent mail.")
    await page.get_by_role("button", name="It happened").click()


async def expired(site: Site, page: Page) -> None:
    site.doors.gone = gone("expired")
    await page.goto(site.origin + site.approval)


async def stale(site: Site, page: Page) -> None:
    await together(site, page)
    site.doors.others = ()
    for box in await page.get_by_role("checkbox").all():
        await box.check()
    await page.get_by_role("button", name="Approve what is ticked").click()


async def connect(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.consent)


async def connected(site: Site, page: Page) -> None:
    site.doors.trip = False
    await page.goto(site.origin + site.consent)
    await page.get_by_role("button", name="Allow", exact=True).click()


SCENES: dict[str, tuple[Callable[[], Standin], Scene]] = {
    "approval": (usual, approval),
    "approval-open": (usual, opened),
    "edited": (edited, approval),
    "together": (usual, together),
    "approved": (usual, approved),
    "decided": (usual, decided),
    "notice": (usual, notice),
    "unknown": (usual, unknown),
    "resolved": (usual, resolved),
    "expired": (usual, expired),
    "stale": (usual, stale),
    "connect": (usual, connect),
    "connected": (usual, connected),
}


async def draw(folder: Path, names: list[str]) -> None:
    """Every scene as pictures."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in names or list(SCENES):
            doors, scene = SCENES[name]
            for scheme in ("light", "dark"):
                for where, width, height in (("desktop", 1000, 800), ("phone", 390, 844)):
                    context = await browser.new_context(
                        viewport=ViewportSize(width=width, height=height),
                        color_scheme="dark" if scheme == "dark" else "light",
                    )
                    page = await context.new_page()
                    async with serving(doors()) as site:
                        await scene(site, page)
                        await page.screenshot(path=folder / f"{name}-{where}-{scheme}.png", full_page=True)
                    await context.close()
        await browser.close()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(draw(Path(sys.argv[1]), sys.argv[2:]))
