"""An API behind the kit's connector that answers byte by byte as it is told, and keeps every request it got."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Step = bytes | str | Callable[[], Awaitable[None]]
"""Bytes to write, "close", "abort", or something to wait for."""

CREATED = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"id":"m-1"}\n'


@dataclass
class Got:
    """One request, as it came off the wire."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Upstream:
    """`scripts` are played one per request; then everything is created."""

    url: str = ""
    scripts: list[list[Step]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    """What to do with the next connections before anything is read: "close" or "abort"."""
    got: list[Got] = field(default_factory=list)
    connections: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Upstream]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.early:
                self._end(writer, self.early.pop(0))
                return
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *rest = head.decode().split("\r\n")[:-2]
                headers = [(name, value) for name, _, value in (each.partition(": ") for each in rest)]
                length = int(next((value for name, value in headers if name.lower() == "content-length"), "0"))
                self.got.append(Got(line, headers, await reader.readexactly(length)))
                for step in self.scripts.pop(0) if self.scripts else [CREATED]:
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    elif isinstance(step, str):
                        self._end(writer, step)
                        return
                    else:
                        await step()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _end(self, writer: asyncio.StreamWriter, how: str) -> None:
        if how == "abort":
            writer.transport.abort()
