"""The states of the pages that are looked at: in the tests of the layout, and as pictures for the documentation.

`python -m tests.browser.scenes DIR` draws them all, light and dark, on a desktop and on a phone.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from playwright.async_api import Page, ViewportSize, async_playwright

from tests.browser.conftest import CHROMIUM
from tests.integration.pages.conftest import Site, serving
from tests.integration.pages.standin import ROUND, STRANGE_TICKET, Standin, gone
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


async def denied(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.approval)
    await page.get_by_label("Message to the agent").fill("Not before the board has seen it.")
    await page.get_by_role("button", name="Deny", exact=True).click()


async def held(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.approval)
    await page.get_by_role("button", name="Approve for 1 hour").click()


async def _change(page: Page, site: Site) -> None:
    await page.goto(site.origin + site.approval)
    await page.get_by_text("Change it before it is sent").click()


async def changed(site: Site, page: Page) -> None:
    await _change(page, site)
    await page.get_by_label("subject").fill("Numbers of the third quarter")
    await page.get_by_role("button", name="Ask anew with these changes").click()


async def unchanged(site: Site, page: Page) -> None:
    await _change(page, site)
    await page.get_by_role("button", name="Ask anew with these changes").click()


async def superseded(site: Site, page: Page) -> None:
    await changed(site, page)
    await page.goto(site.origin + site.approval)


async def overtaken(site: Site, page: Page) -> None:
    """Somebody else decides while the page is open."""
    await page.goto(site.origin + site.approval)
    vote = replace(site.doors.votes[0], verdict="deny", feedback="Not to x@y.example.")
    site.doors.votes, site.doors.round = (vote,), replace(site.doors.round, state="denied")
    await page.get_by_role("button", name="Approve", exact=True).click()


async def late(site: Site, page: Page) -> None:
    """The rules changed: this person is not asked any more."""
    site.doors.more = site.doors.more | {"eligible": ("bo@example.com",)}
    await page.goto(site.origin + site.approval)


async def several(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.gathered)
    for box in await page.get_by_role("checkbox").all():
        await box.check()
    await page.get_by_role("button", name="Approve what is ticked").click()


async def nothing(site: Site, page: Page) -> None:
    site.doors.round, site.doors.others = replace(site.doors.round, state="met"), ()
    await page.goto(site.origin + site.gathered)


async def strange(site: Site, page: Page) -> None:
    await page.goto(f"{site.origin}/approvals/{STRANGE_TICKET}")


async def connect(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.consent)


async def once_more(site: Site, page: Page) -> None:
    """An agent asks through another, and the provider has failed before."""
    site.doors.execution = replace(site.doors.execution, chain=("planner", "mailbot"))
    site.doors.consent = replace(site.doors.consent, last_error="temporarily_unavailable")
    await page.goto(site.origin + site.consent)


async def allow(site: Site, page: Page) -> None:
    """The same without a trip to the provider."""
    site.doors.trip = False
    await page.goto(site.origin + site.consent)


async def leaving(site: Site, page: Page) -> None:
    """The page that goes on by itself: here the provider has nothing to show, and the browser stays."""
    await page.route("https://auth.mailhub.example/**", lambda route: route.fulfill(status=204))
    await page.goto(site.origin + site.consent)
    async with page.expect_request("https://auth.mailhub.example/**"):
        await page.get_by_role("button", name="Continue to MailHub").click()


async def refused(site: Site, page: Page) -> None:
    await page.goto(site.origin + site.consent)
    await page.get_by_role("button", name="Do not allow").click()


async def partly(site: Site, page: Page) -> None:
    link = site.origin + site.consent
    await _ended(site, page, "partly", granted=("mail.read",), missing=("mail.send",), link=link, another_account=True)


async def went_wrong(site: Site, page: Page) -> None:
    given = {"error": "access_denied", "error_description": "The administrator does not allow it."}
    await _ended(site, page, "error", link=site.origin + site.consent, **given)


async def _ended(site: Site, page: Page, kind: str, **given: Any) -> None:
    site.doors.trip = False
    site.doors.ending = site.doors.finished(kind, manage_url="https://auth.mailhub.example/apps", **given)
    await page.goto(site.origin + site.consent)
    await page.get_by_role("button", name="Allow", exact=True).click()


async def no_flow(site: Site, page: Page) -> None:
    """Back from the provider in another browser."""
    await page.goto(f"{site.origin}/oauth/callback/mailhub?state=s&code=c")


async def connected(site: Site, page: Page) -> None:
    await _ended(site, page, "connected", granted=("mail.read", "mail.send"))


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
    "denied": (usual, denied),
    "held": (usual, held),
    "changed": (usual, changed),
    "unchanged": (usual, unchanged),
    "superseded": (usual, superseded),
    "overtaken": (usual, overtaken),
    "late": (usual, late),
    "several": (usual, several),
    "nothing": (usual, nothing),
    "strange": (usual, strange),
    "connect": (usual, connect),
    "once-more": (usual, once_more),
    "allow": (usual, allow),
    "leaving": (usual, leaving),
    "connected": (usual, connected),
    "refused": (usual, refused),
    "partly": (usual, partly),
    "went-wrong": (usual, went_wrong),
    "no-flow": (usual, no_flow),
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
