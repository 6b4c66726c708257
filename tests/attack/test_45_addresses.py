"""No address, name, redirect or parameter takes a request to a place it was not meant for: ssrf.toml, row by row.

THREAT_MODEL 5, 30, 31, 45. Egress and the build of a request are the real ones; a trap on loopback counts connections.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import rfc8785

from jit_auth.core.callback import callback
from jit_auth.core.request import Build, prepare
from jit_auth.egress import Egress
from jit_auth.egress.resolver import KEEP
from jit_auth.errors import AddressRefused, EgressError, Unprocessable
from jit_auth.model import Action, Connector, Inject, Param, Provider, Reply, Request
from jit_auth.send.sender import Sender
from tests.integration.egress.servers import Server, answering, plain

CORPUS: dict[str, dict[str, list[str]]] = tomllib.loads((Path(__file__).parent / "ssrf.toml").read_text())
EXECUTION = "exe_01m3250v00xfpwb29eqsbp6a3f"


def rows(*tables: str) -> list[Any]:
    """(kind, row) of each row of these tables, named by kind and place."""
    return [
        pytest.param(kind, row, id=f"{kind}-{number}")
        for table in tables
        for kind, listed in CORPUS[table].items()
        for number, row in enumerate(listed)
    ]


def test_the_corpus_is_as_large_as_it_claims() -> None:
    listed = [row for table in CORPUS.values() for listed in table.values() for row in (listed or [""])]
    assert len(listed) >= 350
    assert sum(len(listed) for listed in CORPUS["urls"].values()) >= 150
    for table in ("urls", "paths", "locations", "callbacks"):
        found = [row for each in CORPUS[table].values() for row in each]
        assert len(set(found)) == len(found)


@pytest.fixture
async def trap() -> AsyncIterator[Server]:
    """A server that must hear of nothing."""
    server = Server(answering(plain(b"caught")))
    await server.start()
    yield server
    await server.stop()
    assert server.connections == 0


def host_written(url: str) -> str:
    """The host as a careless reader takes it from a URL, for a pin that lists it."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return url.partition("//")[2].partition("/")[0]


