"""Whether a byte left is told apart without guessing, and where requests may go is judged before any does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from jit_auth.egress import Egress
from jit_auth.errors import AddressRefused, EgressError, Lost, NeverLeft
from jit_auth.model import Reply, Request

from .conftest import Get, Serve
from .servers import Peer, answering, plain

HERE = ["127.0.0.1"]


class Left:
    """Counts what is said to have left."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def fails(
    egress: Egress, url: str, kind: type[EgressError], hosts: Sequence[str] = HERE, connect_by: float | None = None
) -> str:
    """Send, expect to fail without a byte written, and give the message."""
    left = Left()
    request = Request("POST", url, (), b"x")
    with pytest.raises(kind) as failed:
        await egress.send(request, hosts=hosts, timeout=5000, on_left=left, connect_by=connect_by)
    assert left.times == 0
    return failed.value.message


async def resolving(*addresses: str, allow: str = "127.0.0.1") -> Egress:
    async def resolve(host: str) -> Sequence[str]:
        return addresses

    return Egress([allow], resolve=resolve)


async def test_a_refused_connection_never_left(egress: Egress) -> None:
    message = await fails(egress, f"http://127.0.0.1:{closed_port()}/secret?token=t", NeverLeft)
    assert "127.0.0.1" in message
    assert "secret" not in message


async def test_a_name_that_is_none_never_left() -> None:
    async def resolve(host: str) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    await fails(Egress(resolve=resolve), "https://gone.example/", NeverLeft, ["gone.example"])


@pytest.mark.parametrize("odd", [UnicodeError("label too long"), OSError("network is down"), TimeoutError()])
async def test_whatever_resolving_raises_never_left(odd: Exception) -> None:
    async def resolve(host: str) -> Sequence[str]:
        raise odd

    await fails(Egress(resolve=resolve), "https://gone.example/", NeverLeft, ["gone.example"])


async def test_a_name_that_takes_too_long_never_left() -> None:
    async def resolve(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    egress = Egress(resolve=resolve)
    by = asyncio.get_running_loop().time() + 0.03
    await fails(egress, "https://slow.example/", NeverLeft, ["slow.example"], connect_by=by)
    await egress.close()


async def test_a_server_that_does_not_shake_hands_never_left(serve: Serve, egress: Egress) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    server = await serve(script)
    by = asyncio.get_running_loop().time() + 0.05
    await fails(egress, server.url.replace("http", "https"), NeverLeft, connect_by=by)
    await server.all_ended()


async def test_nothing_is_begun_after_its_time(serve: Serve, egress: Egress, get: Get) -> None:
    server = await serve(answering(plain()))
    await get(server)
    past = asyncio.get_running_loop().time() - 0.001
    await fails(egress, server.url, NeverLeft, connect_by=past)
    await fails(egress, f"http://127.0.0.1:{closed_port()}/", NeverLeft, connect_by=past)
    assert len(server.requests) == 1
    assert (await get(server)).status == 200
    assert server.connections == 1  # the connection that was not used is still good


async def test_the_first_byte_is_told_before_it_is_written(serve: Serve, get: Get) -> None:
    server = await serve(answering(plain()))
    seen: list[int] = []
    await get(server, on_left=lambda: seen.append(len(server.requests)))
    assert seen == [0]


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0",
     "2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[64:ff9b::7f00:1]", "localhost."],
)  # fmt: skip
async def test_no_literal_leads_to_where_names_may_not(host: str) -> None:
    egress = Egress()
    await fails(egress, f"https://{host}/", AddressRefused, [host.strip("[]"), host])


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00:ec2::254", "0.0.0.0"]
)
async def test_no_name_leads_to_where_literals_may_not(address: str) -> None:
    egress = await resolving(address)
    await fails(egress, "https://api.example/", AddressRefused, ["api.example"])


