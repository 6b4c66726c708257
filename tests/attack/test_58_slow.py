"""Clients that say too little, too slowly or too much: each is bounded, and the others are answered meanwhile.

THREAT_MODEL 58. The limits are looked at with a time of the test's own; connections are few.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from jit_auth.web.patience import BODY, HEAD, IDLE, PATIENCE, runner_of, watch
from tests.integration.service.kit import AGENT, Kit

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(world: Kit) -> AsyncIterator[tuple[web.AppRunner, int]]:
    """The running service's application once more, on a port whose connections the test can look at."""
    assert world.service is not None
    runner = runner_of(world.service.app, 1)
    await runner.setup()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        await web.SockSite(runner, listening).start()
        yield runner, listening.getsockname()[1]
        await runner.cleanup()


def look(runner: web.AppRunner, later: float) -> int:
    """One look, `later` seconds from now."""
    assert runner.server is not None
    return runner.app[PATIENCE].look(runner.server.connections, asyncio.get_running_loop().time() + later)


async def until(reached: Callable[[], bool]) -> None:
    """Go round the loop until the service has noticed."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - what is waited for is the service's own, and sets no event
            await asyncio.sleep(0)


async def open_connections(runner: web.AppRunner, count: int) -> None:
    await until(lambda: runner.server is not None and len(runner.server.connections) == count)


async def closed(pair: Pair) -> bool:
    """Whether the service has closed: nothing more to read. A reset counts."""
    try:
        return await asyncio.wait_for(pair[0].read(), 5) is not None
    except ConnectionResetError:
        return True
    finally:
        pair[1].close()


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = (
    f"POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {AGENT}\r\n"
    "Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n"
).encode()
SLOW = {
    "nothing": b"",
    "half a line": b"GET /hea",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n",
    "blank lines": b"\r\n\r\n",
    "a head that never ends": HEALTH[:-2] + b"X-B: " + b"c" * 100,
}


async def test_a_head_that_does_not_come_is_not_waited_for(world: Kit) -> None:
    async with served(world) as (runner, port):
        for said in SLOW.values():
            pair = await asyncio.open_connection("127.0.0.1", port)
            pair[1].write(said)
            await open_connections(runner, 1)
            assert look(runner, 0) == 0
            pair[1].write(b"a")  # a byte now and then changes nothing
            assert look(runner, HEAD - 1) == 0
            assert look(runner, HEAD + 1) == 1
            assert await closed(pair)
            await open_connections(runner, 0)


async def test_between_two_requests_there_is_an_end_too(world: Kit) -> None:
    async with served(world) as (runner, port):
        for said in (b"", b"GET /healthz HTTP/1.1\r\nHost: 127"):
            pair = await asyncio.open_connection("127.0.0.1", port)
            pair[1].write(HEALTH)
            assert (await pair[0].readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            pair[1].write(said)
            assert look(runner, IDLE - 1) == 0
            assert look(runner, IDLE + 1) == 1
            assert await closed(pair)
            await open_connections(runner, 0)


async def test_a_body_that_trickles_is_given_up_and_fills_no_log(world: Kit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with served(world) as (runner, port):
            pair = await asyncio.open_connection("127.0.0.1", port)
            pair[1].write(POST + b'{"action": ')
            await open_connections(runner, 1)
            await until(lambda: runner.app[PATIENCE].busy > 0)
            assert look(runner, BODY - 1) == 0
            assert look(runner, BODY + 1) == 1
            assert await closed(pair)
            await open_connections(runner, 0)
            assert runner.app[PATIENCE].busy == 0
    assert caplog.records == []


async def test_a_handler_that_takes_its_time_is_left_alone(world: Kit) -> None:
    """`wait` and event streams: the whole request is there, and the answer is what is late."""
    paused = await world.execute("list_messages")
    path = f"/executions/{paused.json['id']}?wait=60"
    async with served(world) as (runner, port):
        pair = await asyncio.open_connection("127.0.0.1", port)
        pair[1].write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {AGENT}\r\n\r\n".encode())
        await until(lambda: runner.app[PATIENCE].busy > 0)
        assert look(runner, 3600) == 0
        pair[1].close()


async def test_a_crowd_that_says_nothing_keeps_nobody_out(world: Kit) -> None:
    async with served(world) as (runner, port):
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for number, (_, writer) in enumerate(crowd):
            writer.write(list(SLOW.values())[number % len(SLOW)])
        await open_connections(runner, 300)
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEALTH)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        look(runner, 0)
        assert look(runner, HEAD + 1) == 300
        await open_connections(runner, 1)
        for _, each in [*crowd, (reader, writer)]:
            each.close()


async def test_it_is_looked_every_second(world: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task that `serve` starts does what the other tests do by hand."""
    monkeypatch.setattr("jit_auth.web.patience.EACH", 0.0)
    monkeypatch.setattr("jit_auth.web.patience.HEAD", 0.0)
    async with served(world) as (runner, port):
        watching = asyncio.create_task(watch(runner))
        assert await closed(await asyncio.open_connection("127.0.0.1", port))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


HUGE = {
    "a line of 100 KiB": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a header of 100 KiB": HEALTH[:-2] + b"X-A: " + b"b" * 100_000 + b"\r\n\r\n",
    "a thousand headers": HEALTH[:-2] + b"".join(b"X-%d: b\r\n" % number for number in range(1000)) + b"\r\n",
    "two lengths": POST[:-2] + b"Content-Length: 5\r\n\r\n",
    "a length and chunks": POST[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a line break in a name": HEALTH[:-2] + b"X\x0bA: b\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    "a folded header": HEALTH[:-2] + b"X-A: b\r\n c\r\n\r\n",
    "NUL in a header": HEALTH[:-2] + b"X-A: b\0c\r\n\r\n",
    "a negative length": POST.replace(b"4000", b"-1"),
    "a length with a sign": POST.replace(b"4000", b"+5"),
}


async def test_a_head_that_is_too_large_or_ambiguous_is_refused(world: Kit) -> None:
    for what, said in HUGE.items():
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(said)
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), what
        assert len(re.findall(rb"HTTP/1\.\d \d\d\d", answer)) == 1, what
        assert b"Traceback" not in answer
        writer.close()


async def test_a_body_is_never_unpacked(world: Kit) -> None:
    """A call of 20 KiB that would be 20 MiB."""
    gzipped, deflated = gzip.compress(b" " * 20_000_000), zlib.compress(b" " * 20_000_000)
    for coding in ("gzip", "deflate", "br", "gzip, gzip"):
        packed = deflated if coding == "deflate" else gzipped
        headers = {"Authorization": f"Bearer {AGENT}", "Content-Type": "application/json", "Content-Encoding": coding}
        tracemalloc.start()
        async with world.session.post(world.url + "/execute", data=packed, headers=headers) as reply:
            assert (reply.status, (await reply.json())["code"]) == (400, "bad_json")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 5_000_000
