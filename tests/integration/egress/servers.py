"""Servers on loopback that behave as a script says, and remember what they were sent."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection as the server sees it."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.number = server.connections
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """The next whole request; IncompleteReadError where none comes any more."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        request = head + await self._reader.readexactly(length)
        self.server.requests.append(request)
        return request

    async def write(self, data: bytes, *, piece: int = 0) -> None:
        """Send; `piece`: in pieces of so many bytes, each on its own."""
        step = piece or max(1, len(data))
        for at in range(0, len(data), step):
            self._writer.write(data[at : at + step])
            await self._writer.drain()
            if piece:
                await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the client has closed."""
        while await self._reader.read(65_536):
            pass

    def abort(self) -> None:
        """Close without the forms of it: no close_notify, no waiting."""
        self._writer.transport.abort()

    def reset(self) -> None:
        """Close by RST: what was sent may never be read."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.abort()


class Server:
    """A listening server. `requests` are the whole requests that were read, `connections` how many were made."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = asyncio.Condition()
        self.open = 0
        self.script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        self.scheme = "http" if context is None else "https"
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Take no more connections."""
        self._server.close()

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def all_ended(self) -> None:
        """Wait until no connection is open: whatever was sent has arrived."""
        async with self.ended:
            await self.ended.wait_for(lambda: self.open == 0)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self.script(Peer(self, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)
            self.open -= 1
            async with self.ended:
                self.ended.notify_all()


def answering(*answers: bytes, piece: int = 0) -> Script:
    """Answers each request of a connection with the next of `answers` (the last one for ever), keeping it open."""

    async def script(peer: Peer) -> None:
        at = 0
        while True:
            await peer.read()
            await peer.write(answers[min(at, len(answers) - 1)], piece=piece)
            at += 1

    return script


def ending(answer: bytes, *, piece: int = 0) -> Script:
    """Answers one request and closes."""

    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(answer, piece=piece)

    return script


def plain(body: bytes = b"ok", status: str = "200 OK", *headers: str) -> bytes:
    """A whole answer with a length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
