"""Consent and approval clicked through in Chromium, against the real service and a provider on other origins."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from tests.browser.conftest import Site, sign_in
from tests.fakes.serving import serving

MAIL: dict[str, Any] = {"to": ["x@y.example"], "subject": "Numbers", "body": "Dear Bo,\n\nhere they are."}


async def test_consent_then_approval_then_the_call_is_sent(page: Page, site: Site) -> None:
    execution = await site.execute("send_message", MAIL, reason="Alice asked for it.")
    assert execution["status"] == "paused"

    await page.goto(site.consent(execution))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("for mailbot?")
    await expect(page.get_by_text("Send e-mail as you")).to_be_visible()
    await page.get_by_role("button", name=re.compile("^Continue")).click()
    await sign_in(page)
    await expect(page).to_have_url(re.compile(f"^{site.url}/oauth/callback/mailhub"))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("mailbot may use")

    await page.goto(await site.approval(execution))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Send to x@y.example: Numbers")
    await page.get_by_label("Message to the agent").fill("Fine.")
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("You approved this")
    assert (await site.ended(execution))["status"] == "succeeded"

    await page.goto(await site.approval(execution))
    await expect(page.get_by_text("This question is answered")).to_be_visible()
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)


async def test_connecting_before_any_call(page: Page, site: Site) -> None:
    asked = await site.connect("list_messages", "send_message")
    await page.goto(asked["url"])
    await expect(page.get_by_role("heading", level=1)).to_contain_text("for mailbot?")
    await expect(page.get_by_text("Wants to be able to")).to_be_visible()
    for words in ("List messages", "Send an e-mail", "Read your e-mail", "Send e-mail as you"):
        await expect(page.get_by_text(words).first).to_be_visible()
    await page.get_by_role("button", name=re.compile("^Continue")).click()
    await sign_in(page)
    await expect(page).to_have_url(re.compile(f"^{site.url}/oauth/callback/mailhub"))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("mailbot may use")
    assert (await site.connect("list_messages", "send_message"))["status"] == "connected"
    assert (await site.execute("list_messages", {}))["status"] == "succeeded"
    await page.goto(asked["url"])
    await expect(page.get_by_role("heading", level=1)).to_have_text("This was finished before")


async def test_deny_with_the_keyboard_alone(page: Page, site: Site) -> None:
    execution = await site.execute("send_message", MAIL)
    await page.goto(await site.approval(execution))
    reached = []
    for _ in range(8):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.textContent.trim()"))
        if reached[-1] == "Deny":
            break
    assert reached == ["Skip to the content", "The request, byte for byte", "", "Approve", "Deny"]
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("You denied this")
    ended = await site.ended(execution)
    assert (ended["status"], ended["error"]["code"]) == ("denied", "approval_denied")


async def test_the_way_back_leads_to_where_the_user_came_from(page: Page, site: Site) -> None:
    target = f"{site.url}/approvals/apr_back"
    execution = await site.execute("list_messages", {}, return_url=target)
    await page.goto(site.consent(execution))
    await page.get_by_role("button", name=re.compile("^Continue")).click()
    await sign_in(page)
    await expect(page).to_have_url(target)
    assert (await site.ended(execution))["status"] == "succeeded"


async def test_a_part_is_not_the_whole(page: Page, site: Site) -> None:
    execution = await site.execute("send_message", MAIL)
    await page.goto(site.consent(execution))
    await page.get_by_role("button", name=re.compile("^Continue")).click()
    await sign_in(page, untick="Send mail as you")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("allowed only a part")
    await expect(page.get_by_text("Send e-mail as you")).to_be_visible()
    await page.get_by_role("link", name="Allow the rest").click()
    await expect(page.get_by_role("button", name=re.compile("^Continue"))).to_be_visible()


async def test_no_at_the_provider_and_no_on_our_page(page: Page, site: Site) -> None:
    first = await site.execute("list_messages", {})
    await page.goto(site.consent(first))
    await page.get_by_role("button", name=re.compile("^Continue")).click()
    await sign_in(page, answer="Deny")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("was not allowed")
    assert (await site.ended(first))["error"]["code"] == "consent_refused"
    second = await site.execute("send_message", MAIL)
    await page.goto(site.consent(second))
    await page.get_by_role("button", name="Do not allow").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("was not allowed")
    assert (await site.ended(second))["error"]["code"] == "consent_refused"


@pytest.mark.parametrize("policy", ["same-origin", "no-referrer"])
async def test_another_site_can_neither_post_nor_frame_a_decision(page: Page, site: Site, policy: str) -> None:
    execution = await site.execute("send_message", MAIL)
    link = await site.approval(execution)

    async def trap(request: web.Request) -> web.Response:
        text = (
            f'<title>Trap</title><form method="post" action="{link}"><input name="decision" value="approve">'
            f'<input name="digest" value="{execution["digest"]}"><button>Win</button></form>'
            f'<iframe src="{link}" title="framed"></iframe>'
        )
        return web.Response(text=text, content_type="text/html", headers={"Referrer-Policy": policy})

    app = web.Application()
    app.add_routes([web.get("/", trap)])
    async with serving(app) as url:
        # Another name of this machine: another site for the browser.
        frames = page.context
        trap_page = await frames.new_page()
        await trap_page.goto(url.replace("127.0.0.1", "localhost"))
        assert await trap_page.frames[1].locator("form").count() == 0
        await trap_page.get_by_role("button", name="Win").click()
        await expect(trap_page.get_by_role("heading", level=1)).to_have_text("Nothing was decided")
    await page.goto(link)
    await expect(page.get_by_text("Nobody yet")).to_be_visible()
