"""Plays every path of an example: its process ends between question and answer, bo decides, another process goes on.

`python -m examples.frameworks.play` plays all; frameworks are in an environment of their own (`make frameworks`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from aiohttp import ClientSession

from examples.frameworks.world import PATIENCE, ROOT, World

EXAMPLES = ("own_api", "on_asyncio", "on_langgraph", "on_openai_agents", "on_pydantic_ai")
AMOUNTS = {"allowed": 5, "failed": 6, "refused": 0, "approved": 40, "denied": 41, "unknown": 42, "expired": 600}
WAITING = ("approved", "denied", "unknown", "expired")
BOTH = "Refund 50 of {0}-approved and 51 of {0}-denied"
"""What makes the model want two things in one turn."""


class Walk:
    """One example with its files, and what it said: path to the last words about it."""

    def __init__(self, world: World, example: str, python: str) -> None:
        self.world = world
        self.example = example
        self.python = python
        self.folder = world.folder / example
        self.folder.mkdir()
        self.said: dict[str, str] = {}

    def named(self, path: str) -> str:
        """The name of its conversation, which is an invoice's too."""
        return f"{self.example.removeprefix('on_').replace('_', '-')}-{path}"

    @contextlib.asynccontextmanager
    async def program(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The example in a process of its own; what is left of it at the end is killed."""
        module = ("own_api.refunds",) if self.example == "own_api" else ("run", self.example)
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = await asyncio.create_subprocess_exec(
            self.python, "-m", f"examples.frameworks.{module[0]}", *module[1:], *words,
            cwd=self.folder,
            env={**os.environ, **self.world.environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def hear(self, process: asyncio.subprocess.Process, *wanted: str, waiting: bool = False) -> None:
        """What it prints, until each of these conversations has ended (or is `waiting`), or it said this word."""
        left, lines = set(wanted), []
        async with asyncio.timeout(PATIENCE):
            assert process.stdout is not None  # noqa: S101 (it was asked for)
            async for raw in process.stdout:
                lines.append(raw.decode().rstrip())
                name, _, words = lines[-1].partition(": ")
                path = name.removeprefix(self.named(""))
                if path != name:
                    self.said[path] = words
                if waiting or words != "waiting":
                    left.discard(path)
                if not left:
                    return
        raise RuntimeError(f"{self.example} said nothing about {sorted(left)}:\n" + "\n".join(lines))

    async def begin(self, *words: str, heard: Iterable[str], asked: int) -> list[str]:
        """Its first process, ended when everything was asked. Gives the links that bo was sent."""
        async with self.program(*words) as first:
            await self.hear(first, *heard, waiting=True)
            return await self.world.questions(asked)

    async def prompted(self) -> dict[str, str]:
        """An agent: one conversation for each path, and one that has two calls in one turn."""
        prompts = {path: f"Refund {amount} of {self.named(path)}" for path, amount in AMOUNTS.items()}
        prompts["both"] = BOTH.format(self.named("both"))
        waiting = (*WAITING, "both")
        ask = ["ask", *(word for path, prompt in prompts.items() for word in (self.named(path), prompt))]
        if self.example == "on_langgraph":  # it asks for one thing after the other, and is woken by callbacks
            links = await self.begin(*ask, heard=prompts, asked=len(waiting))
            async with self.program("serve") as second:
                await self.hear(second, "listens")
                await self.deliver("approved", "whsec_" + "A" * 32, 401)
                await self.world.decide(links)
                await self.world.decide(await self.world.questions(1))
                await self.hear(second, *waiting)
                await self.deliver("approved", self.world.secret, 204)
            return self.said
        stays = self.example == "on_asyncio"  # it waits in its first process, and is killed in the middle of that
        heard = [path for path in prompts if not (stays and path in waiting)]
        await self.world.decide(await self.begin(*ask, heard=heard, asked=len(waiting) + 1))
        async with self.program("resume", *map(self.named, waiting)) as second:
            await self.hear(second, *waiting)
        return self.said

    async def deliver(self, path: str, secret: str, expected: int) -> None:
        """A callback that the service did not send: forged by a stranger, or one of its own once more."""
        data = {"metadata": {"thread_id": self.named(path)}}
        body = json.dumps({"type": "execution.finished", "data": data})
        id, now, key = "evt_1", str(int(time.time())), base64.b64decode(secret.removeprefix("whsec_"))
        signature = base64.b64encode(hmac.digest(key, f"{id}.{now}.{body}".encode(), "sha256")).decode()
        headers = {"webhook-id": id, "webhook-timestamp": now, "webhook-signature": f"v1,{signature}"}
        url = self.world.environment["CALLBACK_URL"]
        async with ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
            if answer.status != expected:
                raise RuntimeError(f"{self.example} answered with {answer.status}, not {expected}")

    async def listed(self) -> dict[str, str]:
        """A job: one list, worked through twice."""
        words = [f"{self.named(path)}={amount}" for path, amount in AMOUNTS.items()]
        await self.world.decide(await self.begin(*words, heard=AMOUNTS, asked=len(WAITING)))
        await self.world.quiet()
        async with self.program(*words) as second:
            await self.hear(second, *AMOUNTS)
        return self.said


async def play(world: World, example: str, python: str) -> dict[str, str]:
    """What each path of an example ended with."""
    walk = Walk(world, example, python)
    return await (walk.listed() if example == "own_api" else walk.prompted())


async def main() -> None:
    python = ROOT / ".venv-frameworks" / "bin" / "python"
    async with World.running() as world:
        for example in EXAMPLES:
            print(f"\n{example}", flush=True)
            for path, words in (await play(world, example, str(python))).items():
                print(f"  {path:<10}{words}", flush=True)
        print(
            f"\nbilling paid {world.billing.paid.total()} refunds, none twice: {max(world.billing.paid.values()) == 1}"
        )


if __name__ == "__main__":
    if not Path(ROOT / ".venv-frameworks").exists():
        sys.exit("There is no .venv-frameworks: make frameworks")
    asyncio.run(main())
