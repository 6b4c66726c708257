"""What an agent may see of an answer: allow-listed headers, a parsed body, no secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from jit_auth.model import Action, Reply, Result
from jit_auth.send.reply import reduce

TOKEN = b"tok-3N/cred+ential=="
ACTION = Action(
    name="mailhub.read", connector="mailhub", provider="mailhub", title="Read", summary="Read", show=(), method="GET",
    path="/", risk="low", effect="read", retry="safe",
)  # fmt: skip


def reduced(
    body: bytes = b"", *headers: tuple[str, str], status: int = 200, truncated: bool = False, **of: Any
) -> Result:
    action = msgspec.structs.replace(ACTION, **of)
    return reduce(Reply(status, headers, body, truncated), action, (TOKEN,))


def body_of(media: str | None, body: bytes, **of: Any) -> Any:
    headers = () if media is None else (("content-type", media),)
    return reduced(body, *headers, **of).body


@pytest.mark.parametrize(
    "media",
    ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/vnd.github+json;x=y", "a/b+json"],
)
def test_json_is_parsed(media: str) -> None:
    assert body_of(media, b'{"a":[1,2.5,null,"\\u00e9"]}') == {"a": [1, 2.5, None, "é"]}
    assert body_of(media, b'\xef\xbb\xbf"with a mark"') == "with a mark"
    assert body_of(media, b"12345678901234567890123") == 12345678901234567890123


@pytest.mark.parametrize(
    "body", [b"{", b"NaN", b"<html>", b'"\\ud800"', b"1e999", b"[" * 5000, b"[" * 300 + b"]" * 300]
)
def test_json_that_is_none_is_text(body: bytes) -> None:
    assert body_of("application/json", body) == body.decode()


@pytest.mark.parametrize(
    ("media", "body", "text"),
    [
        ("text/plain", "grün".encode(), "grün"),
        ("text/html; charset=ISO-8859-1", "grün".encode("latin-1"), "grün"),
        ('text/csv; charset="windows-1252"', "€".encode("cp1252"), "€"),
        ("text/plain; charset=utf-16", "grün".encode("utf-16"), "grün"),
        ("text/plain; charset=no-such", "grün".encode(), "grün"),
        ("text/plain; charset=zip", b"abc", "abc"),
        ("text/plain; charset=punycode", b"abc-def", "abc-def"),
        ("text/plain; charset=\0", b"abc", "abc"),
        ("text/plain", b"\xff\xfe bad", "\ufffd\ufffd bad"),
        ("text/plain", b"\xef\xbb\xbfx", "x"),
        ("text/plain", b"", ""),
    ],
)
def test_text_is_text_in_its_charset(media: str, body: bytes, text: str) -> None:
    assert body_of(media, body) == text


@pytest.mark.parametrize("media", [None, "", "application/octet-stream", "image/png", "application/xml"])
def test_all_else_is_base64(media: str | None) -> None:
    assert body_of(media, b"\x89\x00\xff") == {"base64": base64.b64encode(b"\x89\x00\xff").decode()}
    assert body_of(media, b"") is None


def test_nothing_is_nothing() -> None:
    assert body_of("application/json", b"") is None
    assert reduced(b"", status=204).body is None


def test_a_truncated_body_is_none() -> None:
    shown = reduced(b"", ("content-type", "text/plain"), ("etag", "x"), truncated=True)
    assert shown == Result(200, {"content-type": "text/plain", "etag": "x"}, None, True)


def test_only_listed_headers_are_shown() -> None:
    answer = (
        ("content-type", "text/plain"), ("etag", '"1"'), ("last-modified", "x"),
        ("link", "<a>; rel=next"), ("link", "<b>"),
        ("retry-after", "3"), ("x-request-id", "r1"), ("set-cookie", "session=1"), ("www-authenticate", "Bearer"),
        ("location", "https://signed.example/?sig=1"), ("x-rate", "9"), ("authorization", "x"),
    )  # fmt: skip
    always = {
        "content-type": "text/plain", "etag": '"1"', "last-modified": "x",
        "link": "<a>; rel=next, <b>", "retry-after": "3",
        "x-request-id": "r1",
    }  # fmt: skip
    assert reduced(b"", *answer).headers == always
    exposed = ("X-Rate", "Set-Cookie", "WWW-Authenticate", "Location")
    assert reduced(b"", *answer, status=201, expose_headers=exposed).headers == {
        **always,
        "x-rate": "9",
        "location": "https://signed.example/?sig=1",
    }
    assert reduced(b"", *answer, status=302, expose_headers=exposed).headers == {**always, "x-rate": "9"}


def test_the_credential_is_nowhere() -> None:
    text = TOKEN.decode()
    coded = base64.b64encode(b"x" + TOKEN).decode()
    echo = {text: f"Bearer {text}", "list": [coded, {"deep": text.replace("/", "%2f")}]}
    for body in (json.dumps(echo).encode(), json.dumps(echo).replace("/", "\\/").replace("=", "\\u003d").encode()):
        shown = body_of("application/json", body)
        assert shown == {"[removed]": "Bearer [removed]", "list": [shown["list"][0], {"deep": "[removed]"}]}
        assert "[removed]" in shown["list"][0]
    hidden = "".join(f"\\u{ord(char):04x}" for char in text)
    assert body_of("application/json", f'{{"a":"{hidden}"}}'.encode()) == {"a": "[removed]"}
    assert body_of("text/plain", TOKEN) == "[removed]"
    assert body_of("text/plain; charset=utf-16", text.encode("utf-16")) == "[removed]"
    assert body_of("image/png", b"\xff" + TOKEN) == {"base64": base64.b64encode(b"\xff[removed]").decode()}
    assert reduced(b"", ("etag", text), ("link", f"<https://h/?t={text}>")).headers == {
        "etag": "[removed]",
        "link": "<https://h/?t=[removed]>",
    }
    assert text not in body_of("application/json", f"not json {text}".encode())


def test_secret_fields_are_removed_at_any_depth() -> None:
    body = b'{"Key":"k1","list":[{"key":{"a":1}},{"other":"key"}],"a/b":{"t~":5},"token":7}'
    assert body_of("application/json", body, secret_fields=("key", "/a~1b/t~0", "/list/1/other")) == {
        "Key": "[removed]",
        "list": [{"key": "[removed]"}, {"other": "[removed]"}],
        "a/b": {"t~": "[removed]"},
        "token": 7,
    }


def test_where_secret_fields_cannot_be_found_nothing_is_shown() -> None:
    assert body_of("application/json", b'{"key": "k1"', secret_fields=("key",)) == "[removed]"


def test_credentials_an_api_makes_are_removed() -> None:
    body = b'{"secret":"sk_live_' + b"a" * 24 + b'","refresh":"1\\/\\/0' + b"b" * 40 + b'"}'
    assert body_of("application/json", body) == {"secret": "[removed]", "refresh": "[removed]"}
