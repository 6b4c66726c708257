"""`/me` in Chromium: signed in at an issuer on another origin, disconnected, stopped, signed out; as it is drawn."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect
from pytest_asyncio import fixture

from tests.browser.conftest import ALICE, Site, service, sign_in
from tests.browser.test_accessible import look
from tests.browser.test_layout import CONTRAST
from tests.fakes.issuer import HostileIssuer
from tests.fakes.provider_dot import DotProvider

LONG = "Q" * 150 + " \u202e" + "paypal@\u0430pple.com \u05d0\u05d1\u05d2@example.com"


@fixture(loop_scope="session")
async def home(provider: DotProvider, tmp_path: Path) -> AsyncIterator[Site]:
    """The service with an issuer that takes everybody for Alice."""
    async with HostileIssuer(time.time).running() as issuer:
        issuer.claims = {"email": ALICE, "sub": "alice"}
        config = f"""
[issuers.corp]
issuer = "{issuer.url}"
client_id = "{issuer.client_id}"
client_secret = "{issuer.client_secret}"
domains = ["example.com"]
"""
        async with service(provider, tmp_path, config) as site:
            yield site


async def connect(page: Page, site: Site) -> None:
    execution = await site.execute("list_messages", {})
    await page.goto(site.consent(execution))
    await page.get_by_role("button", name=re.compile("^Continue")).click()
    await sign_in(page)
    await expect(page.get_by_role("heading", level=1)).to_contain_text("mailbot may use")
    await site.ended(execution)


async def test_sign_in_disconnect_and_sign_out(page: Page, home: Site) -> None:
    await connect(page, home)
    await page.goto(f"{home.url}/me")
    await expect(page).to_have_url(f"{home.url}/me")
    await expect(page.get_by_text(f"Signed in as {ALICE}")).to_be_visible()
    await expect(page.get_by_text("Read your e-mail")).to_be_visible()
    await page.get_by_role("button", name="Disconnect", exact=True).click()
    await expect(page.get_by_text("The account is disconnected")).to_be_visible()
    await expect(page.get_by_text("You have connected nothing")).to_be_visible()
    assert (await home.execute("list_messages", {}))["status"] == "paused"
    await page.get_by_role("button", name="Stop this agent").click()
    await expect(page.get_by_text("stopped by you")).to_be_visible()
    assert (await home.execute("list_messages", {}))["code"] == "revoked"
    await page.get_by_role("button", name="Allow this agent again").click()
    await expect(page.get_by_text("stopped by you")).to_have_count(0)
    await page.get_by_role("button", name="This was not me").first.click()
    await expect(page.get_by_text("the operators have been told")).to_be_visible()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out here")
    assert [each["name"] for each in await page.context.cookies() if each["name"] == "jat_session"] == []
    await page.go_back()
    await expect(page.get_by_text("Read your e-mail")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_drawn_well_small_and_large_without_scripts(
    chromium: Browser, home: Site, tmp_path: Path, scheme: str
) -> None:
    context = await chromium.new_context(
        color_scheme="dark" if scheme == "dark" else "light", java_script_enabled=False
    )
    page = await context.new_page()
    await connect(page, home)
    await home.execute("send_message", {"to": ["x@y.example"], "subject": LONG, "body": "b"}, reason="r" * 500)
    await page.goto(f"{home.url}/me")
    await expect(page.get_by_role("heading", level=1)).to_have_text("What agents do in your name")
    for width in (320, 390, 1200):
        await page.set_viewport_size(ViewportSize(width=width, height=800))
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for button in await page.get_by_role("button").all():
            box = await button.bounding_box()
            assert box is not None
            assert box["height"] >= 44
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        await page.screenshot(path=tmp_path / f"me-{scheme}-{width}.png", full_page=True)
    assert await page.evaluate(CONTRAST) == []
    await context.close()


async def test_axe_finds_nothing_on_it(chromium: Browser, home: Site) -> None:
    context = await chromium.new_context(bypass_csp=True)  # the page allows no scripts; axe is one
    page = await context.new_page()
    await connect(page, home)
    await home.execute("send_message", {"to": ["x@y.example"], "subject": LONG, "body": "b"})
    await page.goto(f"{home.url}/me")
    assert await look(page, off=[]) == {}
    await page.get_by_role("button", name="Stop this agent").click()
    await expect(page.get_by_text("stopped by you")).to_be_visible()
    assert await look(page, off=[]) == {}
    await page.get_by_role("button", name="Sign out", exact=True).click()
    assert await look(page, off=[]) == {}
    await context.close()
