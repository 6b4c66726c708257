"""The service of these tests: mailhub, and beside it `ops`, whose actions are functions of the agent's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.operators.conftest import ADMINS
from tests.integration.service.kit import AGENT, POLICIES, Answer, Kit, kit

OPS = """
id = "ops"

[actions.restart]
title = "Restart a service"
summary = "Restart {service}"
run = "agent"
risk = "medium"
effect = "update"
params.service = { type = "string", required = true }

[actions.ask]
title = "Restart a service, asked first"
run = "agent"
risk = "high"
effect = "update"
params.service = { type = "string", required = true }
"""
MIXED = """
[actions.tidy]
title = "Tidy a mailbox of the agent's own"
run = "agent"
risk = "low"
effect = "update"
"""
RULES = """
[[rule]]
id = "ops"
match = ["ops.restart", "mailhub.tidy"]
effect = "allow"

[[rule]]
id = "ops-ask"
match = ["ops.ask"]
effect = "require_approval"
approval = { from = ["user:ana@example.com"], for_max = "1h", max_uses = 1 }
"""
MINUTE = 60_000
ALICE = "alice@example.com"


def equip(found: Kit) -> None:
    """Its files, with `ops`."""
    (found.folder / "connectors" / "ops").mkdir(exist_ok=True)
    (found.folder / "connectors" / "ops" / "connector.toml").write_text(OPS)
    mailhub = found.folder / "connectors" / "mailhub" / "connector.toml"
    mailhub.write_text(mailhub.read_text() + MIXED)
    edit(found, 'actions = ["mailhub.*"]', 'actions = ["mailhub.*", "ops.*"]')
    edit(found, 'actions = ["mailhub.list_messages"]', 'actions = ["mailhub.list_messages", "ops.*"]')


def edit(world: Kit, old: str, new: str, name: str = "config.toml") -> None:
    path = world.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def ask(world: Kit, action: str = "restart", *, user: str | None = ALICE, **body: Any) -> Answer:
    whole = {"action": f"ops.{action}", "params": {"service": "web"}, **body}
    if user is not None:
        whole["user"] = user
    return await world.call("POST", "/execute", whole)


async def released(world: Kit, action: str = "restart", **body: Any) -> Any:
    """An execution that is the agent's turn; where it is asked first, Ana has said yes."""
    answer = await ask(world, action, **body)
    assert answer.status == 202, answer.json
    if answer.json["status"] == "paused":
        assert (await world.decide(await world.approval_link(answer.json["id"]))).status == 200
        answer.json = await world.ended(answer.json["id"])
    assert answer.json["status"] == "released", answer.json
    return answer.json


async def claim(world: Kit, told: Any, *, token: str = AGENT, digest: str | None = None) -> Answer:
    body = {"digest": digest or told["digest"]}
    return await world.call("POST", f"/executions/{told['id']}/claim", body, token=token)


async def claimed(world: Kit, told: Any) -> str:
    answer = await claim(world, told)
    assert answer.status == 200, answer.json
    secret: str = answer.json["claim"]
    return secret


async def complete(world: Kit, told: Any, secret: str, outcome: str = "succeeded", **more: Any) -> Answer:
    body = {"claim": secret, "outcome": outcome, **more}
    return await world.call("POST", f"/executions/{told['id']}/complete", body)


async def beat(world: Kit, told: Any, secret: str) -> Answer:
    return await world.call("POST", f"/executions/{told['id']}/heartbeat", {"claim": secret})


async def now(world: Kit, told: Any) -> Any:
    """The execution, after everything that is due was done."""
    assert world.service is not None
    await world.service.worker.turn()
    running = world.service.engine.dispatcher._running
    while told["id"] in running:  # noqa: ASYNC110 - the worker's own turn was first, and tells nobody when it ends
        await asyncio.sleep(0)
    return (await world.call("GET", f"/executions/{told['id']}")).json


@pytest.fixture(params=["sqlite", "postgresql"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Running, once on each database."""
    storage = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, storage=storage, config=ADMINS, policies=POLICIES + RULES) as found:
        equip(found)
        async with found.running():
            yield found


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything but the service: tests start and restart it."""
    async with kit(tmp_path, config=ADMINS, policies=POLICIES + RULES) as found:
        equip(found)
        yield found


@pytest.fixture
async def world(resting: Kit) -> AsyncIterator[Kit]:
    """Running, on SQLite."""
    async with resting.running():
        yield resting


@pytest.fixture
def meddler(world: Kit) -> Meddler:
    assert world.service is not None
    return Meddler(world.service.store)


@pytest.fixture
async def replicas(tmp_path: Path, postgres_url: str) -> AsyncIterator[tuple[Kit, Kit]]:
    """Two services on one PostgreSQL database."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(
            kit(tmp_path / "one", storage=postgres_url, config=ADMINS, policies=POLICIES + RULES)
        )
        two = one.twin(tmp_path / "two")
        for each in (one, two):
            equip(each)
            await stack.enter_async_context(each.running())
        yield one, two