async def test_only_pinned_hosts_are_gone_to(serve: Serve, egress: Egress) -> None:
    server = await serve(answering(plain()))
    for hosts in ([], ["api.example"], ["*.0.0.1"], ["127.0.0.2"]):
        await fails(egress, server.url, AddressRefused, hosts)
    egress = await resolving("127.0.0.1")
    await fails(egress, "https://evil.example/", AddressRefused, ["api.example"])
    assert server.connections == 0


async def test_plain_http_only_where_the_operator_listed_it() -> None:
    await fails(await resolving("8.8.8.8"), "http://api.example/", AddressRefused, ["api.example"])


async def test_a_judged_address_is_what_is_connected_to(serve: Serve) -> None:
    """Rebinding: the name's next address would be another one, and nobody asks for it."""
    server = await serve(answering(plain(b"judged")))
    answers = [["127.0.0.1"], ["192.0.2.1"]]

    async def resolve(host: str) -> Sequence[str]:
        return answers.pop(0)

    egress = Egress(HERE, resolve=resolve)
    request = Request("GET", f"http://api.example:{server.port}/")
    for _ in range(2):
        assert (await egress.send(request, hosts=["api.example"], timeout=5000)).body == b"judged"
    assert f"Host: api.example:{server.port}".encode() in server.requests[0]
    await egress.close()


async def test_of_several_addresses_the_first_that_takes_a_connection_serves(serve: Serve) -> None:
    server = await serve(answering(plain(b"second")))
    egress = await resolving("127.0.0.9", "10.0.0.1", "127.0.0.1", allow="127.0.0.0/8")
    request = Request("GET", f"http://api.example:{server.port}/")
    assert (await egress.send(request, hosts=["api.example"], timeout=5000)).body == b"second"
    await egress.close()


async def test_judging_beforehand_resolves_and_refuses(serve: Serve) -> None:
    asked: list[str] = []

    async def resolve(host: str) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if host == "good.example" else ["10.0.0.1"]

    server = await serve(answering(plain()))
    egress = Egress(HERE, resolve=resolve)
    await egress.judge(f"http://good.example:{server.port}/", hosts=["good.example"])
    await egress.judge(server.url, hosts=HERE)
    with pytest.raises(AddressRefused):
        await egress.judge("https://bad.example/", hosts=["*.example"])
    with pytest.raises(AddressRefused):
        await egress.judge("https://good.example/", hosts=["other.example"])
    request = Request("GET", f"http://good.example:{server.port}/")
    await egress.send(request, hosts=["good.example"], timeout=5000)
    assert asked == ["good.example", "bad.example"]
    await egress.close()


async def test_a_request_that_is_two_is_refused(serve: Serve, egress: Egress) -> None:
    server = await serve(answering(plain()))
    for request in (
        Request("GET", server.url + "/", (("X", "a\r\n\r\nGET /evil HTTP/1.1"),)),
        Request("GET", server.url + "/a b"),
        Request("GET /evil HTTP/1.1\r\nX:", server.url),
        Request("POST", server.url, (("Transfer-Encoding", "chunked"),), b"0\r\n\r\nGET /evil"),
    ):
        with pytest.raises(AddressRefused):
            await egress.send(request, hosts=HERE, timeout=5000)
    assert server.connections == 0


async def test_environment_and_netrc_change_nothing(
    serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{closed_port()}")
    server = await serve(answering(plain()))
    assert isinstance(await get(server), Reply)
    assert b"authorization" not in server.requests[0].lower()


async def test_a_server_that_closes_at_once_is_one_or_the_other(serve: Serve, egress: Egress) -> None:
    """Closed before anything was read: never left if that was seen before writing, else lost. Never an answer."""

    async def script(peer: Peer) -> None:
        peer.reset()

    server = await serve(script)
    left = Left()
    with pytest.raises((NeverLeft, Lost)) as failed:
        await egress.send(Request("POST", server.url), hosts=HERE, timeout=5000, on_left=left)
    assert isinstance(failed.value, Lost) == (left.times == 1)
