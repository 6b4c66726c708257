"""Bodies and heads that nobody should send, made from calls that are good: the same ones each time for one seed."""

from __future__ import annotations

import copy
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any
from urllib.parse import urlencode

WEIRD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e21,
    -0.0,
    2**53,
    2**64,
    10**300,
    "",
    " ",
    "\0",
    "a\0b",
    "\ufeff",
    "\u202e",
    "\u2028",
    "e\u0301",
    "\U0001f600",
    "\ufdd0",
    "\uffff",
    "a" * 300,
    "a" * 70_000,
    "../..",
    "%00",
    "<b>",
    "{{7*7}}",
    "${x}",
    "*",
    "requester",
    "ana@EXAMPLE.com",
    "\u212aelvin",
    "a@b@c",
    "0001",
    "1e400",
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": ""},
    {"a": {"b": {"c": []}}},
    ["x"] * 600,
    {"__proto__": 1},
    {"$ref": "#"},
    -(10**18),
    "2026-13-40T99:99:99Z",
    "sha256:" + "0" * 64,
)
NESTED = (17, 100, 5_000, 60_000)
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "application/json; charset=nonsense",
    "APPLICATION/JSON",
    "text/plain",
    "text/html",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/problem+json",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-7",
    "",
    "/",
    "a/b/c",
    ";;;",
    'application/json; a="',
    "application/\xe9",
)


@dataclass(frozen=True)
class Good:
    """A call as it should be. `sign` makes headers for the bytes of a body."""

    method: str
    path: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    form: str | None = None
    """The body is a form with this one field, in it the JSON."""
    sign: Callable[[bytes], dict[str, str]] | None = None


@dataclass(frozen=True)
class Hostile:
    """What goes over the wire. `framed`: it is one request, so that there must be an answer."""

    raw: bytes
    framed: bool = True


def corpus(good: Good, host: str, count: int, seed: int) -> Iterator[Hostile]:
    """So many variations of one call."""
    chance = Random(seed)  # noqa: S311 - no secret: the same corpus each time
    for _ in range(count):
        yield _one(good, host, chance)


def _one(good: Good, host: str, chance: Random) -> Hostile:
    kind = chance.random()
    value = copy.deepcopy(good.body)
    if kind < 0.45:
        value = _changed(value, chance)
    body = _text(value, chance)
    if 0.45 <= kind < 0.75:
        body = _broken(body, chance)
    if good.form is not None and chance.random() < 0.9:
        body = urlencode({good.form: body}).encode() if chance.random() < 0.9 else good.form.encode() + b"=" + body
    headers = [("Host", host), ("Content-Type", "application/x-www-form-urlencoded" if good.form else TYPES[0])]
    headers += good.headers.items()
    if kind >= 0.75:
        body = _headed(headers, body, chance)
    if good.sign is not None:
        headers += good.sign(body).items()
    path = good.path
    if chance.random() < 0.05:
        path += chance.choice(("?x=1", "?wait=1", "?%00", "?%ff=%fe", "?a=1&a=1", "?=", "?&&", "?q=" + "a" * 3_000))
    if chance.random() < 0.06:
        return _misframed(good.method, path, headers, body, chance)
    return Hostile(_request(good.method, path, headers, body, chunked=chance.random() < 0.1, chance=chance))


def _changed(value: Any, chance: Random) -> Any:
    """Another value at some place, a member more or less, or one of another name."""
    for _ in range(chance.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return chance.choice(WEIRD)
        holder, key = chance.choice(places)
        deed = chance.random()
        if deed < 0.6:
            holder[key] = copy.deepcopy(chance.choice(WEIRD))
        elif isinstance(holder, dict) and deed < 0.7:
            del holder[key]
        elif isinstance(holder, dict) and deed < 0.85:
            holder[key + chance.choice(("s", " ", "\0", "\u200b", "K"))] = holder.pop(key)
        elif isinstance(holder, dict):
            holder[str(chance.choice(WEIRD))[:40]] = copy.deepcopy(chance.choice(WEIRD))
    return value if chance.random() < 0.97 else copy.deepcopy(chance.choice(WEIRD))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _text(value: Any, chance: Random) -> bytes:
    plain = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    return plain.encode("utf-8", "surrogatepass")


def _broken(body: bytes, chance: Random) -> bytes:
    """No JSON, or none that may be taken."""
    at = chance.randrange(len(body) + 1)
    depth = chance.choice(NESTED)
    first = body.find(b'"')
    ways: tuple[bytes, ...] = (
        b"",
        b" ",
        b"\0",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"{}",
        b"{}{}",
        b"NaN",
        b"[" * depth,
        b'{"a":' * depth,
        body[:at],
        body[at:],
        body[:at] + b"\0" + body[at:],
        body[:at] + b"\xff\xfe" + body[at:],
        body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :],
        b"\xef\xbb\xbf" + body,
        body + b"x",
        body + b"//",
        body + body,
        body.replace(b'"', b"'"),
        body.replace(b":", b":NaN,", 1),
        body.decode("utf-8", "replace").encode("utf-16"),
        body.decode("utf-8", "replace").encode("utf-32"),
        body[:1] + body[1:-1] + b"," + body[1:],
        body.replace(b"{", b'{"\\ud800":1,', 1),
        body.replace(b"{", b'{"\\u0000":1,', 1),
        body.replace(b"{", b'{"n":1e999,', 1),
        body.replace(b"{", b'{"n":-Infinity,', 1),
        body.replace(b"{", b'{"n":' + b"9" * 5_000 + b",", 1),
        body.replace(b"{", b'{"n":00,', 1),
        body[: first + 1] + b"\\x" + body[first + 1 :],
        b"{" + b'"a":' * 3 + b"1}",
        body.ljust(70_000),
        b"\xed\xa0\x80" + body,
        body.replace(b"{", b'{"\xed\xa0\x80":1,', 1),
        b'{"a":[' + b"[]," * 20_000 + b"[]]}",
        b'{"a":"' + b"\\" * 1_001 + b'"}',
    )
    return chance.choice(ways)


