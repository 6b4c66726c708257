"""What a token endpoint says, in every form it says it in: tokens, scopes, lifetimes, and whose fault a failure is."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.errors import Away, Broken, Misconfigured, ProviderError
from jit_auth.model import Provider, Reply, Token
from jit_auth.oauth.replies import YEAR, parse_body, pointer, read_token, split_scopes

HUB = Provider(id="hub")
SLACK = Provider(id="slack", token_path="/authed_user", scope_separator=",", broken_errors=("invalid_refresh_token",))
GITHUB = Provider(id="github", broken_errors=("bad_refresh_token",))
OLD = Token(access="old", refresh="rt-old", expires=5, lifetime=7_200_000)
JSON = "application/json"


def reply(body: Any, status: int = 200, kind: str = JSON) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, (("content-type", kind),), data)


def test_a_plain_reply() -> None:
    fresh = read_token(
        reply({"access_token": "at", "refresh_token": "rt", "expires_in": 3600, "scope": "a b"}), HUB, sent=1000
    )
    assert fresh.token == Token(access="at", refresh="rt", expires=3_601_000, lifetime=3_600_000)
    assert fresh.scopes == ("a", "b")
    assert "at" not in repr(fresh)


def test_form_encoded_whatever_it_claims_to_be() -> None:
    body = b"access_token=at%2F1&scope=repo%2Cgist&token_type=bearer&expires_in=60"
    for kind in ("application/x-www-form-urlencoded", "text/plain", JSON):
        fresh = read_token(reply(body, kind=kind), HUB, sent=0)
        assert (fresh.token.access, fresh.scopes, fresh.token.lifetime) == ("at/1", ("repo", "gist"), 60_000)


def test_json_under_a_wrong_content_type() -> None:
    body = b"\xef\xbb\xbf " + json.dumps({"access_token": "at"}).encode()
    assert read_token(reply(body, kind="text/html"), HUB, sent=0).token.access == "at"


def test_slacks_user_token_is_the_nested_one() -> None:
    body = {"ok": True, "access_token": "bot", "scope": "bot",
            "authed_user": {"access_token": "usr", "scope": "chat:write,users:read"}}  # fmt: skip
    fresh = read_token(reply(body), SLACK, sent=0)
    assert (fresh.token.access, fresh.scopes) == ("usr", ("chat:write", "users:read"))


def test_slacks_bot_token_never_stands_in_for_the_users() -> None:
    with pytest.raises(Away):
        read_token(reply({"ok": True, "access_token": "bot", "authed_user": {"id": "U1"}}), SLACK, sent=0)


def test_a_refresh_answers_for_the_token_that_was_sent() -> None:
    assert read_token(reply({"ok": True, "access_token": "usr2"}), SLACK, sent=0, last=OLD).token.access == "usr2"


def test_a_refresh_keeps_what_the_reply_leaves_out() -> None:
    fresh = read_token(reply({"access_token": "new"}), HUB, sent=10, last=OLD)
    assert fresh.token == Token(access="new", refresh="rt-old", expires=7_200_010, lifetime=7_200_000)
    assert fresh.scopes is None


@pytest.mark.parametrize(
    ("told", "lifetime"),
    [(3600, 3_600_000), ("3600", 3_600_000), (0.5, 500), (10**12, YEAR), (1e400, YEAR), ("1e999", YEAR),
     (0, None), (-5, None), (True, None), ("soon", None), ([1], None), (None, None), (float("nan"), None)],
)  # fmt: skip
def test_lifetimes(told: object, lifetime: int | None) -> None:
    fresh = read_token(reply({"access_token": "at", "expires_in": told}), HUB, sent=0)
    assert (fresh.token.lifetime, fresh.token.expires) == (lifetime, lifetime)


@pytest.mark.parametrize(
    ("told", "scopes"),
    [("a b", ("a", "b")), ("a,b", ("a", "b")), ("a, b  a", ("a", "b")), ("", ()), (None, None),
     (["a", "b"], ("a", "b")), (7, None)],
)  # fmt: skip
def test_scopes(told: object, scopes: tuple[str, ...] | None) -> None:
    assert split_scopes(told, HUB) == scopes


def test_scopes_at_the_providers_own_separator() -> None:
    assert split_scopes("a+b c", Provider(id="x", scope_separator="+")) == ("a", "b", "c")


def failure(answer: Reply, provider: Provider = HUB) -> type[ProviderError]:
    with pytest.raises(ProviderError) as caught:
        read_token(answer, provider, sent=0, last=OLD)
    return type(caught.value)


@pytest.mark.parametrize("status", [400, 401])
def test_invalid_grant_breaks(status: int) -> None:
    assert failure(reply({"error": "invalid_grant"}, status)) is Broken
    assert failure(reply(b"error=invalid_grant", status, "text/plain")) is Broken


@pytest.mark.parametrize("status", [200, 201, 302, 403, 404, 408, 429, 500, 502, 503])
def test_invalid_grant_elsewhere_breaks_nothing(status: int) -> None:
    assert failure(reply({"error": "invalid_grant"}, status)) is Away


def test_what_the_providers_data_names_breaks_in_a_200_too() -> None:
    assert failure(reply({"error": "bad_refresh_token"}), GITHUB) is Broken
    assert failure(reply({"ok": False, "error": "invalid_refresh_token"}), SLACK) is Broken
    assert failure(reply({"error": "bad_refresh_token"}), HUB) is Away
    assert failure(reply({"error": "bad_refresh_token"}, 500), GITHUB) is Away
    assert failure(reply({"error": "invalid_grant"}, 400), GITHUB) is Broken


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client", "invalid_request", "unsupported_grant_type"])
def test_our_own_fault(code: str) -> None:
    for status in (400, 401, 403):
        assert failure(reply({"error": code}, status)) is Misconfigured
    for status in (200, 429, 500):
        assert failure(reply({"error": code}, status)) is Away


@pytest.mark.parametrize(
    "answer",
    [
        reply({}), reply([]), reply(b""), reply(b"null"), reply({"ok": False, "error": "ratelimited"}),
        reply({"ok": False}),
        reply(b"<html>busy</html>", 400, "text/html"), reply(b"<p>error=invalid_grant</p>", 400, "text/html"),
        reply(b"{broken", 400), reply(b"[" * 100_000), reply(b'{"a":' * 100_000), reply({"error": {"code": "x"}}, 400),
        reply({"access_token": ""}), reply({"access_token": 7}), reply({"access_token": "a b"}),
        reply({"access_token": "a\r\nX: y"}), reply({"access_token": "at"}, 500), reply({"access_token": "at"}, 302),
        reply({"access_token": "at", "error": "odd"}), reply(b"\xff\xfe\x00", 200), reply(b"&" * 1000 + b"=", 200),
    ],
)  # fmt: skip
def test_everything_else_is_an_outage(answer: Reply) -> None:
    assert failure(answer) is Away


def test_no_secret_is_repeated() -> None:
    for body in ({"error": "rt-old"}, {"error": "x", "error_description": "rt-old"}, {"error": "line\nbreak rt-old"}):
        with pytest.raises(ProviderError) as caught:
            read_token(reply(body, 400), HUB, sent=0, last=OLD, secrets=("s", "rt-old", None))
        assert "rt-old" not in str(caught.value)
        assert "\n" not in str(caught.value)


@given(st.binary(max_size=300), st.integers(100, 599), st.sampled_from([JSON, "text/html", "text/plain", ""]))
def test_no_reply_surprises(body: bytes, status: int, kind: str) -> None:
    answer = reply(body, status, kind)
    assert isinstance(parse_body(answer), dict)
    with suppress(ProviderError):
        assert read_token(answer, HUB, sent=0).token.access


@pytest.mark.parametrize(
    ("path", "value"),
    [("/a/b", 1), ("/l/1", "y"), ("/t~1/x~0", 2), ("/a/none", None), ("/l/9", None), ("/l/x", None), ("/s/0", None)],
)
def test_pointers(path: str, value: object) -> None:
    assert pointer({"a": {"b": 1}, "l": ["x", "y"], "t/": {"x~": 2}, "s": "text"}, path) == value
