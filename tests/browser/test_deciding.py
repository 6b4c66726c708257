"""Deciding with fingers and keys alone: each form sends what stands on it, and nothing that was not touched."""

from __future__ import annotations

import re

from msgspec.structs import replace
from playwright.async_api import Page, expect

from tests.integration.pages.conftest import serving
from tests.integration.pages.standin import DIGEST, ROUND
from tests.integration.pages.states import usual


async def test_approving_for_a_while_is_a_button_of_its_own(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.approval)
        names = [await each.inner_text() for each in await page.get_by_role("button").all()]
        assert names[:2] == ["Approve", "Deny"]
        await page.get_by_role("button", name="Approve for 1 hour").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("You approved this")
        assert [(choice.verdict, choice.hold) for choice in site.doors.chosen] == [("approve", 3_600_000)]


async def test_the_enter_key_in_a_message_decides_nothing(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.approval)
        await page.get_by_label("Message to the agent").press("Enter")
        await page.get_by_text("Change it before it is sent").click()
        assert site.doors.chosen == []
        # In a field of the form that changes, it can only change: here nothing was.
        await page.get_by_label("subject").press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("That cannot be taken")
        assert (site.doors.chosen, len(site.doors.votes)) == ([], 1)


async def test_a_browser_sends_untouched_values_back_as_they_were(page: Page) -> None:
    doors = usual()
    params = doors.execution.params | {"subject": "\n Two\r\nlines\u200b\u202e  ", "to": ["x@y.example", "b@y.example"]}
    decision = replace(doors.execution.decision, editable=("subject", "to", "body"))
    doors.execution = replace(doors.execution, params=params, decision=decision)
    async with serving(doors) as site:
        await page.goto(site.origin + site.approval)
        await page.get_by_text("Change it before it is sent").click()
        await page.get_by_label(re.compile("^to ")).fill("x@y.example")
        await page.get_by_role("button", name="Ask anew with these changes").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("You changed this, and it is asked anew")
        (choice,) = site.doors.chosen
        assert choice.params == {"to": ["x@y.example"]}
        assert choice.digest == DIGEST


async def test_several_are_decided_with_the_keyboard_alone(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.approval)
        await page.get_by_role("link", name="See all that waits").click()
        await expect(page).to_have_url(re.compile("/all$"))
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")  # past the head of the page
        for _ in range(40):
            await page.keyboard.press("Tab")
            kind = await page.evaluate("[document.activeElement.type, document.activeElement.value].join(' ')")
            if kind.startswith("checkbox"):
                await page.keyboard.press("Space")
            if kind == "submit deny":
                break
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("You denied 3 requests")
        assert set(site.doors.together[0]) == {ROUND.id, "apr_other1", "apr_other2"}
        assert {choice.verdict for choice in site.doors.together[0].values()} == {"deny"}
        await page.get_by_role("link", name="See what still waits").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("for you")


async def test_one_of_the_list_is_opened_and_decided_alone(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.all)
        await page.get_by_role("link", name=re.compile("Number 2")).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Number 2")
        await page.get_by_role("button", name="Deny", exact=True).click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("You denied this")
        assert [list(each) for each in site.doors.together] == [["apr_other2"]]


async def test_a_gathered_link_opens_the_list(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.gathered)
        await expect(page.get_by_role("checkbox")).to_have_count(3)
        for box in await page.get_by_role("checkbox").all():
            assert not await box.is_checked()


async def test_going_back_ticks_nothing_by_itself(page: Page) -> None:
    async with serving(usual()) as site:
        await page.goto(site.origin + site.all)
        await page.get_by_role("checkbox").first.check()
        await page.reload()
        for box in await page.get_by_role("checkbox").all():
            assert not await box.is_checked()
        assert site.doors.together == []
