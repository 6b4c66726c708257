"""A token that is gone, or is somebody else's by now, is told nothing more: by no wait and by no stream (THREAT_MODEL
23). Its holder may be a thief: that is what tokens are changed for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.catalogue.test_all_events import reading
from tests.integration.functions.conftest import edit
from tests.integration.operators.conftest import ADMINS
from tests.integration.operators.test_reload import reload, soon
from tests.integration.service.kit import AGENT, Kit, kit

NEW = "jat_agt_" + "n" * 43
SEND = {"to": ["bob@example.com"], "subject": "Hi", "body": "x"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path, config=ADMINS) as found, found.running():
        await found.connected()
        yield found


def rotate(world: Kit) -> None:
    edit(world, hashlib.sha256(AGENT.encode()).hexdigest(), hashlib.sha256(NEW.encode()).hexdigest())


def rename(world: Kit) -> None:
    """The token goes to another agent."""
    edit(world, "[agents.mailbot]", "[agents.newbot]")


CHANGES = [rotate, rename]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by", ["wait", "prefer"])
async def test_a_wait_tells_nothing_to_a_token_that_was_changed(world: Kit, change: object, by: str) -> None:
    assert world.service is not None
    if by == "wait":
        paused = (await world.execute("send_message", params=SEND)).json["id"]
        waiting = asyncio.create_task(world.call("GET", f"/executions/{paused}?wait=30"))
    else:
        waiting = asyncio.create_task(world.execute("send_message", params=SEND, prefer="wait=30", key="k"))
    async with asyncio.timeout(10):
        waits = world.service.engine.waits
        await soon(lambda: waits._waiting)
        items = (await world.call("GET", "/executions?status=paused")).json["items"]
        link = await world.approval_link(items[0]["id"])
        change(world)  # type: ignore[operator]  # one of CHANGES
        assert await reload(world)
        await world.decide(link)
        answer = await waiting
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    if change is rotate:
        (sent,) = (await world.call("GET", "/executions?status=succeeded&limit=1", token=NEW)).json["items"]
        assert sent["id"] == items[0]["id"]
        if by == "prefer":
            assert sent["id"] in answer.json["hint"], "it was admitted: that is no secret, or it would be made twice"
            again = await world.execute("send_message", params=SEND, key="k", token=NEW)
            assert again.json["id"] == sent["id"], "its key answers whoever holds the new one"


@pytest.mark.parametrize("change", CHANGES)
async def test_a_call_under_way_tells_nothing_to_a_token_that_was_changed(world: Kit, change: object) -> None:
    """A provider may take half a minute: what it gave is for the new token, as after a wait."""
    assert world.service is not None

    async def now() -> None:
        change(world)  # type: ignore[operator]  # one of CHANGES
        assert await reload(world)

    Meddler(world.service.store).do("after", "send", now)
    answer = await world.execute("list_messages")
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    if change is rotate:
        (sent,) = (await world.call("GET", "/executions?status=succeeded&limit=1", token=NEW)).json["items"]
        assert sent["id"] in answer.json["hint"]


@pytest.mark.parametrize("change", CHANGES)
async def test_a_stream_of_all_ends_with_its_token(world: Kit, change: object) -> None:
    async with reading(world) as reader:
        paused = (await world.execute("send_message", params=SEND)).json["id"]
        assert (await reader.event())["data"]["execution"] == paused
        assert (await reader.event())["type"] == "approval.requested"
        change(world)  # type: ignore[operator]  # one of CHANGES
        assert await reload(world)
        with pytest.raises(EOFError):
            await reader.event()
