"""Waiting for executions: how many of an agent's waits are open at a time, and what ends one (THREAT_MODEL 23)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientTimeout

from jit_auth.engine import waits as module
from jit_auth.engine.waits import Waits
from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import AGENT, OTHER, Kit, kit

MOST = 3
SEND = {"to": ["x@y.example"], "subject": "hi"}


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kit]:
    monkeypatch.setattr(module, "PER_AGENT", MOST)
    async with kit(tmp_path) as found, found.running():
        await found.connected()
        yield found


@pytest.fixture
def waits(world: Kit) -> Waits:
    assert world.service is not None
    return world.service.engine.waits


async def open_waits(waits: Waits, count: int) -> None:
    """Until so many are counted."""
    for _ in range(1_000):
        if sum(waits._agents.values()) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(waits._agents)


async def paused(world: Kit, subject: str = "hi") -> str:
    answer = await world.execute("send_message", params={**SEND, "subject": subject})
    assert answer.json["status"] == "paused"
    return str(answer.json["id"])


async def wait(world: Kit, execution: str, seconds: float = 60, **more: Any) -> tuple[int, Any]:
    """Waits for an execution, over a connection of its own that may be given up."""
    headers = {"Authorization": f"Bearer {more.pop('token', AGENT)}"}
    url = f"{world.url}/executions/{execution}?wait={seconds}"
    async with world.session.get(url, headers=headers, **more) as reply:
        return reply.status, await reply.json()


async def test_an_agent_has_so_many_waits_on_people_and_no_more(world: Kit, waits: Waits) -> None:
    execution = await paused(world)
    held = [asyncio.create_task(wait(world, execution)) for _ in range(MOST)]
    await open_waits(waits, MOST)
    status, told = await wait(world, execution)
    assert (status, told["code"]) == (429, "too_many_waits")
    assert (await wait(world, execution, 0))[0] == 200, "to look is no wait"
    admitted = await world.execute("send_message", params={**SEND, "subject": "more"}, prefer="wait=30")
    assert (admitted.status, admitted.json["status"]) == (202, "paused"), "it is admitted, and is told so"
    assert (await world.execute("list_messages", prefer="wait=30")).json["status"] == "succeeded"
    other = await world.execute("list_messages", token=OTHER)
    assert (await wait(world, other.json["id"], 1, token=OTHER))[0] == 200, "another agent has its own"
    assert (await world.decide(await world.approval_link(execution), "deny")).status == 200
    assert {(status, told["status"]) for status, told in await asyncio.gather(*held)} == {(200, "denied")}
    await open_waits(waits, 0)
    assert not waits._waiting
    assert not waits._counted


async def test_waits_that_are_given_up_or_refused_count_no_more(world: Kit, waits: Waits) -> None:
    execution = await paused(world)
    for _ in range(MOST):
        with pytest.raises(TimeoutError):
            await wait(world, execution, 1, timeout=ClientTimeout(total=0.05))
    await open_waits(waits, 0)  # at the latest when their time is over
    assert (await wait(world, "exe_" + "0" * 26))[0] == 404
    assert (await wait(world, execution, token=OTHER))[0] == 404
    held = [asyncio.create_task(wait(world, execution, 1)) for _ in range(MOST)]
    await open_waits(waits, MOST)
    assert [(await wait(world, execution))[0] for _ in range(2)] == [429, 429]
    assert [status for status, _ in await asyncio.gather(*held)] == [200] * MOST
    await open_waits(waits, 0)
    assert not waits._waiting


async def test_what_a_wait_ends_with_is_what_is_read(world: Kit, waits: Waits) -> None:
    """Approved, denied, withdrawn, stopped: the answer of the wait is that of a later look."""
    assert world.service is not None
    approved, denied, withdrawn = [await paused(world, name) for name in ("approved", "denied", "withdrawn")]
    held = [asyncio.create_task(wait(world, each)) for each in (approved, denied, withdrawn)]
    await open_waits(waits, 3)
    assert (await world.decide(await world.approval_link(approved))).status == 200
    assert (await world.decide(await world.approval_link(denied), "deny", feedback="no")).status == 200
    assert (await world.call("POST", f"/executions/{withdrawn}/cancel")).status == 200
    told = [document for _, document in await asyncio.gather(*held)]
    assert [document["status"] for document in told] == ["succeeded", "denied", "cancelled"]
    for document in told:
        assert document == (await world.call("GET", f"/executions/{document['id']}")).json


async def test_a_stopped_agents_waits_end(world: Kit, waits: Waits) -> None:
    assert world.service is not None
    execution = await paused(world)
    held = asyncio.create_task(wait(world, execution))
    await open_waits(waits, 1)
    await Meddler(world.service.store).stop("agent", "mailbot")
    await world.service.engine.approvals.memory.reread()
    status, told = await held
    assert status in (200, 401, 403), told
    assert told.get("status", "denied") == "denied"
    await open_waits(waits, 0)
