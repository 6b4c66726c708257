"""Input made to cost: deep, long, packed, endless. Each is refused with a word, in bounded time and memory.

THREAT_MODEL 20, 36, 44, 46, 59. Every case runs under one clock and one measure of memory.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jit_auth.core.digest import parse_json
from jit_auth.core.toml import read
from jit_auth.egress import Egress
from jit_auth.errors import BadRequest, EgressError, Faults, SignInRefused
from jit_auth.model import Action, Reply, Request
from jit_auth.oauth.replies import parse_body
from jit_auth.policy.rules import load
from jit_auth.send.reply import reduce
from jit_auth.signin.id_token import unverified
from tests.integration.egress.servers import Peer, Server
from tests.unit.catalog.kit import ACTION, HEAD, PROVIDER, load_from, write
from tests.unit.policy.world import EVERYTHING

DEEP = 20_000
SECONDS = 10.0
"""Far more than any of it takes; far less than what grows with the square."""


@contextmanager
def bounded(megabytes: int = 60) -> Iterator[None]:
    """What happens here takes neither long nor much."""
    began = time.perf_counter()
    tracemalloc.start()
    try:
        yield
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - began < SECONDS
    assert most < megabytes * 1_000_000


FILES = {
    "lists in lists": "a = " + "[" * DEEP + "]" * DEEP,
    "lists that never close": "a = " + "[" * DEEP,
    "tables in tables": "a = " + "{ b = " * DEEP + "1" + " }" * DEEP,
    "a key of many parts": ".".join(["a"] * DEEP) + " = 1",
    "a heading of many parts": "[" + ".".join(["a"] * DEEP) + "]",
    "a number without end": "a = " + "1" * 100_000,
    "a string without end": 'a = "' + "x" * 50_000,
    "too many characters": "# " + "x" * 3_000_000,
    "a key of quoted parts": '"a"' + '."a"' * DEEP + " = 1",
    "a key of many parts inside": "a = { " + "b." * DEEP + "b = 1 }",
    "33 lists": "a = " + "[" * 33 + "]" * 33,
    "a text without end": 'a = """\n' + "x\n" * 20_000,
    "a list of lines without end": "a = [\n" + "1,\n" * 5_000,
    "one key ever again": "a = 1\n" * 20_000,
    "no TOML at all": "\x00\x01" * 100_000,
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_file_that_is_a_bomb_is_a_fault(text: str, tmp_path: Path) -> None:
    """As any file, as policies and as a connector."""
    with bounded():
        with pytest.raises(Faults) as refused:
            read("x.toml", text)
        assert 1 <= len(refused.value.faults) <= 100
        assert all(len(fault.message) < 2_000 for fault in refused.value.faults)
        with pytest.raises(Faults):
            load([("x.toml", text)], {}, [])
        write(tmp_path, text)
        with pytest.raises(Faults):
            load_from(tmp_path)


def rules(count: int, when: str) -> str:
    one = '[[rule]]\nid = "r{}"\nmatch = ["demo.everything"]\neffect = "deny"\nreason = "x"\nwhen = {}\n'
    return "format = 1\n" + "".join(one.format(number, json.dumps(when)) for number in range(count))


CONDITIONS = {
    "parentheses": "(" * 2_000 + "true" + ")" * 2_000,
    "negations": "!" * 4_000 + "true",
    "signs": "-" * 4_000 + "1 > 0",
    "lists": "[" * 2_000 + "]" * 2_000 + " == []",
    "choices": "true ? " * 500 + "true" + " : true" * 500,
    "calls": "size(" * 700 + "'a'" + ")" * 700 + " > 0",
    "members": "params" + ".a" * 2_000,
    "loops": "params.ints.all(x, " * 50 + "true" + ")" * 50,
    "a string without end": "'" + "a" * 4_000,
    "a number without end": "1" * 4_000 + " > 0",
    "more than a condition": "true && " * 10_000 + "true",
}


