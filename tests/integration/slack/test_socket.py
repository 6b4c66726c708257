"""Socket Mode: presses come by a socket that we opened, and that is opened again whatever becomes of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from jit_auth.channels.slack import doors
from tests.integration.slack.conftest import Offices
from tests.integration.slack.service import ANA, BO, Office


@pytest.fixture
async def office(offices: Offices, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    """Everything but the service, which will use a socket."""
    monkeypatch.setattr(doors, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(doors, "LONGEST_PAUSE", 0.05)
    async with offices(socket=True) as made:
        yield made


async def decided(office: Office, text: str) -> None:
    """A press by socket decides."""
    asked = await office.ask(text=text)
    (message,) = await office.posted(text)
    await office.slack.until(lambda slack: slack.sockets)
    answer = await office.slack.click(message, "approve", BO)
    assert (answer.status, answer.body) == (200, "")
    assert answer.seconds < 1
    assert (await office.kit.ended(asked))["status"] == "succeeded"
    await office.shows(message, "Approved by bo@example.com")


async def test_presses_and_forms_by_socket(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()
    async with office.running():
        await decided(office, "hello")
        asked = await office.ask("send_again", subject="numbers")
        (message,) = await office.posted("numbers")
        await office.slack.click(message, "approve", "U0EVE")
        await office.told('slack = "U0EVE"')
        await office.slack.click(message, "Deny", ANA)
        (view,) = await office.slack.until(lambda slack: slack.views)
        answer = await office.slack.submit(view, {})
        assert (answer.status, answer.trouble) == (200, "")
        assert (await office.kit.ended(asked))["status"] == "denied"
    assert {task for task in asyncio.all_tasks() - before if "jit_auth" in repr(task)} == set()
    gc.collect()
    assert office.slack.sockets == []
    assert office.slack.app_token not in caplog.text
    assert "ticket" not in caplog.text


async def test_a_socket_that_worked_for_a_while_is_renewed_at_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STEADY", 0.0)
    monkeypatch.setattr(doors, "FIRST_PAUSE", 3600.0)
    async with office.running():
        (old,) = await office.slack.until(lambda slack: slack.sockets)
        await office.slack.drop_sockets()
        await office.slack.until(lambda slack: slack.sockets and slack.sockets[0] is not old)
        await decided(office, "hello")


async def test_a_socket_that_ends_is_opened_again(office: Office) -> None:
    async with office.running():
        for number, say in enumerate((True, False, True)):
            (old,) = await office.slack.until(lambda slack: slack.sockets)
            await office.slack.drop_sockets(say)
            await office.slack.until(lambda slack, old=old: slack.sockets and slack.sockets[0] is not old)
            await decided(office, f"number {number}")


async def test_slack_may_be_away_at_the_start(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    office.slack.down = True
    async with office.kit.running():
        office.slack.fail("apps.connections.open", "invalid_auth", 500, "ratelimited", "lost", "refused")
        office.slack.fail("link", 500, 401)
        office.slack.retry_after = 0  # the service's own clock stands as good as still here
        await office.kit.connected()
        office.slack.down = False
        await office.slack.until(lambda slack: slack.count("apps.connections.open") >= 3)
        office.kit.clock.offset += 61_000
        await office.slack.until(lambda slack: slack.sockets)
        await decided(office, "hello")
    assert office.slack.app_token not in caplog.text
    assert "ticket" not in caplog.text


@pytest.mark.parametrize("fault", ["hang", "refused"])
async def test_the_service_ends_while_it_reconnects(office: Office, fault: str) -> None:
    async with office.running():
        await office.slack.until(lambda slack: slack.sockets)
        opened = office.slack.count("apps.connections.open")
        office.slack.fail("apps.connections.open", fault)
        await office.slack.drop_sockets()
        await office.slack.until(lambda slack: slack.count("apps.connections.open") > opened)
    assert not any("_listen" in repr(task) for task in asyncio.all_tasks())
    gc.collect()


async def test_what_is_odd_on_the_socket_is_acknowledged_and_does_nothing(office: Office) -> None:
    async with office.running():
        (socket,) = await office.slack.until(lambda slack: slack.sockets)
        for odd in ("", "{", "[" * 100_000, "null", '{"type":"interactive"}', '{"type":1}', '{"envelope_id":"e"}'):
            await socket.send_str(odd)
        await socket.send_bytes(b"\xff")
        for payload in ({}, {"type": "block_actions"}, {"type": "x", "user": {"id": 1}}):
            assert (await office.slack.deliver(payload)).status == 200
        await decided(office, "hello")
        assert office.slack.sockets == [socket]
