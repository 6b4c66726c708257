"""Deciding in Slack, through the whole service: whoever presses is one eligible person, and decides once."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.slack.conftest import Offices
from tests.integration.slack.service import ALICE, ANA, BO, CHANNEL, CY, Office


async def test_a_group_is_asked_once_in_the_channel_and_one_press_decides(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    assert message.channel == CHANNEL
    assert office.names(message) == ["Approve", "Approve for 15 minutes", "Approve for 1 hour", "Deny", "Open"]
    ask = office.slack.buttons(message)[0]["value"]
    assert {each.get("value") for each in office.slack.buttons(message)} == {ask}
    assert office.slack.buttons(message)[-1]["url"] == f"{office.kit.url}/approvals/{ask}"
    assert message.text.startswith("[test] MEDIUM RISK: Leave a note")
    await office.click(message, "approve", BO)
    await office.shows(message, "Approved by bo@example.com")
    await office.shows(message, "Sent. MailHub answered 201.")
    assert office.names(message) == []
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    assert set(office.copies().values()) == {1}


async def test_one_person_is_asked_directly_and_denies_with_a_reason(office: Office) -> None:
    asked = await office.ask("send_again", subject="numbers")
    (message,) = await office.posted("numbers")
    assert message.channel == office.slack.ims[ANA]
    await office.click(message, "Deny", ANA)
    (view,) = await office.slack.until(lambda slack: slack.views)
    blocks = {e["element"]["action_id"]: e["block_id"] for e in view.view["blocks"] if e["type"] == "input"}
    values = {(blocks["reason"], "reason"): "Not now", (blocks["words"], "words"): "Ask me on Monday"}
    answer = await office.slack.submit(view, values, url=office.url)
    assert (answer.status, answer.trouble) == (200, "")
    ended = await office.kit.ended(asked)
    assert (ended["status"], ended["error"]["code"]) == ("denied", "approval_denied")
    assert ended["error"]["feedback"] == "Not now: Ask me on Monday"
    await office.shows(message, "Denied by ana@example.com")
    assert office.names(message) == []


async def test_of_two_who_press_at_once_one_decides_and_the_other_is_told(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    await asyncio.gather(office.click(message, "approve", BO), office.click(message, "approve", CY))
    told = await office.told("decided already")
    first = "bo@example.com" if told.only_for == CY else "cy@example.com"
    assert {told.only_for} <= {BO, CY}
    assert f"{first} approved it at 20" in told.plain
    await office.shows(message, f"Approved by {first}")
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    assert [each["text"] for each in office.kit.mail.messages] == ["x", "hello"]


async def test_a_press_that_is_delivered_again_decides_once(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    payload = office.slack.payload_for_click(message, "approve", BO)
    for _ in range(3):
        assert (await office.slack.deliver(payload, office.url)).status == 200
    told = await office.told("decided already")
    assert told.only_for == BO
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    assert [each["text"] for each in office.kit.mail.messages] == ["x", "hello"]


async def test_two_of_a_group_are_needed(office: Office) -> None:
    asked = await office.ask("note_again")
    (message,) = await office.posted("It takes: 2 approvals of the group finance")
    await office.click(message, "approve", BO)
    assert (await office.told("It waits for others")).only_for == BO
    await office.shows(message, "Approved by bo@example.com")
    assert office.names(message)[0] == "Approve"
    await office.click(message, "approve", BO)
    assert "bo@example.com approved it" in (await office.told("decided already")).plain
    await office.click(message, "approve", CY)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    await office.shows(message, "Approved by bo@example.com, cy@example.com")
    assert office.names(message) == []


async def test_approved_for_a_while_an_equal_call_goes_through_unasked(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    await office.click(message, "Approve for 15 minutes", BO)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    again = await office.kit.execute("note", params={"text": "hello"})
    assert (again.status, again.json["status"]) == (200, "succeeded")
    office.pass_time(900_000)
    assert (await office.kit.execute("note", params={"text": "hello"})).status == 202
    await office.posted("hello", count=1)


async def test_a_denial_needs_no_reason(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    await office.deny(message, BO)
    ended = await office.kit.ended(asked)
    assert (ended["status"], ended["error"]["code"], ended["error"]["feedback"]) == ("denied", "approval_denied", None)
    await office.shows(message, "Denied by bo@example.com")


async def test_what_is_written_into_the_form_is_shown_as_it_is(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    words = "<!channel> no\nApproved by ana@example.com\u202e"
    await office.deny(message, BO, words=words)
    assert (await office.kit.ended(asked))["error"]["feedback"] == words
    await office.shows(message, "Denied by bo@example.com")
    lines = [line.strip() for line in message.plain.split("\n")]
    assert not any(line.startswith("Approved by") for line in lines)
    assert "<!channel>" not in message.text


async def test_a_denial_counts_where_slack_opens_no_form(office: Office) -> None:
    for fault in ("expired_trigger_id", 500, "refused"):
        asked = await office.ask(text=f"hello {fault}")
        (message,) = await office.posted(f"hello {fault}")
        office.slack.fail("views.open", fault)
        await office.click(message, "Deny", BO)
        assert (await office.kit.ended(asked))["status"] == "denied"
        await office.shows(message, "Denied by bo@example.com")
    assert office.slack.views == []


async def test_a_form_that_comes_too_late_decides_nothing(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    await office.click(message, "Deny", BO)
    (view,) = await office.slack.until(lambda slack: slack.views)
    await office.click(message, "approve", CY)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    await office.submit(view, words="no!")
    told = await office.told("decided already")
    assert (told.only_for, "cy@example.com approved it" in told.plain) == (BO, True)


async def test_people_say_what_became_of_a_lost_call(office: Office) -> None:
    office.kit.mail.faults = ["hang-up"]
    lost = await office.kit.execute("note", params={"text": "x"})
    assert lost.json["status"] == "unknown"
    (message,) = await office.posted("what became of this call?")
    assert message.channel == CHANNEL
    assert office.names(message) == ["It happened", "It did not happen", "Open"]
    await office.click(message, "happened", ALICE)
    (form,) = await office.slack.until(lambda slack: slack.views)
    await office.submit(form, words="I say so")
    assert (await office.told("not among those who may answer")).only_for == ALICE
    await office.click(message, "did_not_happen", BO)
    (_, view) = await office.slack.until(lambda slack: slack.views if len(slack.views) == 2 else None)
    with pytest.raises(AssertionError, match="must be filled in"):
        office.slack.payload_for_submit(view, {})
    forged = office.slack.payload_for_submit(view, {(view.view["blocks"][1]["block_id"], "words"): "x"})
    forged["view"]["state"] = {"values": {}}
    await office.slack.deliver(forged, office.url)
    assert (await office.told("Say how you found out")).only_for == BO
    assert (await office.kit.ended(lost.json["id"]))["status"] == "unknown"
    await office.submit(view, words="Nothing in the outbox")
    await office.told("it is on record")
    ended = await office.kit.ended(lost.json["id"])
    assert (ended["status"], ended["error"]["feedback"]) == ("failed", "Nothing in the outbox")
    await office.shows(message, "an outcome was found out")
    assert office.names(message) == []


async def test_a_lost_call_that_happened(office: Office) -> None:
    office.kit.mail.faults = ["hang-up"]
    lost = (await office.kit.execute("note", params={"text": "x"})).json["id"]
    (message,) = await office.posted("what became of this call?")
    office.slack.fail("views.open", "expired_trigger_id")
    await office.click(message, "happened", BO)
    await office.told("did not open the form")
    await office.click(message, "happened", BO)
    (view,) = await office.slack.until(lambda slack: slack.views)
    await office.submit(view, words="It is in the outbox")
    await office.told("it is on record")
    assert (await office.kit.ended(lost))["status"] == "succeeded"


async def test_a_user_is_asked_for_consent_directly(resting: Office) -> None:
    async with resting.kit.running():
        answer = await resting.kit.execute("note", params={"text": "x"})
        (message,) = await resting.posted("asks for your consent")
        assert message.channel == resting.slack.ims[ALICE]
        (button,) = resting.slack.buttons(message)
        assert button["text"]["text"] == "Review and connect"
        assert button["url"] == answer.json["waiting_for"][0]["url"]
        assert "Send e-mail as you" in message.plain
        await resting.kit.connect(answer)
        await resting.shows(message, "\u00b7 answered")
        assert resting.names(message) == []
        assert set(resting.copies().values()) == {1}


async def test_without_a_channel_each_member_of_the_group_is_asked(offices: Offices) -> None:
    async with offices(channel=None) as office, office.running():
        asked = await office.ask()
        messages = await office.posted("hello", count=3)
        assert {m.channel for m in messages} == {office.slack.ims[each] for each in (ANA, BO, CY)}
        links = [office.slack.buttons(m)[-1]["url"] for m in messages]
        assert len(set(links)) == 3
        assert all("/approvals/jat_" in link for link in links)
        await office.click(messages[0], "approve", BO)
        assert (await office.kit.ended(asked))["status"] == "succeeded"
        for message in messages:
            await office.shows(message, "Approved by bo@example.com")
            assert office.names(message) == []


async def test_by_socket_no_door_is_open(offices: Offices) -> None:
    async with offices(socket=True) as office, office.running():
        await office.slack.until(lambda slack: slack.sockets)
        body = b"payload={}"
        assert (await office.slack.post(office.url, body, office.slack.signed(body))).status == 404
