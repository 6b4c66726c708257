"""The service of these tests, with an admin of each role, and a command line on the same files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.commands import zygote
from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import Answer, Kit, kit

ROLES = ("viewer", "operator", "security")
TOKENS = {role: f"jat_adm_{role * 4}" for role in ROLES}
ADMINS = "".join(
    f'[admins.{role}]\nsecret_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\nrole = "{role}"\n'
    for role, token in TOKENS.items()
)


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def command(world: Kit, *words: str) -> Ran:
    """`jit-auth ...` in a process of its own, on this service's files."""
    given = (*words, "-c", str(world.folder / "config.toml"))
    ran = await asyncio.wait_for(asyncio.to_thread(zygote().run, *given, cwd=None, env=os.environ), 60)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


async def admin(world: Kit, path: str, body: Any = None, *, role: str = "security") -> Answer:
    """POST to /admin."""
    return await world.call("POST", f"/admin/{path}", body, token=TOKENS[role])


async def facts(world: Kit, *names: str) -> list[dict[str, Any]]:
    """What is on record by these names, each with its actor."""
    assert world.service is not None
    rows = [row async for row in world.service.store.audit.rows()]
    return [{**fact, "actor": row.actor} for row in rows for fact in row.what if fact["do"] in names]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    """Alice has connected her account for mailbot."""
    async with kit(tmp_path, config=ADMINS) as found, found.running():
        await found.connected()
        found.mail.counts.clear()
        found.provider.revoked.clear()
        yield found


@pytest.fixture
def meddler(world: Kit) -> Meddler:
    assert world.service is not None
    return Meddler(world.service.store)


@pytest.fixture
async def resting(tmp_path: Path) -> AsyncIterator[Kit]:
    """Everything but the service: tests start and restart it."""
    async with kit(tmp_path, config=ADMINS) as found:
        yield found


@pytest.fixture
async def replicas(tmp_path: Path, postgres_url: str) -> AsyncIterator[tuple[Kit, Kit]]:
    """Two services on one PostgreSQL database."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(kit(tmp_path / "one", storage=postgres_url, config=ADMINS))
        two = one.twin(tmp_path / "two")
        await stack.enter_async_context(one.running())
        await stack.enter_async_context(two.running())
        await one.connected()
        yield one, two
