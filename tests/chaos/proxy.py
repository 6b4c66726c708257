"""A TCP proxy of our own between the service and whatever it needs: it cuts, slows, or goes on and says nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal

Mood = Literal["pass", "cut", "slow", "half-open", "deaf"]
"""cut: connections end, new ones are refused. slow: every piece waits. half-open: connections are taken and stay, and
nothing passes. deaf: what the service says passes, no answer comes back."""

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
PAUSE = 0.05
"""Seconds that each piece waits in the mood slow."""


class Proxy:
    """Listens on loopback; `connect` makes a connection to what is behind it."""

    def __init__(self, connect: Callable[[], Awaitable[Pair]]) -> None:
        self._connect = connect
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._mood: Mood = "pass"
        self.port = 0

    @property
    def mood(self) -> Mood:
        return self._mood

    def be(self, mood: Mood) -> None:
        """From now on. Leaving half-open or deaf ends the connections that were in it: a peer that comes back after
        a crash answers them with a reset."""
        if self._mood != "pass" or mood == "cut":
            for writer in tuple(self._writers):
                writer.transport.abort()
        self._mood = mood

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.be("cut")
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            if self._mood == "cut":
                return
            if self._mood == "half-open":
                while await reader.read(65_536):
                    pass
                return
            back, onward = await self._connect()
            self._writers.add(onward)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, onward, answers=False))
                group.create_task(self._pass(back, writer, answers=True))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # one side is gone: so is the other
        finally:
            for one in (writer, onward):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()
            self._tasks.discard(task)

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await source.read(65_536):
            if self._mood == "slow":
                await asyncio.sleep(PAUSE)
            if self._mood == "half-open" or (self._mood == "deaf" and answers):
                continue
            to.write(data)
            await to.drain()
        with contextlib.suppress(OSError):
            to.write_eof()


def to_port(port: int) -> Callable[[], Awaitable[Pair]]:
    """Connects to a loopback port."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


def to_socket(path: str) -> Callable[[], Awaitable[Pair]]:
    """Connects to a socket in the file system."""
    return lambda: asyncio.open_unix_connection(path)
