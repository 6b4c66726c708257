"""One answer is read exactly as far as it goes; what is not to be trusted is lost, or cut, and never mixed up."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from jit_auth.egress import Egress
from jit_auth.egress.connection import HEADER_LIMIT
from jit_auth.errors import Lost
from jit_auth.model import Reply, Request

from .conftest import Get, Serve
from .servers import Peer, answering, ending, plain

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "length": (plain(b"hello"), 200, b"hello"),
    "empty": (plain(b""), 200, b""),
    "error": (plain(b"no", "500 Oops"), 500, b"no"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "chunked": (CHUNKED + b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n", 200, b"hello world"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, b""),
    "before it 1xx": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
        b"HTTP/1.1 199 Odd\r\n\r\n" + plain(b"hello"),
        200,
        b"hello",
    ),
    "gzip": (plain(gzip.compress(b"hello"), "200 OK", "Content-Encoding: gzip"), 200, b"hello"),
    "deflate": (plain(zlib.compress(b"hello"), "200 OK", "Content-Encoding: Deflate"), 200, b"hello"),
    "identity": (plain(b"hello", "200 OK", "Content-Encoding: identity"), 200, b"hello"),
    "upgrade offered": (plain(b"ok", "200 OK", "Upgrade: h2c", "Connection: Upgrade, Keep-Alive"), 200, b"ok"),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("piece", [0, 1, 7])
async def test_a_whole_answer_and_its_connection_again(name: str, piece: int, serve: Serve, get: Get) -> None:
    answer, status, body = WHOLE[name]
    server = await serve(answering(answer, piece=piece))
    for _ in range(3):
        reply = await get(server)
        assert (reply.status, reply.body, reply.truncated) == (status, body, False)
    assert server.connections == 1
    assert len(server.requests) == 3


async def test_headers_as_they_came_in_lower_case(serve: Serve, get: Get) -> None:
    server = await serve(answering(plain(b"", "200 OK", "X-A:  b ", "x-a: c", "X-Umlaut: \u00e4")))
    reply = await get(server)
    assert reply.headers == (("content-length", "0"), ("x-a", "b"), ("x-a", "c"), ("x-umlaut", "ä"))


async def test_what_leaves_is_what_was_built(serve: Serve, egress: Egress) -> None:
    server = await serve(answering(plain()))
    request = Request("POST", f"{server.url}/a%2Fb/..%2f?x=%20", (("X-Odd", "1"), ("Content-Type", "x")), b"\x00\xff")
    await egress.send(request, hosts=["127.0.0.1"], timeout=5000)
    assert server.requests == [
        f"POST /a%2Fb/..%2f?x=%20 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Odd: 1\r\nContent-Type: x\r\n".encode()
        + b"Accept-Encoding: gzip, deflate\r\nContent-Length: 2\r\n\r\n\x00\xff"
    ]


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
async def test_a_body_may_end_with_the_connection(status: str, serve: Serve, get: Get) -> None:
    server = await serve(ending(f"HTTP/1.1 {status}\r\n\r\nhello".encode(), piece=3))
    reply = await get(server)
    assert (reply.body, reply.truncated) == (b"hello", False)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 404 No\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n",
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
async def test_a_head_has_no_body_whatever_its_headers_say(answer: bytes, piece: int, serve: Serve, get: Get) -> None:
    server = await serve(answering(answer, piece=piece))
    for _ in range(2):
        reply = await get(server, "HEAD")
        assert (reply.body, reply.truncated) == (b"", False)
    assert server.connections == (1 if piece == 0 else 2)  # in pieces its end cannot be told from bytes too many


LOST = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "only 1xx": b"HTTP/1.1 100 Continue\r\n\r\n",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + CHUNKED[17:] + b"2\r\nok\r\n0\r\n\r\n",
    "chunked and length": CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "gzip as transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunked twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "switching, unasked": b"HTTP/1.1 101 Switching\r\n\r\n",
    "1xx with a body": b"HTTP/1.1 103 Hints\r\nContent-Length: 2\r\n\r\nok" + plain(),
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nX\x00: a\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 Long\r\nContent-Length: 0\r\n\r\n",
    "an error cut off": b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\noo",
    "an error badly chunked": b"HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a large header": b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"y" * 1000) * 70 + b"Content-Length: 0\r\n\r\n",
    "one large header": b"HTTP/1.1 200 OK\r\nX: " + b"y" * (HEADER_LIMIT + 1) + b"\r\nContent-Length: 0\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\n" + b"y" * 200_000,
    "1xx without end": b"HTTP/1.1 100 Continue\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n" * 3000,
}


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize("piece", [0, 1000])
async def test_an_answer_that_is_none_is_lost(name: str, piece: int, serve: Serve, get: Get) -> None:
    server = await serve(ending(LOST[name], piece=piece))
    with pytest.raises(Lost):
        await get(server)
    assert len(server.requests) == 1


CUT = {
    "length": plain(b"hello")[:-1],
    "length, at once": b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\n",
    "chunked": CHUNKED + b"5\r\nhello\r\n",
    "chunk broken": CHUNKED + b"5\r\nhelloXX",
    "chunk size broken": CHUNKED + b"zz\r\n",
    "gzip broken": plain(b"no gzip at all", "200 OK", "Content-Encoding: gzip"),
    "gzip cut": plain(gzip.compress(b"hello" * 50)[:-9], "200 OK", "Content-Encoding: gzip"),
    "a coding not offered": plain(b"hello", "200 OK", "Content-Encoding: br"),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("piece", [0, 1])
async def test_a_body_cut_off_after_a_2xx_is_answered_and_truncated(
    name: str, piece: int, serve: Serve, get: Get
) -> None:
    server = await serve(ending(CUT[name], piece=piece))
    reply = await get(server)
    assert reply.status in (200, 201)
    assert reply == Reply(reply.status, reply.headers, b"", True)


LIMIT = 1000
BIG = {
    "length": plain(b"x" * (LIMIT + 1)),
    "length said": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (LIMIT + 1),
    "chunked": CHUNKED + b"5\r\nhello\r\n" * (LIMIT // 5 + 1),
    "until close": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1),
    "gzip bomb": plain(gzip.compress(b"\0" * 50_000_000), "200 OK", "Content-Encoding: gzip"),
    "trailer without end": CHUNKED + b"0\r\nX: " + b"y" * 200_000,
    "chunk extension without end": CHUNKED + b"1;" + b"y" * 200_000,
    "an error": plain(b"x" * (LIMIT + 1), "500 Oops"),
}


@pytest.mark.parametrize("name", BIG)
async def test_a_body_over_the_limit_is_truncated_and_not_read_on(name: str, serve: Serve, get: Get) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(BIG[name])
        await peer.gone()

    server = await serve(script)
    reply = await get(server, max_body=LIMIT)
    assert (reply.body, reply.truncated) == (b"", True)
    await server.all_ended()


@pytest.mark.parametrize("coding", [(), ("Content-Encoding: gzip",)])
async def test_a_body_at_the_limit_is_whole(coding: tuple[str, ...], serve: Serve, get: Get) -> None:
    body = b"x" * (1 << 20)
    server = await serve(answering(plain(gzip.compress(body) if coding else body, "200 OK", *coding)))
    reply = await get(server)
    assert reply.body == body


async def test_an_answer_that_stops_is_lost_in_time(serve: Serve, get: Get) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        await peer.gone()

    server = await serve(script)
    with pytest.raises(Lost, match="in time"):
        await get(server, timeout=30)
    await server.all_ended()


async def test_each_call_of_a_connection_has_its_own_time(serve: Serve, get: Get) -> None:
    """A long patience before does not lengthen a short one after, nor the other way round."""

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.read()
            await peer.write(plain())
        await peer.read()
        await peer.gone()

    server = await serve(script)
    assert (await get(server, timeout=40)).status == 200
    assert (await get(server, timeout=30_000)).status == 200
    with pytest.raises(Lost, match="in time"):
        async with asyncio.timeout(5):
            await get(server, timeout=40)
    assert server.connections == 1


async def test_a_body_that_stops_after_a_2xx_is_truncated_in_time(serve: Serve, get: Get) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(plain(b"hello")[:-1])
        await peer.gone()

    server = await serve(script)
    reply = await get(server, timeout=30)
    assert (reply.status, reply.body, reply.truncated) == (200, b"", True)
    await server.all_ended()


async def test_a_slow_server_is_given_its_time_as_a_whole(serve: Serve, get: Get) -> None:
    """Bytes that trickle in do not start the clock anew."""

    async def script(peer: Peer) -> None:
        await peer.read()
        while True:
            await peer.write(b"HTTP/1.1 100 Continue\r\n\r\n", piece=1)

    server = await serve(script)
    with pytest.raises(Lost):
        await get(server, timeout=40)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 404 No\r\n\r\nhalf"])
async def test_a_reset_is_lost(begun: bytes, serve: Serve, get: Get) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(begun)
        peer.reset()

    with pytest.raises(Lost):
        await get(await serve(script))


async def test_a_reset_does_not_end_a_body(serve: Serve, get: Get) -> None:
    """A body until close ends by a close, not by a cable that was cut."""
    half = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await half.wait()
        peer.reset()

    asking = asyncio.ensure_future(get(await serve(script)))
    await asyncio.sleep(0.02)  # an RST would overtake what the client has not read yet
    half.set()
    reply = await asking
    assert (reply.status, reply.body, reply.truncated) == (200, b"", True)
