"""Presses that decide nothing: strangers, guests, the late, the removed, and what the message never offered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.slack.conftest import Offices
from tests.integration.slack.service import ALICE, ANA, BO, CY, DEE, EVE, RULES, Office

PAGE = RULES.replace('for_max = "1h", max_uses = 2', 'via = ["page"], for_max = "1h", max_uses = 2')
SEND = {"to": ["x@y.example"], "subject": "numbers"}


async def test_a_stranger_is_told_which_line_to_add(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    for button in ("approve", "Deny"):
        await office.click(message, button, EVE)
        told = await office.slack.until(lambda slack: [m for m in slack.messages if m.only_for == EVE])
        assert 'slack = "U0EVE"' in told[-1].plain
        assert "[people]" in told[-1].plain
        assert told[-1].channel == message.channel
        office.slack.messages.remove(told[-1])
    assert office.slack.views == []
    assert await office.undecided(asked)


async def test_a_member_of_another_workspace_is_nobody_here(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    others: tuple[Any, ...] = (
        {"user": {"id": BO, "team_id": "T999"}, "team": {"id": "T999"}},
        {"user": {"id": BO, "team_id": "T999"}},  # a guest, in a channel that two workspaces share
        {"user": {"id": BO}, "team": {"id": "T999"}},
        {"user": {"id": BO}, "team": None},
        {"user": {"id": BO, "team_id": ""}, "team": {"id": "T012"}},
    )
    for whose in others:
        payload = office.slack.payload_for_click(message, "approve", BO) | whose
        assert (await office.slack.deliver(payload, office.url)).status == 200
        told = await office.told("another workspace")
        assert told.only_for == BO
        office.slack.messages.remove(told)
    assert await office.undecided(asked)


async def test_nobody_decides_while_slack_does_not_tell_whose_workspace_it_is(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    office.slack.fail("auth.test", 500, "invalid_auth", "lost")
    for count in (1, 2, 3):
        await office.click(message, "approve", BO)
        await office.slack.until(
            lambda slack, count=count: sum("does not answer" in m.plain for m in slack.messages) == count
        )
    assert await office.undecided(asked)
    await office.click(message, "approve", BO)
    assert (await office.kit.ended(asked))["status"] == "succeeded"


async def test_who_may_not_decide_does_not(office: Office) -> None:
    """Alice is in the group, but it is done for her; Dee is in another."""
    asked = await office.ask()
    (message,) = await office.posted("hello")
    for user in (ALICE, DEE):
        for button in ("approve", "approve_for_900000"):
            await office.click(message, button, user)
            told = await office.told("not among those who may decide")
            assert told.only_for == user
            office.slack.messages.remove(told)
        await office.deny(message, user)
        office.slack.messages.remove(await office.told("not among those who may decide"))
    assert await office.undecided(asked)
    assert office.names(message)[0] == "Approve"


async def test_a_late_press_is_told_who_decided_on_the_page(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    assert (await office.kit.decide(await office.link(asked, "ana@example.com"))).status == 200
    await office.shows(message, "Approved by ana@example.com")
    assert office.names(message) == []
    old = message.updates[0]
    for button in ("approve", "approve_for_900000"):
        await office.click(old, button, BO)
        told = await office.told("decided already")
        assert "ana@example.com approved it at 20" in told.plain
        office.slack.messages.remove(told)
    await office.deny(old, CY)
    await office.told("ana@example.com approved it at 20")
    assert (await office.kit.ended(asked))["status"] == "succeeded"


async def test_the_page_is_told_who_decided_in_slack(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    url = await office.link(asked, "ana@example.com")
    await office.click(message, "approve", BO)
    await office.kit.ended(asked)
    late = await office.kit.decide(url)
    assert (late.status, late.json["code"]) == (409, "already_decided")
    assert [(each["by"], each["decision"]) for each in late.json["decided"]] == [("bo@example.com", "approve")]


async def test_an_edit_makes_the_old_message_decide_nothing(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    edited = await office.kit.decide(await office.link(asked, "ana@example.com"), params={"text": "good evening"})
    assert edited.status == 200
    await office.shows(message, "Asked again in another form")
    assert office.names(message) == []
    new = next(each for each in await office.posted("good evening", count=2) if office.names(each)[0] == "Approve")
    assert "Changed by an approver: text" in new.plain
    await office.click(message.updates[0], "approve", BO)
    await office.told("asked again in another form")
    assert await office.undecided(asked)
    await office.click(new, "approve", ANA)  # who edited does not decide
    await office.told("not among those who may decide")
    await office.click(new, "approve", BO)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    assert office.kit.mail.messages[-1]["text"] == "good evening"


async def test_what_ran_out_says_so(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    office.pass_time(3_600_001)
    await office.shows(message, "Time ran out")
    assert office.names(message) == []
    await office.click(message.updates[0], "approve", BO)
    await office.told("ran out before it was decided")
    assert (await office.kit.ended(asked))["status"] == "expired"


async def test_what_was_withdrawn_says_so(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    assert (await office.kit.call("POST", f"/executions/{asked}/cancel")).status == 200
    await office.shows(message, "Withdrawn by the agent")
    assert office.names(message) == []
    await office.click(message.updates[0], "approve", BO)
    await office.told("withdrew this request")
    assert (await office.kit.ended(asked))["status"] == "cancelled"


async def test_who_left_the_group_decides_no_more(resting: Office) -> None:
    async with resting.running():
        asked = await resting.ask()
        (message,) = await resting.posted("hello")
    resting.kit.policies = RULES.replace('"bo@example.com", "cy@example.com", "alice', '"bo@example.com", "alice')
    (resting.kit.folder / "policies.toml").write_text(resting.kit.policies)
    async with resting.running():
        await resting.click(message, "approve", CY)
        assert (await resting.told("not among those who may decide")).only_for == CY
        await resting.click(message, "approve", BO)
        assert (await resting.kit.ended(asked))["status"] == "succeeded"
    assert set(resting.copies().values()) == {1}


async def test_what_the_rules_keep_to_the_page_is_not_decided_here(offices: Offices) -> None:
    async with offices(PAGE) as office, office.running():
        asked = await office.ask()
        await office.ask("send_again", subject="numbers")
        (other,) = await office.posted("numbers")  # what is asked later was posted: the note was not
        assert not any("hello" in m.plain for m in office.slack.messages)
        (waiting,) = await office.waits_for(asked)
        for action in ("approve", "approve_for_900000", "deny"):
            await office.forged(other, ANA, waiting["id"], action)
            told = await office.told("on the page alone")
            assert f"/approvals/{waiting['id']}" in told.plain
            office.slack.messages.remove(told)
        await office.forged_form(other, ANA, waiting["id"])
        await office.told("on the page alone")
        assert await office.undecided(asked)
        assert office.slack.views == []


@pytest.mark.parametrize("details", ["full", "summary", "none"])
async def test_a_card_that_only_opens_is_not_decided_by_a_forged_press(offices: Offices, details: str) -> None:
    """The body is sensitive and so left out; with fewer details more is."""
    async with offices(details=details) as office, office.running():
        asked = await office.ask("send_message", **SEND, body="S3CRET-BODY")
        (message,) = await office.posted("HIGH RISK")
        (button,) = office.slack.buttons(message)
        ask = (await office.waits_for(asked))[0]["id"]
        assert (button["text"]["text"], button["url"]) == ("Open", f"{office.kit.url}/approvals/{ask}")
        for action in ("approve", "approve_for_900000", "deny"):
            await office.forged(message, CY, ask, action)
            told = await office.told("on the page alone")
            office.slack.messages.remove(told)
        await office.forged_form(message, CY, ask)
        await office.told("on the page alone")
        waiting = await office.waits_for(asked)
        assert [each["approved_by"] for each in waiting] == [[], []]
        told_all = "".join(m.plain for m in office.slack.messages) + str(office.slack.calls)
        assert "S3CRET" not in told_all
        assert ("numbers" in told_all) == (details != "none")


async def test_what_people_cannot_read_is_not_decided_here(office: Office) -> None:
    asked = await office.ask(text="A" * 5000)
    (message,) = await office.posted("Labels: opaque")
    assert office.names(message) == ["Open"]
    ask = (await office.waits_for(asked))[0]["id"]
    await office.forged(message, BO, ask, "approve")
    await office.told("on the page alone")
    assert await office.undecided(asked)


async def test_what_is_not_offered_decides_nothing(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    ask = (await office.waits_for(asked))[0]["id"]
    for action in (
        *("approve_for_7200000", "approve_for_1", "approve_for_0", "approve_for_-900000", "approve_for_" + "9" * 30),
        *("approve_for_9e5", "approve_for_", "approve_for_\u0669", "APPROVE", "approve ", "approved", ""),
    ):
        await office.forged(message, BO, ask, action)
        office.slack.messages.remove(await office.told("on the page alone"))
    assert await office.undecided(asked)


async def test_one_kind_of_question_is_not_answered_as_another(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    ask = (await office.waits_for(asked))[0]["id"]
    office.kit.mail.faults = ["hang-up"]
    lost = (await office.kit.execute("note", params={"text": "x"})).json["id"]
    (other,) = await office.posted("what became of this call?")
    unknown = office.slack.buttons(other)[0]["value"]
    await office.forged(other, BO, unknown, "approve")
    await office.told("There is no such request")
    await office.forged(message, BO, ask, "happened")
    (view,) = await office.slack.until(lambda slack: slack.views)
    office.slack.messages.remove(await office.told("There is no such request"))
    await office.submit(view, words="so it was")
    await office.told("There is no such request")
    assert await office.undecided(asked)
    assert (await office.kit.ended(lost))["status"] == "unknown"
