"""One attempt over real connections: redirects of a GET, what was missed, and that nothing is tried again."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from jit_auth.egress import Egress
from jit_auth.model import Action, Missed, Provider, Reply, Request
from jit_auth.send.reply import classify
from jit_auth.send.sender import Sender

from .conftest import Serve
from .servers import Peer, Script, Server, answering, plain

TOKEN = "tok-3Ncred-0123456789"
PROVIDER = Provider(id="mailhub", hosts=("127.0.0.1",))
ACTION = Action(
    name="mailhub.read", connector="mailhub", provider="mailhub", title="Read", summary="Read", show=(), method="GET",
    path="/", risk="low", effect="read", retry="safe", timeout=2000,
)  # fmt: skip


async def attempt(egress: Egress, url: str, method: str = "GET", window: float = 2, **of: Any) -> Reply | Missed:
    action = msgspec.structs.replace(ACTION, **of)
    request = Request(method, url, (("Authorization", f"Bearer {TOKEN}"),), b"x" if method == "POST" else b"")
    return await Sender(egress).attempt(request, action, PROVIDER, (TOKEN.encode(),), window=window)


def moves(location: str, status: int = 302) -> bytes:
    return plain(b"moved", f"{status} Moved", f"Location: {location}")


def walking(places: dict[str, bytes]) -> Script:
    """Answers by path."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.read()
            await peer.write(places[request.split(b" ")[1].decode()])

    return script


def paths(server: Server) -> list[str]:
    return [request.split(b" ")[1].decode() for request in server.requests]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_get_follows_to_the_same_origin(status: int, serve: Serve, egress: Egress) -> None:
    places = {
        "/a?x=1": moves("/b/c", status),
        "/b/c": moves("d?y=2#fragment", status),
        "/end": plain(b"here"),
    }
    server = await serve(walking(places))
    places["/b/d?y=2"] = moves(f"HTTP://127.0.0.1:{server.port}/end", status)
    reply = await attempt(egress, server.url + "/a?x=1")
    assert isinstance(reply, Reply)
    assert reply.body == b"here"
    assert paths(server) == ["/a?x=1", "/b/c", "/b/d?y=2", "/end"]
    assert all(f"Authorization: Bearer {TOKEN}".encode() in request for request in server.requests)


async def test_three_redirects_and_no_more(serve: Serve, egress: Egress) -> None:
    server = await serve(answering(moves("/round")))
    reply = await attempt(egress, server.url + "/")
    assert isinstance(reply, Reply)
    assert (reply.status, len(server.requests)) == (302, 4)
    assert classify(reply, ACTION).kind == "done"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_nothing_but_a_get_follows(method: str, serve: Serve, egress: Egress) -> None:
    server = await serve(answering(moves("/b", 307)[:-5].replace(b"Length: 5", b"Length: 0")))
    reply = await attempt(egress, server.url + "/a", method)
    assert isinstance(reply, Reply)
    assert (reply.status, paths(server)) == (307, ["/a"])


@pytest.mark.parametrize(
    "location",
    ["https://127.0.0.1:{port}/b", "http://127.0.0.1:{other}/b", "http://localhost:{port}/b",
     "//evil.example/b", "/b c",
     "http://user@127.0.0.1:{port}/b", "http://127.0.0.1:{port}\\@evil.example/", "javascript:alert(1)",
     "http://[", "", "/é",
     "http://2130706433:{port}/b", "http://127.1:{port}/b", "ftp://127.0.0.1:{port}/b"],
)  # fmt: skip
async def test_no_other_origin_is_followed_to(location: str, serve: Serve, egress: Egress) -> None:
    other = await serve(answering(plain(b"evil")))
    places: dict[str, bytes] = {}
    server = await serve(walking(places))
    places["/a"] = moves(location.format(port=server.port, other=other.port))
    reply = await attempt(egress, server.url + "/a")
    assert isinstance(reply, Reply)
    assert (reply.status, paths(server), other.requests) == (302, ["/a"], [])


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_other_3xx_stay_as_they_are(status: int, serve: Serve, egress: Egress) -> None:
    server = await serve(answering(plain(b"", f"{status} Odd", "Location: /b")))
    reply = await attempt(egress, server.url + "/a")
    assert isinstance(reply, Reply)
    assert (reply.status, paths(server)) == (status, ["/a"])


async def test_redirects_share_the_time_of_one_call(serve: Serve, egress: Egress) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.read()
            await asyncio.sleep(0.03)
            await peer.write(moves("/again"))

    reply = await attempt(egress, (await serve(script)).url, timeout=70)
    assert reply == Missed(True, "outcome_unknown", "No whole answer came in time.")


async def test_a_redirect_that_gets_no_answer_is_lost(serve: Serve, egress: Egress) -> None:
    """Something did leave: nobody may say that the call surely never happened."""

    async def script(peer: Peer) -> None:
        await peer.read()
        peer.server.refuse()
        await peer.write(plain(b"", "302 Moved", "Location: /b", "Connection: close"))

    reply = await attempt(egress, (await serve(script)).url + "/a")
    assert isinstance(reply, Missed)
    assert reply.left
    assert classify(reply, ACTION).kind == "lost"


async def test_what_never_left(egress: Egress) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        reply = await attempt(
            egress, f"http://127.0.0.1:{taken.getsockname()[1]}/?token={TOKEN}", "POST", retry="never"
        )
    assert isinstance(reply, Missed)
    assert not reply.left
    assert TOKEN not in reply.message
    assert classify(reply, ACTION).kind == "never_left"


async def test_what_is_slow_can_be_done_before_the_intent(serve: Serve, egress: Egress) -> None:
    server = await serve(answering(plain()))
    sender = Sender(egress)
    assert await sender.ready(Request("POST", server.url), PROVIDER) is None
    refused = await sender.ready(Request("POST", "https://10.0.0.1/"), PROVIDER)
    assert refused is not None
    assert classify(refused, ACTION).kind == "refused"
    assert server.connections == 0


async def test_the_window_is_held(serve: Serve, egress: Egress) -> None:
    server = await serve(answering(plain()))
    reply = await attempt(egress, server.url, window=-0.001)
    assert isinstance(reply, Missed)
    assert not reply.left
    assert server.requests == []


async def test_what_is_refused(egress: Egress) -> None:
    for url in ("https://10.0.0.1/", "http://evil.example/", "https://127.0.0.1/a b"):
        reply = await attempt(egress, url)
        assert isinstance(reply, Missed)
        assert classify(reply, ACTION).kind == "refused"


@pytest.mark.parametrize("retry", ["never", "safe", "idempotent", "key:Idempotency-Key"])
async def test_what_was_lost_is_sent_once_whatever_its_class(retry: str, serve: Serve, egress: Egress) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()

    server = await serve(script)
    for number in range(1, 3):
        reply = await attempt(egress, server.url, "POST", retry=retry)
        assert isinstance(reply, Missed)
        assert reply.left
        assert len(server.requests) == number
