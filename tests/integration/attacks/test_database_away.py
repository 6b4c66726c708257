"""The database goes away at every commit of a whole call, before or after it: nothing is lost, nothing is sent twice.

People and agents do what they do: they try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import Any

import pytest

from tests.fakes.browser import Browser
from tests.integration.attacks.meddler import Meddler, When
from tests.integration.service.kit import Kit

NEVER = ("send_message", {"to": ["x@y.example"], "subject": "hi"})
AGAIN = ("send_again", {"subject": "hi"})
FACTS = ["ask", "connect.begin", "connect.callback", "grant.created", "vote", "send", "outcome", "card"]


async def submit(world: Kit, action: str, params: dict[str, Any]) -> str:
    for _ in range(5):
        answer = await world.execute(action, params=params, key="k")
        if answer.status != 503:
            return str(answer.json["id"])
        assert answer.json["code"] == "storage_unavailable"
    raise AssertionError(answer)


async def seen(world: Kit, execution_id: str) -> Any:
    return (await world.call("GET", f"/executions/{execution_id}")).json


async def whole(world: Kit, action: str, params: dict[str, Any]) -> Any:
    """Everybody's part of one call, until it is over."""
    assert world.service is not None
    execution_id = await submit(world, action, params)
    for _ in range(120):
        found = await seen(world, execution_id)
        if found["status"] not in ("paused", "executing"):
            return found
        kinds = {item["kind"]: item for item in found["waiting_for"]}
        if "consent" in kinds:
            async with Browser() as browser:
                await browser.get(kinds["consent"]["url"])
                if browser.page.forms:
                    await browser.submit()
                if browser.page.forms and "/as/authorize" in browser.page.url:
                    await browser.consent()
        if "approval" in kinds:
            with contextlib.suppress(LookupError):
                await world.decide(await world.approval_link(execution_id))
        if not kinds:
            world.clock.offset += 1000
        world.service.worker.wake()
        await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize(("action", "params"), [NEVER, AGAIN], ids=["never", "idempotent"])
async def test_the_database_goes_away_at_every_commit(
    world: Kit, meddler: Meddler, action: str, params: dict[str, Any], fact: str, when: When
) -> None:
    meddler.fail(when, fact)
    done = await whole(world, action, params)
    assert meddler.seen[fact] >= 1
    # Also where the intent may be durable: this process lives, and knows that it sent nothing.
    assert done["status"] == "succeeded", done
    assert world.mail.counts["POST"] == 1
    assert done["result"]["status"] == 201
    assert world.service is not None
    assert (await world.service.store.audit.verify()).breaks == ()


async def test_what_cannot_go_on_record_is_not_done(ready: Kit) -> None:
    """The record alone takes no more rows: no vote counts, no refresh token leaves, nothing is sent."""
    action, params = NEVER
    asked = await ready.execute(action, params=params)
    link = await ready.approval_link(asked.json["id"])
    ready.clock.offset += 3_550_000  # the access token is due
    with sqlite3.connect(ready.folder / "jit-auth.db") as beside:
        beside.execute("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
    for answer in (await ready.execute("list_messages"), await ready.decide(link)):
        assert (answer.status, answer.json["code"]) == (503, "storage_unavailable")
    assert (await seen(ready, asked.json["id"]))["status"] == "paused"
    assert (ready.mail.counts, ready.provider.counts) == ({}, {})
    with sqlite3.connect(ready.folder / "jit-auth.db") as beside:
        beside.execute("DROP TRIGGER full")
    assert (await ready.decide(link)).status == 200
    assert (await ready.ended(asked.json["id"]))["status"] == "succeeded"
    assert ready.mail.counts == {"POST": 1}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(3))
async def test_the_database_goes_away_around_a_refresh(ready: Kit, meddler: Meddler, step: int, when: When) -> None:
    ready.clock.offset += 3_590_000
    fact = ("prepare", "refresh", "refresh")[step]
    if step == 2:
        meddler.do(when, fact, _nothing)
    meddler.fail(when, fact)
    answer = await ready.execute("note", params={"text": "y"}, key="k", prefer="wait=0")
    if answer.status == 503:
        answer = await ready.execute("note", params={"text": "y"}, key="k", prefer="wait=0")
    assert ready.service is not None
    for _ in range(120):
        found = await seen(ready, answer.json["id"])
        if found["status"] not in ("paused", "executing"):
            break
        ready.clock.offset += 1000
        ready.service.worker.wake()
        await asyncio.sleep(0.02)
    assert found["status"] == "succeeded", found
    assert ready.mail.counts["POST"] == 1
    assert all(family.live for family in ready.provider.families)


async def _nothing() -> None:
    pass