@cache
def _bomb() -> bytes:
    return gzip.compress(b"0" * 3_000_000)


def _headed(headers: list[tuple[str, str]], body: bytes, chance: Random) -> bytes:
    """Headers that say something else than the body, or say it twice."""
    deed = chance.randrange(9)
    if deed == 0:
        headers[1] = ("Content-Type", chance.choice(TYPES))
    elif deed == 1:
        headers.append(("Content-Type", chance.choice(TYPES)))
    elif deed == 2:
        del headers[1]
    elif deed == 3:
        coding = chance.choice(("gzip", "deflate", "br", "zstd", "identity", "x", "gzip, gzip", "GZIP"))
        headers.append(("Content-Encoding", coding))
        pack = chance.choice(
            (gzip.compress, zlib.compress, bytes, lambda it: gzip.compress(it)[:-9], lambda _: _bomb())
        )
        return pack(body)
    elif deed == 4:
        token = chance.choice(
            ("Bearer", "Bearer ", "Basic eDp5", "Bearer \xff\xfe", "bearer a b", "Bearer " + "a" * 3_000)
        )
        headers.append(("Authorization", token))
    elif deed == 5:
        name = chance.choice(
            ("Idempotency-Key", "Prefer", "Last-Event-ID", "Origin", "Cookie", "Referer", "Sec-Fetch-Site")
        )
        odd = (
            "",
            " ",
            "\xff",
            "null",
            "wait=-1",
            "wait=x",
            "wait=1, wait=0",
            "wait=" + "0" * 30,
            "a" * 300,
            "=;=",
            "\x7f",
            "a\tb",
        )
        headers.append((name, chance.choice(odd)))
    elif deed == 6:
        headers.append(("Accept", chance.choice(("text/html", "application/json", "*/*", "", "\xff", "a/b;q=x"))))
    elif deed == 7:
        headers.append(("Expect", chance.choice(("100-continue", "200-ok", ""))))
    else:
        headers[0] = ("Host", chance.choice(("evil.example", "", "[::1", "127.0.0.1:x", "\xff", "127.0.0.1@evil")))
    return body


def _request(
    method: str, path: str, headers: list[tuple[str, str]], body: bytes, *, chunked: bool, chance: Random
) -> bytes:
    """One request, framed as it should be."""
    if not chunked:
        return _head(method, path, [*headers, ("Content-Length", str(len(body)))]) + body
    size = chance.choice((1, 7, 1_000)) if len(body) < 2_000 else 5_000
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    told = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    return _head(method, path, [*headers, ("Transfer-Encoding", "chunked")]) + told


def _misframed(method: str, path: str, headers: list[tuple[str, str]], body: bytes, chance: Random) -> Hostile:
    """Two readers could find different requests in it, or one reader none."""
    length, chunked = ("Content-Length", str(len(body))), ("Transfer-Encoding", "chunked")
    heads: tuple[list[tuple[str, str]], ...] = (
        [length, chunked],
        [length, length],
        [length, ("Content-Length", "1")],
        [("Content-Length", "-1")],
        [("Content-Length", "0x10")],
        [("Content-Length", "+5")],
        [("Content-Length", "9" * 30)],
        [chunked],
        [("Transfer-Encoding", "gzip, chunked")],
        [("Transfer-Encoding", "xchunked")],
        [length, ("X", "a\0b")],
        [length, ("X", "a\rb")],
        [length, ("X", "a\nb")],
        [length, ("X" * 20_000, "a")],
        [length, ("X", "a" * 20_000)],
        [length, ("X Y", "a")],
        [("Content-Length ", str(len(body)))],
        [("Content-Length", str(len(body) + 50))],
    )
    whole = _head(method, path, [*headers, *chance.choice(heads)]) + body
    begun = chance.choice(
        (whole,) * 6
        + (whole.replace(b"HTTP/1.1", b"HTTP/9.9", 1), b"\0" + whole, whole.lower(), whole[: len(whole) // 2])
    )
    if chance.random() < 0.2:
        bad = chance.choice(
            (b"zz\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"5\r\nabc\r\n", b"5;x=\0\r\nabcde\r\n0\r\n")
        )
        begun = _head(method, path, [*headers, chunked]) + bad
    return Hostile(begun, framed=False)


def _head(method: str, path: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
