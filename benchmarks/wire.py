"""One HTTP connection that asks and waits, on bare asyncio: a client library would be half of what is measured.

Answers need a Content-Length. It imports nothing of this project: processes of other packages use it too.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

_LENGTH = b"content-length:"


class Wire(asyncio.Protocol):
    """A kept connection to 127.0.0.1; one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._need = 0
        self._body = 0
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, port: int) -> Wire:
        """Connected."""
        return (await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body. Raises ConnectionError."""
        if self._transport.is_closing():
            raise ConnectionError("the server closed a connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._need:
            self._body = self._buffer.find(b"\r\n\r\n") + 4
            if self._body < 4:
                return
            head = self._buffer[: self._body].lower()
            at = head.find(_LENGTH)
            if at < 0:
                self._end(ConnectionError(f"no Content-Length in {head[:300]!r}"))
                return
            self._need = self._body + int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(self._buffer) >= self._need and self._answer is not None:
            whole, self._buffer, self._need = self._buffer, b"", 0
            answer, self._answer = self._answer, None
            answer.set_result((int(whole[9:12]), whole[self._body :]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionError("the server closed a connection"))

    def close(self) -> None:
        self._answer = None
        self._transport.abort()

    def _end(self, error: ConnectionError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


def request(method: str, port: int, path: str, body: Any = None, *, token: str = "") -> bytes:
    """One, with a JSON body, as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if body is not None:
        head += "Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
