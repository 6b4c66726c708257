"""Slack is away, slow or in a mood: every request arrives, once, and every copy ends up true."""

from __future__ import annotations

import logging

import pytest

from tests.fakes.slack import Slack
from tests.fakes.smtp import mail_server
from tests.integration.slack.conftest import Offices
from tests.integration.slack.service import ANA, BO, CHANNEL, CY, Office

HOUR = 3_600_000
BEGINS = "jit_auth"


async def test_after_ten_minutes_away_every_request_arrives_once(office: Office) -> None:
    office.slack.down = True
    asked = [await office.ask(text=f"number {n}") for n in range(5)]
    direct = await office.ask("send_again", subject="numbers")
    for _ in range(10):
        await office.pass_and_turn(60_000)
    office.slack.down = False
    for number in range(5):
        await office.arrives(f"number {number}")
    await office.arrives("numbers")
    assert set(office.copies().values()) == {1}
    assert await office.undecided(asked[0])
    (message,) = await office.posted("numbers")
    await office.click(message, "approve", ANA)
    assert (await office.kit.ended(direct))["status"] == "succeeded"


async def test_what_was_decided_while_slack_was_away_has_no_button_left(resting: Office) -> None:
    async with resting.running():
        asked = await resting.ask()
        (message,) = await resting.posted("hello")
        resting.slack.down = True
        await resting.kit.decide(await resting.link(asked, "ana@example.com"))
        await resting.kit.ended(asked)
    async with resting.running():
        await resting.pass_and_turn(60_001)
        resting.slack.down = False
        await resting.pass_and_turn(60_001)
        await resting.shows(message, "Sent. MailHub answered 201.")
        assert resting.names(message) == []
    assert set(resting.copies().values()) == {1}


@pytest.mark.parametrize("fault", ["lost", "hang"])
async def test_a_message_whose_answer_was_lost_is_found_again(office: Office, fault: str) -> None:
    office.slack.fail("chat.postMessage", fault)
    asked = await office.ask()
    await office.slack.until(lambda slack: any("hello" in str(c) for c in slack.calls))
    office.slack.release()
    (message,) = await office.posted("hello")
    for _ in range(2):
        await office.pass_and_turn(60_001)
    assert set(office.copies().values()) == {1}
    await office.click(message, "approve", BO)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    await office.shows(message, "Approved by bo@example.com")


async def test_what_was_decided_before_a_lost_answer_was_made_good_has_no_button_left(office: Office) -> None:
    office.slack.fail("chat.postMessage", "lost")
    asked = await office.ask()
    (message,) = await office.posted("hello")
    await office.click(message, "approve", BO)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    for _ in range(3):
        await office.pass_and_turn(60_001)
    assert "Approved by bo@example.com" in message.plain
    assert office.names(message) == []
    assert set(office.copies().values()) == {1}


async def test_what_was_decided_before_it_could_be_posted_is_not_posted(office: Office) -> None:
    office.slack.fail("chat.postMessage", "refused")
    asked = await office.ask()
    await office.slack.until(lambda slack: any("hello" in str(c) for c in slack.calls))
    await office.kit.decide(await office.link(asked, "ana@example.com"))
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    for _ in range(3):
        await office.pass_and_turn(60_001)
    assert not any("MEDIUM RISK" in m.text for m in office.slack.messages)


async def test_a_service_that_died_after_posting_posts_no_second_card(resting: Office) -> None:
    async with resting.running():
        resting.slack.fail("chat.postMessage", "hang")
        await resting.ask()
        await resting.slack.until(lambda slack: any("hello" in str(c) for c in slack.calls))
    resting.slack.release()
    (message,) = await resting.posted("hello")
    async with resting.running():
        await resting.pass_and_turn(60_001)
        await resting.slack.until(lambda slack: message.updates)
        assert set(resting.copies().values()) == {1}
        assert resting.names(message)[0] == "Approve"


async def test_a_found_message_among_many(office: Office) -> None:
    """More than a page of others came in between."""
    office.slack.fail("chat.postMessage", "lost")
    await office.ask()
    (message,) = await office.posted("hello")
    for number in range(250):
        office.slack.say(CHANNEL, f"chat {number}")
    await office.pass_and_turn(60_001)
    await office.slack.until(lambda slack: message.updates)
    assert set(office.copies().values()) == {1}


async def test_a_pause_that_slack_asks_for_is_kept_for_that_channel(office: Office) -> None:
    office.slack.retry_after = 30
    before = office.slack.count("chat.postMessage")
    office.slack.fail("chat.postMessage", "ratelimited")
    await office.ask(text="one")
    await office.slack.until(lambda slack: slack.count("chat.postMessage") == before + 1)
    await office.ask(text="two")
    await office.pass_and_turn(25_000)
    assert office.slack.count("chat.postMessage") == before + 1
    await office.ask("send_again", subject="numbers")  # a direct message
    await office.posted("numbers")
    assert office.slack.count("chat.postMessage") == before + 2
    await office.pass_and_turn(5_001)
    await office.posted("one")
    await office.posted("two")
    assert office.slack.count("chat.postMessage") == before + 4
    assert set(office.copies().values()) == {1}