@pytest.mark.parametrize("when", CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_that_is_a_bomb_is_a_fault(when: str) -> None:
    with bounded(), pytest.raises(Faults) as refused:
        load([("x.toml", rules(1, when))], {EVERYTHING.name: EVERYTHING}, [])
    assert all(len(fault.message) < 5_000 for fault in refused.value.faults)


def test_many_rules_are_no_bomb() -> None:
    text = rules(500, "params.n > 3 && params.s != 'x' || size(params.strings) > 2")
    began = time.perf_counter()
    policy = load([("x.toml", text)], {EVERYTHING.name: EVERYTHING}, [])
    assert time.perf_counter() - began < 2 * SECONDS
    assert len(policy.rules) == 500


CONNECTORS = {
    "deep schemas": ACTION + "params.a = { type = 'object', properties = "
    + "{ b = { type = 'object', properties = " * 300 + "{}" + " } }" * 300 + " }\n",
    "a pattern that explodes": ACTION + "params.a = { type = 'string', pattern = '(((a{1000}){1000}){1000})' }\n",
    "a reference to itself": ACTION + "params.a = { '$ref' = '#' }\n",
    "a path of many parts": ACTION.replace("/messages", "/" + "{a}/" * 5_000),
    "a long list of scopes that are no names": ACTION.replace('["mail.send"]', json.dumps([" "] * 3_000)),
}  # fmt: skip


@pytest.mark.parametrize("action", CONNECTORS.values(), ids=CONNECTORS)
def test_a_connector_that_is_a_bomb_is_a_fault(action: str, tmp_path: Path) -> None:
    write(tmp_path, HEAD + PROVIDER + action)
    with bounded(), pytest.raises(Faults) as refused:
        load_from(tmp_path)
    assert len(str(refused.value)) < 2_000_000


BODIES: dict[str, bytes] = {
    "lists": b'{"a":' + b"[" * 30_000,
    "lists that close": b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "objects": b'{"a":' * 10_000,
    "objects that close": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "brackets in a string, then lists": b'{"a":"' + b"[{" * 20_000 + b'","b":' + b"[" * 10_000,
    "an integer": b'{"a":' + b"1" * 60_000 + b"}",
    "a fraction": b'{"a":0.' + b"0" * 60_000 + b"1e70000}",
    "an exponent": b'{"a":1e' + b"9" * 60_000 + b"}",
    "names that repeat": b"{" + b'"a":1,' * 9_000 + b'"a":1}',
    "half a surrogate": b'{"a":"' + b"\\ud800" * 9_000 + b'"}',
    "blanks": b" " * 60_000 + b"x",
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "bytes that are no text": b'{"a":"' + b"\xff" * 60_000 + b'"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_a_bomb_is_bad_json(body: bytes) -> None:
    with bounded(20), pytest.raises(BadRequest) as refused:
        parse_json(body)
    assert refused.value.code == "bad_json"
    assert len(refused.value.message) < 1_000


READ = Action(
    name="x.a", connector="x", provider="x", title="t", summary="t", show=(), method="GET", path="/", risk="low",
    effect="read", retry="safe", secret_fields=("secret",),
)  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_reply_that_is_a_bomb_is_a_result_and_no_token(body: bytes) -> None:
    reply = Reply(200, (("content-type", "application/json"),), body, False)
    with bounded(20):
        json.dumps(reduce(reply, READ, ()).body)
        found = parse_body(reply)
    assert isinstance(found, dict)


def packed(header: bytes) -> str:
    """A token with this header: claims are not looked at before the signature fits."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    return ".".join(map(part, (header, b"{}", b"x" * 256)))


TOKENS: dict[str, str] = {
    **{what: packed(body) for what, body in BODIES.items()},
    "a header of lists": base64.urlsafe_b64encode(b"[" * 30_000).decode() + ".e30.x",
    "many parts": "." * 60_000,
    "five parts, packed": ".".join(
        [base64.urlsafe_b64encode(b'{"alg":"dir","enc":"A128GCM","zip":"DEF"}').decode()] * 5
    ),
    "a megabyte": "a" * 1_000_000,
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_an_id_token_that_is_a_bomb_is_refused(token: str) -> None:
    with bounded(20), pytest.raises(SignInRefused) as refused:
        unverified(token)
    assert len(refused.value.message) < 1_000


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n" % len(data) + data + b"\r\n"


CHUNKED = head(b"Transfer-Encoding: chunked")
ENDLESS: dict[str, tuple[bytes, Callable[[], bytes]]] = {
    "headers": (b"HTTP/1.1 200 OK\r\n", lambda: b"X-A: " + b"b" * 1_000 + b"\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-A: ", lambda: b"b" * 4_000),
    "interim answers": (b"", lambda: b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" * 50),
    "chunks": (CHUNKED, lambda: chunk(b"x" * 8_000)),
    "chunks of one byte": (CHUNKED, lambda: chunk(b"x") * 2_000),
    "a chunk's extension": (CHUNKED + b"5;a=", lambda: b"b" * 8_000),
    "a trailer": (CHUNKED + b"0\r\n", lambda: b"X-A: " + b"b" * 1_000 + b"\r\n"),
    "a body to the end": (head(), lambda: b"x" * 8_000),
    "no line at all": (b"", lambda: b"x" * 8_000),
}


@pytest.mark.parametrize(("begin", "more"), ENDLESS.values(), ids=ENDLESS)
async def test_an_answer_without_end_is_cut(begin: bytes, more: Callable[[], bytes]) -> None:
    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(begin)
        for _ in range(100_000):
            await peer.write(more())

    server = Server(script)
    await server.start()
    egress = Egress(["127.0.0.1"])
    with bounded(20):
        try:
            reply = await egress.send(
                Request("GET", server.url + "/"), hosts=["127.0.0.1"], timeout=4_000, max_body=200_000
            )
        except EgressError:
            pass
        else:
            assert reply.truncated
            assert reply.body == b""
        await asyncio.wait_for(server.all_ended(), 5)  # and nobody goes on reading it
    await egress.close()
    await server.stop()


def gzips(count: int) -> bytes:
    return gzip.compress(b"") * count


PACKED: dict[str, tuple[bytes, Callable[[], bytes]]] = {
    "gzip": (b"gzip", lambda: gzip.compress(b"\0" * 30_000_000, 1)),
    "gzip in gzip": (b"gzip, gzip", lambda: gzip.compress(gzip.compress(b"\0" * 30_000_000, 1))),
    "deflate": (b"deflate", lambda: zlib.compress(b"\0" * 30_000_000, 1)),
    "members": (b"gzip", lambda: gzips(20_000)),
    "brotli that was not asked for": (b"br", lambda: b"\x8b\x7f" * 500),
    "zstd that was not asked for": (b"zstd", lambda: b"\x28\xb5\x2f\xfd" * 500),
    "nothing of it": (b"gzip", lambda: b"x" * 1_000),
}
"""Made by the test that sends it, not by every process that collects this file."""


@pytest.mark.parametrize(("coding", "made"), PACKED.values(), ids=PACKED)
async def test_an_answer_that_is_packed_is_cut(coding: bytes, made: Callable[[], bytes]) -> None:
    body = made()

    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(head(b"Content-Encoding: " + coding, b"Content-Length: %d" % len(body)) + body)

    server = Server(script)
    await server.start()
    egress = Egress(["127.0.0.1"])
    with bounded(10):
        request = Request("GET", server.url + "/")
        reply = await egress.send(request, hosts=["127.0.0.1"], timeout=4_000, max_body=200_000)
    assert (reply.truncated, reply.body) == (True, b"")
    await egress.close()
    await server.stop()


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = {"a": [leaf]}
    return leaf


def test_what_is_just_within_the_limits_goes_through() -> None:
    """The bounds refuse bombs and not work."""
    body = json.dumps(nested(7, {"x": "y"})).encode()
    assert parse_json(body)
    reply = Reply(200, (("content-type", "application/json"),), json.dumps(nested(90, 1)).encode(), False)
    assert reduce(reply, READ, ()).body == nested(90, 1)
