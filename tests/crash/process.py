"""Start and watch a service as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientError

from tests.integration.service.kit import Kit

ROOT = Path(__file__).parents[2]


class Running:
    """A process, and what it printed."""

    def __init__(self, process: Process, kit: Kit) -> None:
        self.process = process
        self._kit = kit

    async def ready(self) -> None:
        """Until /readyz says so, or the process has ended."""
        while self.process.returncode is None:
            try:
                async with self._kit.session.get(f"{self._kit.url}/readyz") as reply:
                    if reply.status == 200:
                        return
            except (ClientError, OSError):
                pass
            await asyncio.sleep(0.02)

    async def read(self) -> None:
        """Collect what it prints into the kit."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self._kit.printed.append(line.decode())


@asynccontextmanager
async def serving(kit: Kit, **environment: str) -> AsyncIterator[Running]:
    """`python -m tests.crash.serve` with these variables; ended hard if it has not ended itself."""
    with (kit.folder / "stderr.txt").open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.crash.serve", "-c", str(kit.folder / "config.toml"), cwd=ROOT,
            env=os.environ | environment, stdout=PIPE, stderr=errors,
        )  # fmt: skip
    running = Running(process, kit)
    reader = asyncio.create_task(running.read())
    try:
        await running.ready()
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reader
