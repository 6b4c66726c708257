"""The kinds of credentials: where they go, that nothing else of a request changes, that they never print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.credentials import KINDS, Secret
from jit_auth.errors import Misconfigured
from jit_auth.model import Grant, Inject, Place, Provider, Request, Token
from jit_auth.oauth.freshness import due

HUB = Provider(id="hub")
TOKEN = Token(access="at-123", refresh="rt-456")
REQUEST = Request("POST", "https://api.example/a%2Fb?x=%2e%2e&y", (("accept", "application/json"),), b"{}")


def test_the_map_names_each_kind_by_its_own_name() -> None:
    assert {name: kind.connects for name, kind in KINDS.items()} == {
        "oauth2": True,
        "api_key": False,
        "basic": False,
        "none": False,
    }
    assert all(kind.name == name for name, kind in KINDS.items())


def test_oauth2_adds_one_header() -> None:
    kind = KINDS["oauth2"]
    assert kind.adds(HUB) == {Place("header", "authorization")}
    sent = kind.apply(HUB, REQUEST, kind.open(HUB, TOKEN), 0)
    assert sent == Request("POST", REQUEST.url, (*REQUEST.headers, ("authorization", "Bearer at-123")), b"{}")


def test_oauth2_in_another_header() -> None:
    shop = Provider(id="shop", inject=Inject(header="X-Shop-Token", value="{token}"))
    kind = KINDS["oauth2"]
    assert kind.adds(shop) == {Place("header", "x-shop-token")}
    assert kind.apply(shop, REQUEST, kind.open(shop, TOKEN), 0).headers[-1] == ("x-shop-token", "at-123")


def test_oauth2_in_the_query_appends_to_the_url_as_it_is() -> None:
    odd = Provider(id="odd", inject=Inject(query="access token"))
    kind = KINDS["oauth2"]
    secret = kind.open(odd, Token(access="a+b/c="))
    assert kind.adds(odd) == {Place("query", "access token")}
    assert kind.apply(odd, REQUEST, secret, 0).url == REQUEST.url + "&access%20token=a%2Bb%2Fc%3D"
    bare = Request("GET", "https://api.example/x")
    assert kind.apply(odd, bare, secret, 0).url == "https://api.example/x?access%20token=a%2Bb%2Fc%3D"


def test_a_place_that_is_taken_is_refused() -> None:
    kind = KINDS["oauth2"]
    taken = Request("GET", "https://api.example/", (("Authorization", "Bearer theirs"),))
    with pytest.raises(Misconfigured):
        kind.apply(HUB, taken, kind.open(HUB, TOKEN), 0)
    odd = Provider(id="odd", inject=Inject(query="key"))
    with pytest.raises(Misconfigured):
        kind.apply(odd, Request("GET", "https://api.example/?key=theirs"), kind.open(odd, TOKEN), 0)


@pytest.mark.parametrize("access", ["a b", "a\r\nX: y", "", "é", "a\0"])
def test_a_token_that_is_no_header_value_is_not_sent(access: str) -> None:
    kind = KINDS["oauth2"]
    with pytest.raises(Misconfigured):
        kind.apply(HUB, REQUEST, Secret(token=Token(access=access)), 0)


def test_oauth2_without_a_token_is_refused() -> None:
    with pytest.raises(Misconfigured):
        KINDS["oauth2"].open(HUB, None)
    with pytest.raises(Misconfigured):
        KINDS["oauth2"].apply(HUB, REQUEST, Secret(), 0)


def test_traces_and_prints() -> None:
    kind = KINDS["oauth2"]
    secret = kind.open(HUB, TOKEN)
    assert kind.traces(secret) == (b"at-123", b"rt-456")
    assert "at-123" not in f"{secret!r}{secret}{TOKEN!r}{TOKEN}"


def test_none_touches_nothing() -> None:
    kind = KINDS["none"]
    secret = kind.open(HUB, None)
    assert kind.apply(HUB, REQUEST, secret, 0) is REQUEST
    assert (kind.adds(HUB), kind.traces(secret), kind.due(None, 0)) == (frozenset(), (), False)


def grant(expires: int | None, lifetime: int | None, *, refreshable: bool = True) -> Grant:
    return Grant(
        id="gra_1", user="a@example.com", provider="hub", expires=expires, lifetime=lifetime, refreshable=refreshable,
        created=0, updated=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("left", "lifetime", "expected"),
    [
        (60_000, 3_600_000, False), (59_999, 3_600_000, True), (10_000, 100_000, False), (9_999, 100_000, True),
        (60_000, None, False), (59_999, None, True), (0, 5, True), (1, 5, False), (-1, 3_600_000, True),
    ],
)  # fmt: skip
def test_due_at_a_tenth_and_at_most_a_minute(left: int, lifetime: int | None, expected: bool) -> None:
    assert due(grant(1_000_000 + left, lifetime), 1_000_000) is expected


def test_without_expiry_or_grant_nothing_is_due() -> None:
    assert not due(grant(None, None), 10**15)
    assert not due(None, 0)


def test_what_cannot_be_refreshed_is_used_to_its_end() -> None:
    assert not due(grant(1001, 3_600_000, refreshable=False), 1000)
    assert due(grant(1000, 3_600_000, refreshable=False), 1000)


@given(st.integers(1, 10**10), st.integers(0, 10**10))
def test_a_fresh_token_is_never_due_and_an_expired_one_always(lifetime: int, late: int) -> None:
    assert not due(grant(lifetime, lifetime), 0)
    assert due(grant(lifetime, lifetime), lifetime + late)
