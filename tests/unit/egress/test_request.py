"""The bytes that leave: exactly the built ones, framed once, and never two requests in one."""

from __future__ import annotations

import pytest

from jit_auth.egress.address import parse
from jit_auth.egress.request import Writer
from jit_auth.errors import AddressRefused
from jit_auth.model import Request

URL = "https://api.example.com:8443/a%20b?c=%2F"


def written(
    method: str = "POST", headers: tuple[tuple[str, str], ...] = (), body: bytes = b"", url: str = URL
) -> bytes:
    return Writer().write(Request(method, url, headers, body), parse(url))


def test_the_request_as_it_leaves() -> None:
    assert written(headers=(("User-Agent", "jit_auth/0"), ("X-A", "b c")), body=b'{"a":1}') == (
        b"POST /a%20b?c=%2F HTTP/1.1\r\nHost: api.example.com:8443\r\nUser-Agent: jit_auth/0\r\nX-A: b c\r\n"
        b'Accept-Encoding: gzip, deflate\r\nContent-Length: 7\r\n\r\n{"a":1}'
    )


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", b"", False), ("HEAD", b"", False), ("DELETE", b"", False), ("OPTIONS", b"", False), ("POST", b"", True),
     ("PUT", b"", True), ("PATCH", b"", True), ("DELETE", b"x", True), ("GET", b"x", True)],
)  # fmt: skip
def test_a_length_is_told_where_one_is_expected(method: str, body: bytes, length: bool) -> None:
    assert (b"Content-Length: " in written(method, body=body)) is length


def test_an_encoding_asked_for_by_the_request_stands() -> None:
    sent = written("GET", (("ACCEPT-encoding", "identity"),))
    assert sent.lower().count(b"accept-encoding") == 1
    assert b"ACCEPT-encoding: identity\r\n" in sent


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\tb", "é", "\u2028", "a\x0bb"])
def test_no_value_ends_its_line(value: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        written(headers=(("X-A", value),))
    assert refused.value.code == "request_refused"
    assert value not in refused.value.message


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a:", "a\r\nb", "é", "Host", "content-LENGTH", "Transfer-Encoding", "Connection", "Upgrade", "TE",
     "Trailer", "Expect", "Keep-Alive", "Proxy-Connection"],
)  # fmt: skip
def test_no_header_frames_the_message_but_ours(name: str) -> None:
    with pytest.raises(AddressRefused):
        written(headers=((name, "x"),))


@pytest.mark.parametrize("method", ["", "get", "GET /x HTTP/1.1\r\n", "CONNECT", "TRACE", "G T", "GÉT"])
def test_methods_are_plain(method: str) -> None:
    with pytest.raises(AddressRefused):
        written(method)
