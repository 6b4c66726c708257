"""Loads one HTTP URL with a fixed number of connections, each sending its next request when the last was answered.

A raw asyncio protocol: on two cores a client library would be half of what is measured.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

_LENGTH = b"content-length: "


class LoadError(Exception):
    """An answer was not the expected one: what would be measured is not the work."""


@dataclass
class Load:
    """What came of one slice: `answered` within `seconds`, each answer's time in seconds, and whatever the caller
    found to be the processor time that was spent on them."""

    answered: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    times: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    def quantile(self, part: float) -> float:
        """The time, in milliseconds, that `part` of the answers stayed below."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1000


class _Client(asyncio.Protocol):
    def __init__(self, slice_: _Slice) -> None:
        self._slice = slice_
        self._buffer = b""
        self._sent = 0.0
        self._need = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self) -> None:
        self._sent = time.perf_counter()
        self.transport.write(self._slice.request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._need:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(_LENGTH)
            if at < 0:
                self._slice.fail(f"no Content-Length in {head[:300]!r}")
                return
            self._need = end + 4 + int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(self._buffer) < self._need:
            return
        answer, self._buffer, self._need = self._buffer, b"", 0
        if self._slice.expect not in answer:
            self._slice.fail(f"unexpected answer: {answer[:1000].decode('utf-8', 'replace')}")
        elif self._slice.count(time.perf_counter() - self._sent):
            self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._slice.over:
            self._slice.fail("the server closed a connection")


class _Slice:
    def __init__(self, request: bytes, expect: bytes, connections: int) -> None:
        self.request = request
        self.expect = expect
        self.load = Load()
        self.over = False
        self.stop = False
        self._left = connections
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def count(self, took: float) -> bool:
        """One more answer. Is there another request to send?"""
        if not self.stop:
            self.load.answered += 1
            self.load.times.append(took)
            return True
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)
        return False

    def fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(LoadError(why))


async def load(port: int, request: bytes, *, expect: bytes, connections: int, seconds: float) -> Load:
    """Send `request` to 127.0.0.1:`port` for so long. Every answer has to hold `expect`; LoadError otherwise."""
    loop = asyncio.get_running_loop()
    slice_ = _Slice(request, expect, connections)
    clients = [
        (await loop.create_connection(lambda: _Client(slice_), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    begun = time.perf_counter()
    for client in clients:
        client.send()
    try:
        await asyncio.wait((slice_.done,), timeout=seconds)
        slice_.load.seconds = time.perf_counter() - begun
        slice_.stop = True
        await asyncio.wait_for(slice_.done, 60)
    finally:
        slice_.over = True
        for client in clients:
            client.transport.abort()
        await asyncio.sleep(0)
    return slice_.load