async def test_trouble_at_slack_delays_and_no_more(office: Office) -> None:
    faults = (500, 502, 200, 404, "fatal_error", "internal_error", "service_unavailable", "refused", "ratelimited")
    for fault in faults:
        office.slack.fail("chat.postMessage", fault)
        text = f"met {fault}."
        await office.ask(text=text)
        await office.slack.until(lambda slack, text=text: any(text in str(c.arguments) for c in slack.calls))
        await office.arrives(text)
    assert set(office.copies().values()) == {1}


async def test_blocks_that_slack_will_not_have_leave_what_it_is_and_where_to_read_it(office: Office) -> None:
    for fault in ("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"):
        office.slack.fail("chat.postMessage", fault)
        asked = await office.ask(text=f"met {fault}")
        ask = (await office.waits_for(asked))[0]["id"]
        (message,) = await office.slack.until(
            lambda slack, ask=ask: [m for m in slack.messages if f"/approvals/{ask}" in m.plain]
        )
        assert office.names(message) == ["Open"]
        assert "MEDIUM RISK: Leave a note" in message.text
        assert f"met {fault}" not in message.plain
        await office.kit.decide(await office.link(asked, "ana@example.com"))
        await office.shows(message, "Approved by ana@example.com")
        assert office.names(message) == []
    assert set(office.copies().values()) == {1}


async def test_a_message_that_somebody_deleted_is_posted_again_while_it_is_asked(office: Office) -> None:
    asked = await office.ask("note_again", text="good morning")
    (message,) = await office.posted("good morning")
    message.deleted = True
    await office.click(message, "approve", BO)  # his screen was older
    (_, new) = await office.posted("good morning", count=2)
    assert "Approved by bo@example.com" in new.plain
    assert office.names(new)[0] == "Approve"
    new.deleted = True
    updates = office.slack.count("chat.update")
    await office.click(new, "approve", CY)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    await office.slack.until(lambda slack: slack.count("chat.update") > updates)
    await office.pass_and_turn(60_001)
    assert len(await office.posted("good morning", count=2)) == 2


