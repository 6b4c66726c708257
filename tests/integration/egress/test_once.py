"""One send is one request, whatever the server does: the invariant this client was written for."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from jit_auth.egress import Egress
from jit_auth.errors import Lost, NeverLeft
from jit_auth.model import Request

from .conftest import Get, Serve
from .servers import Peer, Server, answering, plain

METHODS = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"]


def reads_and_closes(after: int, how: str) -> object:
    """A server that answers `after` requests of a connection, and reads the next one without answering it."""

    async def script(peer: Peer) -> None:
        for _ in range(after):
            await peer.read()
            await peer.write(plain(b""))
        await peer.read()
        if how == "half an answer":
            await peer.write(b"HTTP/1.1 200 O")
        if how == "reset":
            peer.reset()

    return script


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["close", "reset", "half an answer"])
@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("fresh", [False, True])
async def test_a_server_that_reads_and_closes_sees_one_request(
    method: str, how: str, reused: bool, fresh: bool, serve: Serve, get: Get
) -> None:
    server = await serve(reads_and_closes(1 if reused else 0, how))
    if reused:
        assert (await get(server, method, body=b"first")).status == 200
    sends = 0

    def left() -> None:
        nonlocal sends
        sends += 1

    with pytest.raises(Lost):
        await get(server, method, body=b"second", fresh=fresh, on_left=left)
    await server.all_ended()
    assert [request.endswith(b"second") for request in server.requests] == [False] * reused + [True]
    assert server.connections == 1
    assert sends == 1


@pytest.mark.parametrize("method", METHODS)
async def test_a_connection_closed_before_the_send_is_not_used(method: str, serve: Serve, get: Get) -> None:
    """The close is known: nothing is written to it, and the request goes out once, on a new one."""

    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(plain(b""))

    server = await serve(script)
    for number in range(1, 4):
        await get(server, method)
        await server.all_ended()
        await asyncio.sleep(0)  # the EOF is read by the loop before the next send looks
        assert server.connections == number
    assert len(server.requests) == 3


async def test_an_eof_that_the_loop_has_not_read_is_seen_by_calls_that_must_not_be_lost(egress: Egress) -> None:
    closed = threading.Event()
    requests: list[bytes] = []

    def serve_two(listener: socket.socket) -> None:
        for _ in range(2):
            taken, _ = listener.accept()
            with taken:
                requests.append(taken.recv(65_536))
                taken.sendall(plain(b"ok"))
                go.wait(5)
            closed.set()

    go = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_two, args=(listener,))
        thread.start()
        request = Request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert (await egress.send(request, hosts=["127.0.0.1"], timeout=5000)).body == b"ok"
        go.set()
        closed.wait(5)  # the loop does not turn meanwhile
        assert (await egress.send(request, hosts=["127.0.0.1"], timeout=5000, fresh=True)).body == b"ok"
        thread.join()
    assert len(requests) == 2


async def test_many_at_once_are_each_sent_once(serve: Serve, egress: Egress) -> None:
    async def script(peer: Peer) -> None:
        """Closes after some answers, without a word."""
        for _ in range(1 + peer.number % 4):
            request = await peer.read()
            await peer.write(plain(request.partition(b" ")[2].partition(b" ")[0]))

    server: Server = await serve(script)

    async def one(number: int) -> bool:
        path = f"/{number}"
        try:
            reply = await egress.send(Request("PUT", server.url + path), hosts=["127.0.0.1"], timeout=5000)
        except Lost:
            return False
        assert reply.body == path.encode()  # nobody gets another's answer
        return True

    for _ in range(5):
        await asyncio.gather(*(one(number) for number in range(60)))
    seen = [request.split(b" ", 2)[1] for request in server.requests]
    assert all(seen.count(path) <= 5 for path in set(seen))


async def test_a_caller_that_goes_away_takes_its_connection_along(serve: Serve, get: Get) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read()
        if peer.number == 1:
            read.set()
            await peer.gone()
        await peer.write(plain(b"second"))
        await peer.gone()

    server = await serve(script)
    asking = asyncio.ensure_future(get(server))
    await read.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await get(server)).body == b"second"
    assert server.connections == 2


async def test_what_is_on_its_way_when_we_close_is_lost_and_nothing_leaves_after(serve: Serve, egress: Egress) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read()
        read.set()
        await peer.gone()

    server = await serve(script)
    request = Request("POST", server.url)
    asking = asyncio.ensure_future(egress.send(request, hosts=["127.0.0.1"], timeout=5000))
    await read.wait()
    await egress.close()
    with pytest.raises(Lost):
        await asking
    with pytest.raises(NeverLeft):
        await egress.send(request, hosts=["127.0.0.1"], timeout=5000)
    assert len(server.requests) == 1


BEYOND = {
    "a byte too many": plain(b"ok") + b"x",
    "a second answer": plain(b"ok") + plain(b"evil"),
    "bytes after no content": b"HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil",
    "bytes after chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + plain(b"evil"),
    "bytes after a close": plain(b"ok", "200 OK", "Connection: close") + plain(b"evil"),
}


@pytest.mark.parametrize("name", BEYOND)
async def test_bytes_beyond_an_answer_answer_nothing(name: str, serve: Serve, get: Get) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(BEYOND[name] if peer.number == 1 else plain(b"second"))
        await peer.gone()

    server = await serve(script)
    assert (await get(server)).body in (b"ok", b"")
    assert (await get(server)).body == b"second"
    assert server.connections == 2


async def test_a_body_after_the_answer_to_a_head_answers_nothing(serve: Serve, get: Get) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(plain(plain(b"evil")) if peer.number == 1 else plain(b"second"))
        await peer.gone()

    server = await serve(script)
    await get(server, "HEAD")
    assert (await get(server)).body == b"second"


async def test_bytes_on_an_idle_connection_close_it(serve: Serve, get: Get) -> None:
    sent = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(plain(b"ok"))
        if peer.number == 1:
            await sent.wait()
            await peer.write(plain(b"evil"))
        await peer.gone()

    server = await serve(script)
    await get(server)
    sent.set()
    await server.all_ended()
    assert (await get(server)).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        plain(b"ok", "200 OK", "Connection: close"),
        plain(b"ok").replace(b"HTTP/1.1", b"HTTP/1.0"),
        plain(b"ok", "200 OK", "Keep-Alive: timeout=1, max=100"),
    ],
)
async def test_a_connection_is_not_kept_where_the_server_says_so(answer: bytes, serve: Serve, get: Get) -> None:
    server = await serve(answering(answer))
    await get(server)
    await get(server)
    assert server.connections == 2


async def test_a_connection_is_kept_where_the_server_says_so(serve: Serve, get: Get) -> None:
    kept = plain(b"ok", "200 OK", "Connection: keep-alive", "Keep-Alive: timeout=5").replace(b"HTTP/1.1", b"HTTP/1.0")
    server = await serve(answering(kept))
    await get(server)
    await get(server)
    assert server.connections == 1
