"""TLS: the certificate is checked against the name, over the judged address; an end that is not proven is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from jit_auth.egress import Egress
from jit_auth.errors import Lost, NeverLeft
from jit_auth.model import Request
from tests.fakes.authority import Authority

from .conftest import Serve
from .servers import Peer, Server, answering, ending, plain


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


async def here(host: str) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[Egress]:
    egress = Egress(["127.0.0.1"], resolve=here, ssl_context=authority.client())
    yield egress
    await egress.close()


def request(server: Server, host: str = "api.example", method: str = "POST") -> Request:
    return Request(method, f"https://{host}:{server.port}/x", (), b"body" if method == "POST" else b"")


HOSTS = ["*.example", "127.0.0.1", "api.example"]


async def test_the_name_is_checked_over_the_judged_address(serve: Serve, authority: Authority, secure: Egress) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("api.example"))
    for _ in range(3):
        reply = await secure.send(request(server), hosts=HOSTS, timeout=5000)
        assert reply.body == b"ok"
    assert server.connections == 1
    assert server.requests[0].endswith(b"body")


async def test_an_address_in_a_certificate_counts(serve: Serve, authority: Authority, secure: Egress) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("127.0.0.1"))
    assert (await secure.send(request(server, "127.0.0.1"), hosts=HOSTS, timeout=5000)).body == b"ok"


async def test_a_connection_checked_for_one_name_serves_no_other(
    serve: Serve, authority: Authority, secure: Egress
) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("api.example"))
    await secure.send(request(server), hosts=HOSTS, timeout=5000)
    with pytest.raises(NeverLeft, match="certificate"):
        await secure.send(request(server, "other.example"), hosts=HOSTS, timeout=5000)
    assert len(server.requests) == 1


@pytest.mark.parametrize("wrong", ["name", "authority", "expired", "address"])
async def test_a_certificate_that_proves_nothing_gets_nothing(
    wrong: str, serve: Serve, authority: Authority, secure: Egress, tmp_path: Path
) -> None:
    context = {
        "name": lambda: authority.server("other.example"),
        "authority": lambda: Authority.make(tmp_path).server("api.example"),
        "expired": lambda: authority.server("api.example", days=-1),
        "address": lambda: authority.server("127.0.0.1"),
    }[wrong]()
    server = await serve(answering(plain(b"ok")), context)
    with pytest.raises(NeverLeft, match="certificate"):
        await secure.send(request(server), hosts=HOSTS, timeout=5000)
    assert server.requests == []


async def test_the_system_s_authorities_are_asked_by_default(serve: Serve, authority: Authority) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("api.example"))
    egress = Egress(["127.0.0.1"], resolve=here)
    with pytest.raises(NeverLeft, match="certificate"):
        await egress.send(request(server), hosts=HOSTS, timeout=5000)
    await egress.close()


async def test_an_authority_vouches_for_whoever_named_it(serve: Serve, authority: Authority, tmp_path: Path) -> None:
    """Attack: a connection that one provider's own authority vouched for is used for another provider's token."""
    server = await serve(answering(plain(b"ok")), authority.server("api.example"))
    egress = Egress(["127.0.0.1"], resolve=here)
    assert (await egress.send(request(server), hosts=HOSTS, timeout=5000, ca=authority.pem)).body == b"ok"
    for other in ("", Authority.make(tmp_path).pem):
        with pytest.raises(NeverLeft, match="certificate"):
            await egress.send(request(server), hosts=HOSTS, timeout=5000, ca=other)
    both = authority.pem + Authority.make(tmp_path).pem
    assert (await egress.send(request(server), hosts=HOSTS, timeout=5000, ca=both)).body == b"ok"
    with pytest.raises(NeverLeft, match="certificate"):
        await egress.send(request(server, "other.example"), hosts=HOSTS, timeout=5000, ca=authority.pem)
    assert len(server.requests) == 2
    await egress.close()


async def test_the_system_s_authorities_stay(authority: Authority, monkeypatch: pytest.MonkeyPatch, serve: Serve,
                                             tmp_path: Path) -> None:  # fmt: skip
    system = Authority.make(tmp_path)
    (tmp_path / "system.pem").write_text(system.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    server = await serve(answering(plain(b"ok")), system.server("api.example"))
    egress = Egress(["127.0.0.1"], resolve=here)
    assert (await egress.send(request(server), hosts=HOSTS, timeout=5000, ca=authority.pem)).body == b"ok"
    await egress.close()


async def test_a_server_without_tls_gets_nothing(serve: Serve, secure: Egress) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 400 Bad\r\n\r\n")

    server = await serve(script)
    with pytest.raises(NeverLeft):
        await secure.send(request(server), hosts=HOSTS, timeout=5000)


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nall of it"


async def test_a_body_until_close_ends_by_close_notify(serve: Serve, authority: Authority, secure: Egress) -> None:
    server = await serve(ending(UNTIL_CLOSE), authority.server("api.example"))
    reply = await secure.send(request(server), hosts=HOSTS, timeout=5000)
    assert (reply.body, reply.truncated) == (b"all of it", False)


async def test_a_body_until_close_does_not_end_by_a_cut_wire(
    serve: Serve, authority: Authority, secure: Egress
) -> None:
    """Whoever sits in between can send a FIN; only the server can send close_notify."""

    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(UNTIL_CLOSE)
        await asyncio.sleep(0.02)
        peer.abort()

    server = await serve(script, authority.server("api.example"))
    reply = await secure.send(request(server), hosts=HOSTS, timeout=5000)
    assert (reply.status, reply.body, reply.truncated) == (200, b"", True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("reused", [False, True])
async def test_one_send_is_one_request(
    method: str, reused: bool, serve: Serve, authority: Authority, secure: Egress
) -> None:
    async def script(peer: Peer) -> None:
        if reused:
            await peer.read()
            await peer.write(plain(b""))
        await peer.read()
        peer.abort()

    server = await serve(script, authority.server("api.example"))
    if reused:
        await secure.send(request(server, method=method), hosts=HOSTS, timeout=5000)
    with pytest.raises(Lost):
        await secure.send(request(server, method=method), hosts=HOSTS, timeout=5000)
    await server.all_ended()
    assert len(server.requests) == 1 + reused


async def test_a_cancelled_handshake_leaves_nothing_behind(serve: Serve, secure: Egress) -> None:
    connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        connected.set()
        await peer.gone()

    server = await serve(script)
    asking = asyncio.ensure_future(secure.send(request(server), hosts=HOSTS, timeout=5000))
    await connected.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await server.all_ended()
