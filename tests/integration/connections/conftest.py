"""The service with agents that may ask for connections: on both databases, or on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from tests.fakes.browser import Browser, Page
from tests.integration.service.kit import AGENT, Answer, Kit, kit

ALICE = "alice@example.com"
READ, NOTE, SEND = "mailhub.list_messages", "mailhub.note", "mailhub.send_message"


def let(world: Kit, *agents: str) -> Kit:
    """These agents may: `connections = true`."""
    path = world.folder / "config.toml"
    text = path.read_text()
    for agent in agents:
        text = text.replace(f"[agents.{agent}]\n", f"[agents.{agent}]\nconnections = true\n")
    path.write_text(text)
    return world


@pytest.fixture(params=["sqlite", "postgresql"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """Running, once on each database."""
    storage = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, storage=storage) as found, let(found, "mailbot", "otherbot").running():
        yield found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    """Running, on SQLite."""
    async with kit(tmp_path) as found, let(found, "mailbot", "otherbot").running():
        yield found


async def ask(world: Kit, *actions: str, user: str = ALICE, token: str = AGENT, **more: Any) -> Answer:
    """POST /connections."""
    return await world.call("POST", "/connections", {"user": user, "actions": list(actions)} | more, token=token)


async def listed(world: Kit, user: str = ALICE, token: str = AGENT, **more: str) -> list[Any]:
    """GET /connections: all items."""
    query = "".join(f"&{name}={value}" for name, value in more.items())
    answer = await world.call("GET", f"/connections?user={user}{query}", token=token)
    assert answer.status == 200, answer.json
    items: list[Any] = answer.json["items"]
    return items


async def end(world: Kit, id: str, token: str = AGENT) -> Answer:
    """DELETE /connections/{id}."""
    return await world.call("DELETE", f"/connections/{id}", token=token)


async def play(url: str, user: str = ALICE, **how: Any) -> Page:
    """The user opens a link and goes on to the provider, in a browser of their own."""
    async with Browser() as browser:
        return await browser.connect(url, user=user, **how)


async def allow(url: str) -> Page:
    """The user says yes where no trip is needed."""
    async with Browser() as browser:
        await browser.get(url)
        return await browser.submit()


async def facts(world: Kit, name: str) -> list[dict[str, Any]]:
    """All facts of this name on record."""
    assert world.service is not None
    return [fact async for entry in world.service.store.audit.rows() for fact in entry.what if fact["do"] == name]


async def reload(world: Kit) -> bool:
    """The files as they are, as a SIGHUP does."""
    assert world.service is not None
    return await world.service.reload(lambda: load(world.folder / "config.toml", channels=CHANNEL_TABLES))
