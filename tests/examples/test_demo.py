"""The demo and the other agents of examples/ run from start to end, on real parts, with the people played."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from examples.demo import person
from examples.demo.world import World
from examples.mailhub import service

ROOT = Path(__file__).parents[2]


async def start(*words: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_demo_plays_to_its_end() -> None:
    process = await start("-m", "examples.demo", AUTO="1")
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    text = out.decode()
    assert process.returncode == 0, text
    for words in ("alice's consent at mailhub: mail.read", "kill -9", "received 1 message", "policy_denied", "verify"):
        assert words in text
    assert "jat_agt_" not in text
    assert "Traceback" not in text


@pytest.fixture
async def world():  # type: ignore[no-untyped-def]  # an async generator of World
    async with World.running() as running:
        yield running


async def walked(script: str, world: World) -> list[str]:
    """What it prints, with the people played."""
    environment = {"JIT_AUTH_URL": world.url, "JIT_AUTH_TOKEN": world.token}
    process = await start(script, **environment)
    assert process.stdout is not None
    lines: list[str] = []
    played: set[str] = set()
    async with person.Browser() as alice, person.Browser() as bo:
        async for raw in process.stdout:
            line = raw.decode().rstrip()
            lines.append(line)
            link = re.search(r"has to open (http\S+)", line)
            approval = re.search(r"has to approve (apr_\S+):", line)
            if link and link[1] not in played:
                played.add(link[1])
                await person.consent(alice, link[1], service.ALICE.email, service.ALICE.password)
            if approval and approval[1] not in played:
                played.add(approval[1])
                await person.approve(bo, (await world.link(approval[1], 30)).url, ["carol@example.net"])
    assert await process.wait() == 0, "\n".join(lines)
    assert not any(world.token in line for line in lines)
    return lines


async def test_plain_http_walks_to_its_end(world: World) -> None:
    lines = await walked("examples/plain_http/walk.py", world)
    assert lines[-1] == "read: succeeded, send: succeeded, delete: 403"
    assert len(world.hub.api.sent) == 1


async def test_the_client_tells_the_model_every_outcome(world: World) -> None:
    text = "\n".join(await walked("examples/client.py", world))
    assert "mailhub.send_message: Done." in text
    assert "mailhub.delete_message: Never repeat" in text
    assert "/params/to" in text
    assert len(world.hub.api.sent) == 1