async def test_a_change_whose_answer_was_lost_is_made_again(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    office.slack.fail("chat.update", "refused", "lost", 500)
    await office.click(message, "approve", BO)
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    for _ in range(3):
        await office.pass_and_turn(60_001)
    await office.shows(message, "Sent. MailHub answered 201.")
    assert office.names(message) == []
    assert set(office.copies().values()) == {1}


def beneath(slack: Slack) -> list[str]:
    return [m.text for m in slack.messages if m.thread_ts is not None]


async def test_reminders_and_the_warning_are_said_once_each_beneath_the_message(office: Office) -> None:
    await office.ask("send_again", subject="numbers")
    (message,) = await office.posted("numbers")
    for count in (1, 2):
        office.slack.fail("chat.postMessage", "lost")
        await office.pass_and_turn(HOUR)
        await office.slack.until(lambda slack, count=count: len(beneath(slack)) >= count)
        await office.pass_and_turn(60_001)
        await office.pass_and_turn(60_001)
        assert len(beneath(office.slack)) == count
    assert all("still waits" in text for text in beneath(office.slack))
    office.slack.fail("chat.postMessage", "lost")
    await office.pass_and_turn(HOUR + HOUR * 8 // 10)
    await office.slack.until(lambda slack: any("runs out on" in text for text in beneath(slack)))
    await office.pass_and_turn(60_001)
    await office.pass_and_turn(60_001)
    said = beneath(office.slack)
    assert sum("runs out on" in text for text in said) == 1
    replies = [m for m in office.slack.messages if m.thread_ts is not None]
    assert {(m.thread_ts, m.broadcast, m.channel) for m in replies} == {(message.ts, True, message.channel)}
    await office.click(message, "approve", ANA)
    await office.shows(message, "Approved by ana@example.com")
    await office.pass_and_turn(HOUR)
    assert beneath(office.slack) == said


async def test_beyond_so_many_an_hour_requests_come_in_one_message(offices: Offices) -> None:
    async with offices(more="\n[limits]\nasks_per_person_hour = 2\n") as office, office.running():
        asked = [await office.ask(text="number 0"), await office.ask(text="number 1")]
        await office.posted("number 0")
        await office.posted("number 1")
        asked += [await office.ask(text=f"number {n}") for n in (2, 3, 4)]
        await office.pass_and_turn(0)
        office.slack.fail("chat.postMessage", "lost")
        await office.pass_and_turn(10_001)
        (message,) = await office.posted("5 requests wait for you")
        await office.pass_and_turn(60_001)
        ids = {(await office.waits_for(each))[0]["id"] for each in asked}
        urls = {each["url"] for each in office.slack.buttons(message)}
        assert urls == {f"{office.kit.url}/approvals/{each}" for each in ids}
        assert not any("number 2" in m.plain for m in office.cards() if m is not message)
        await office.ask(text="number 5")
        await office.pass_and_turn(HOUR)
        await office.pass_and_turn(10_001)
        assert set(office.copies().values()) == {1}


async def test_a_person_whom_slack_does_not_know_gets_a_mail(
    offices: Offices, caplog: pytest.LogCaptureFixture
) -> None:
    async with mail_server() as server:
        mail = f'\n[channels.email]\nsmtp_url = "smtp://127.0.0.1:{server.port}"\nfrom = "approvals@example.com"\n'
        async with offices(more=mail) as office:
            del office.slack.users[ANA]
            # With both channels everybody gets both; Slack's refusal must not cost the mail, nor repeat it.
            async with office.running():
                asked = await office.ask("send_again", subject="numbers")
                await server.took.wait()
                await office.pass_and_turn(60_001)
                assert len(server.inbox("ana@example.com")) == 1
                assert await office.undecided(asked)
    assert any("slack will never reach a person" in record.message for record in caplog.records)
    assert any("user_not_found" in record.message for record in caplog.records)


async def test_what_was_decided_by_mail_has_no_button_in_slack(offices: Offices) -> None:
    async with mail_server() as server:
        mail = f'\n[channels.email]\nsmtp_url = "smtp://127.0.0.1:{server.port}"\nfrom = "approvals@example.com"\n'
        async with offices(more=mail) as office, office.running():
            asked = await office.ask("send_again", subject="numbers")
            (message,) = await office.posted("numbers")
            while not (inbox := server.inbox("ana@example.com")):
                server.took.clear()
                await server.took.wait()
            (url,) = (line for line in inbox[0].text.splitlines() if "/approvals/jat_" in line)
            assert (await office.kit.decide(url.strip())).status == 200
            await office.shows(message, "Approved by ana@example.com")
            assert office.names(message) == []
            await office.click(message.updates[0], "approve", ANA)
            assert "ana@example.com approved it at" in (await office.told("decided already")).plain
            assert (await office.kit.ended(asked))["status"] == "succeeded"


async def test_faults_of_the_settings_make_copies_wait_until_they_are_corrected(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.slack.channels.remove(CHANNEL)
    office.slack.other_channels.add(CHANNEL)
    with caplog.at_level(logging.WARNING, BEGINS):
        await office.ask(text="uninvited")
        await office.slack.until(lambda slack: any("uninvited" in str(c.arguments) for c in slack.calls))
        await office.pass_and_turn(1_000)
    assert "not_in_channel" in caplog.text
    office.slack.other_channels.clear()
    office.slack.channels.add(CHANNEL)
    await office.arrives("uninvited")
    for word in ("token_revoked", "account_inactive", "missing_scope", "channel_not_found", "is_archived"):
        office.slack.fail("chat.postMessage", word, word)
        await office.ask(text=f"met {word}")
        await office.slack.until(lambda slack, word=word: any(f"met {word}" in str(c.arguments) for c in slack.calls))
        await office.arrives(f"met {word}")
    assert set(office.copies().values()) == {1}
    assert office.slack.bot_token not in caplog.text


async def test_an_answer_goes_by_the_press_itself_where_the_channel_is_closed(office: Office) -> None:
    asked = await office.ask()
    (message,) = await office.posted("hello")
    office.slack.fail("chat.postEphemeral", "channel_not_found")
    payload = office.slack.payload_for_click(message, "approve", "U0EVE")
    await office.slack.deliver(payload, office.url)
    told = await office.told('slack = "U0EVE"')
    assert told.only_for == "U0EVE"
    assert office.slack.count("response_url") == 1
    assert "Approve" in office.names(message)  # the message itself is left as it is
    office.slack.fail("chat.postEphemeral", 500)
    office.slack.fail("response_url", 500)
    await office.click(message, "approve", "U0EVE")
    await office.slack.until(lambda slack: slack.count("response_url") == 2)
    assert await office.undecided(asked)


async def test_a_copy_that_may_have_been_posted_is_not_gathered_and_its_buttons_go(resting: Office) -> None:
    path = resting.kit.folder / "config.toml"
    path.write_text(path.read_text() + "\n[limits]\nasks_per_person_hour = 1\n")
    async with resting.running():
        resting.slack.fail("chat.postMessage", "lost")
        asked = await resting.ask("send_again", subject="numbers")
        (message,) = await resting.posted("numbers")
        await resting.ask("send_again", subject="others")  # the hour is full by now
        await resting.pass_and_turn(3_000)
        await resting.kit.decide(await resting.link(asked, "ana@example.com"))
        await resting.pass_and_turn(3_000)
        await resting.shows(message, "Approved by ana@example.com")
        assert resting.names(message) == []
