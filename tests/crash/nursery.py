"""A service, or an agent, as a process of its own that is forked from one which has loaded everything: its start takes
no second."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.context import ForkServerProcess
from typing import TextIO

from aiohttp import ClientError

from tests.crash import agent
from tests.crash.serve import begin
from tests.integration.service.kit import Kit

_CONTEXT = multiprocessing.get_context("forkserver")
_LATE = ("sqlalchemy.dialects.sqlite.aiosqlite", "sqlalchemy.dialects.postgresql.asyncpg", "jit_auth.client.guarded")
"""What a service or an agent imports only when it comes to it."""
_CONTEXT.set_forkserver_preload(["tests.loaded", "tests.crash.serve", "tests.crash.agent", *_LATE])


class Life:
    """One such process."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process

    @property
    def over(self) -> bool:
        return self._process.exitcode is not None

    @property
    def exit(self) -> int | None:
        """How it ended: its exit code, or minus the signal; None while it lives."""
        return self._process.exitcode

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def end(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    async def wait(self) -> None:
        """Until it has ended."""
        if self.over:
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        await asyncio.to_thread(self._process.join)

    async def ready(self, kit: Kit) -> None:
        """Until /readyz says so, or the process has ended."""
        while not self.over:
            try:
                async with kit.session.get(f"{kit.url}/readyz") as reply:
                    if reply.status == 200:
                        return
            except (ClientError, OSError):
                pass
            await asyncio.sleep(0.02)


@asynccontextmanager
async def living(kit: Kit, offset: int = 0, **environment: str) -> AsyncIterator[Life]:
    """The service with these variables and its clock so many milliseconds ahead; ended hard if it has not ended."""
    files = (kit.folder / "stdout.txt", kit.folder / "stderr.txt")
    given = (kit.folder / "config.toml", {"JIT_AUTH_CLOCK": str(offset), **environment}, files)
    process = _CONTEXT.Process(target=begin, args=given)
    with files[0].open("a+") as printed:  # from its end on: what earlier lives printed has been read
        await asyncio.to_thread(process.start)
        life = Life(process)
        reader = asyncio.create_task(_read(printed, kit))
        try:
            await life.ready(kit)
            yield life
        finally:
            life.kill()
            await life.wait()
            process.close()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


async def agent_life(orders: agent.Orders) -> Life:
    """An agent at work. Whoever asks for it ends it, and waits for its end."""
    process = _CONTEXT.Process(target=agent.begin, args=(orders,))
    await asyncio.to_thread(process.start)
    return Life(process)


async def _read(printed: TextIO, kit: Kit) -> None:
    """Collect whole lines into the kit, until cancelled."""
    line = ""
    while True:
        line += printed.readline()
        if line.endswith("\n"):
            kit.printed.append(line)
            line = ""
        else:
            await asyncio.sleep(0.01)