class Names:
    """A name server that says what it is told to, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_no_url_leads_anywhere(trap: Server) -> None:
    """Judged and sent, with the host pinned as written, upper and lower case, and a name server that says loopback."""
    egress = Egress(resolve=Names(["127.0.0.1"]))
    missed = []
    for kind, listed in CORPUS["urls"].items():
        for row in listed:
            url = row.replace("{port}", str(trap.port))
            hosts = [host_written(url), f"[{host_written(url)}]", "api.example", "*.example", "127.0.0.1", "localhost"]
            works = egress.judge(url, hosts=hosts), egress.send(Request("GET", url), hosts=hosts, timeout=500)
            came = await asyncio.gather(*works, return_exceptions=True)
            if [type(each) for each in came] != [AddressRefused, AddressRefused]:
                missed.append((kind, row, came))
    await egress.close()
    assert missed == []


async def test_plain_http_to_a_public_place_and_names_with_private_addresses(trap: Server) -> None:
    for name, addresses in CORPUS["names"].items():
        for scheme in ("http", "https"):
            egress = Egress(resolve=Names(addresses))
            with pytest.raises(AddressRefused):
                await egress.send(Request("GET", f"{scheme}://{name}:{trap.port}/"), hosts=[name], timeout=500)
            await egress.close()


async def test_a_name_that_changes_between_judgement_and_connection_is_not_asked_again(trap: Server) -> None:
    """What was judged is what is connected to: the second answer, loopback, is never taken."""
    names = Names(["192.0.2.1"], ["127.0.0.1"])
    egress = Egress(["192.0.2.1"], resolve=names)  # the documentation's network leads nowhere
    url = f"http://api.example:{trap.port}/"
    await egress.judge(url, hosts=["api.example"])
    soon = asyncio.get_running_loop().time() + 0.05
    with pytest.raises(EgressError) as raised:
        await egress.send(Request("POST", url, (), b"x"), hosts=["api.example"], timeout=500, connect_by=soon)
    assert raised.value.code != "address_refused"
    assert names.asked == 1
    await egress.close()


async def test_a_name_that_changes_between_two_attempts_is_judged_again(
    trap: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    names = Names(["192.0.2.1"], ["127.0.0.1"], ["192.0.2.1", "127.0.0.1"], ["::ffff:127.0.0.1"])
    egress = Egress(["192.0.2.1"], resolve=names)
    url = f"http://api.example:{trap.port}/"
    await egress.judge(url, hosts=["api.example"])
    real, later = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + later)
    later += KEEP + 1
    with pytest.raises(AddressRefused):
        await egress.send(Request("GET", url), hosts=["api.example"], timeout=500)
    later += KEEP + 1
    await egress.judge(url, hosts=["api.example"])  # one good address beside loopback: that one alone is gone to
    with pytest.raises(EgressError) as raised:
        await egress.send(Request("GET", url), hosts=["api.example"], timeout=500, connect_by=loop.time() + 0.05)
    assert raised.value.code != "address_refused"
    later += KEEP + 1
    with pytest.raises(AddressRefused):
        await egress.judge(url, hosts=["api.example"])
    assert names.asked == 4
    monkeypatch.undo()
    await egress.close()


async def test_an_idle_connection_serves_no_other_name(trap: Server) -> None:
    """A connection made for one name is no way to the same address under another."""
    server = Server(answering(plain(b"ok")))
    await server.start()
    egress = Egress(["127.0.0.1", "one.example"], resolve=Names(["127.0.0.1"]))
    for host in ("one.example", "two.example"):
        url = f"http://{host}:{server.port}/"
        await egress.send(Request("GET", url), hosts=["*.example"], timeout=2000)
    assert server.connections == 2
    await egress.close()
    await server.stop()


def build(path: str, params: dict[str, str], base_url: str = "https://api.example/v1") -> Build:
    """The build of an action whose parameters go to these places."""
    places = tuple(Param(name=name, schema={}, where=where) for name, where in params.items())  # type: ignore[arg-type]  # test data
    inject = Inject(header="Authorization")
    provider = Provider(id="x", hosts=("api.example", "*.api.example"), inject=inject)
    action = Action(
        name="x.a", connector="x", provider="x", title="t", summary="t", show=(), method="POST", path=path, risk="low",
        effect="create", retry="never", params=places,
    )  # fmt: skip
    return prepare(Connector(id="x", name="X", provider=provider, actions=(action,), base_url=base_url), action)


IN_PATH = build("/users/{id}/messages", {"id": "path"})
EVERYWHERE = build("/users/{id}/messages", {"id": "path", "q": "query", "X-Note": "header", "b": "body"})


@pytest.mark.parametrize(("kind", "value"), rows("paths"))
def test_a_value_stays_in_its_segment(kind: str, value: str) -> None:
    try:
        request = IN_PATH({"id": value}, {}, EXECUTION, 0)
    except Unprocessable:
        return
    assert request.url.isascii()
    assert request.url.isprintable()
    head, segment, tail = request.url[: len("https://api.example/v1/users/")], request.url[29:-9], request.url[-9:]
    assert (head, tail) == ("https://api.example/v1/users/", "/messages")
    assert not set(segment) & set("/?#\\;@ ")
    decoded = segment
    for _ in range(5):  # however often a server decodes it
        decoded = unquote(decoded)
        parts = decoded.replace("\\", "/").split("/")
        assert not {".", ".."} & {part.partition(";")[0] for part in parts}
    assert unquote(segment) == value


@pytest.mark.parametrize("place", ["id", "q", "X-Note", "b"])
@pytest.mark.parametrize(("kind", "value"), rows("lines"))
async def test_no_value_makes_a_line_or_a_parameter(kind: str, value: str, place: str) -> None:
    params = {"id": "i", "q": "q", "X-Note": "n", "b": "b"} | {place: value}
    try:
        request = EVERYWHERE(params, {}, EXECUTION, 0)
    except Unprocessable:
        return
    server = Server(answering(plain()))
    await server.start()
    egress = Egress(["127.0.0.1"])
    there = request.url.replace("https://api.example", server.url)
    await egress.send(Request("POST", there, request.headers, request.body), hosts=["127.0.0.1"], timeout=2000)
    await egress.close()
    await server.stop()
    (sent,) = server.requests  # one request, whatever it holds
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    names = [line.partition(b": ")[0] for line in lines]
    assert names == [
        b"Host", b"User-Agent", b"Accept", b"Content-Type", b"X-Note", b"Accept-Encoding", b"Content-Length",
    ]  # fmt: skip
    assert first.count(b" ") == 2
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert parse_qsl(urlsplit(request.url).query, keep_blank_values=True) == [("q", params["q"])]
    assert body == rfc8785.dumps({"b": params["b"]})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_leads_elsewhere(status: int, trap: Server) -> None:
    """From an honest server that was talked into it, with a credential on the request."""
    action = Action(
        name="x.a", connector="x", provider="x", title="t", summary="t", show=(), method="GET", path="/", risk="low",
        effect="read", retry="safe",
    )  # fmt: skip
    provider = Provider(id="x", hosts=("127.0.0.1", "localhost", "::1", "api.example"))
    moved = [
        plain(b"moved", f"{status} Moved", "Location: " + row.replace("{port}", str(trap.port)))
        for row in CORPUS["locations"]["elsewhere"]
        if "\0" not in row
    ]
    server = Server(answering(*moved))
    await server.start()
    egress = Egress(["127.0.0.1", "localhost", "::1"], resolve=Names(["127.0.0.1"]))
    for number in range(len(moved)):
        request = Request("GET", server.url + f"/{number}", (("Authorization", "Bearer secret"),))
        reply = await Sender(egress).attempt(request, action, provider, (), window=5.0)
        assert isinstance(reply, Reply)
        assert reply.status == status
        assert len(server.requests) == number + 1
    await egress.close()
    await server.stop()


@pytest.mark.parametrize(("field", "value"), rows("accounts"))
def test_no_account_leads_elsewhere(field: str, value: str) -> None:
    made = build("/m", {"q": "query"}, base_url="https://{account.site}.api.example/{account.id}")
    account = {"site": "good", "id": "7"} | {field: value}
    with pytest.raises(Unprocessable) as refused:
        made({}, account, EXECUTION, 0)
    assert refused.value.code == "unknown_account"


@pytest.mark.parametrize(("kind", "url"), rows("callbacks"))
def test_no_callback_leaves_its_prefix(kind: str, url: str) -> None:
    assert callback(url.replace("{port}", "9"), ["https://good.example/hooks/"]) is None
    assert callback("https://good.example/hooks/x?y=1", ["https://good.example/hooks/"])
