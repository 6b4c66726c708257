"""The sealed cookie opens only as it was made, for the issuer it was made for; and a sign-in never leads elsewhere."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import urljoin, urlsplit

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jit_auth.config.issuer import Issuer
from jit_auth.signin.trip import HOME, Sealed, Trip, local

CORP = Issuer(name="corp", issuer="https://login.example.com", client_id="jit", client_secret="s", domains=("a.com",))
TRIP = Trip(state="s" * 43, nonce="n" * 43, verifier="v" * 86, to="/me", fresh=False, begun=0, until=600_000)
SEALED = Sealed(b"\7" * 32)
COOKIE = SEALED.seal(TRIP, CORP)


def test_a_trip_opens_as_it_was_sealed_and_every_cookie_is_another() -> None:
    assert SEALED.open(COOKIE, CORP) == TRIP
    assert len({SEALED.seal(TRIP, CORP) for _ in range(100)}) == 100


def test_the_longest_trip_fits_into_a_cookie() -> None:
    longest = msgspec.structs.replace(TRIP, to=local("/" + "a" * 1023), begun=2**52, until=2**52)
    assert longest.to != HOME
    cookie = SEALED.seal(longest, CORP)
    assert len(cookie) < 3000
    assert SEALED.open(cookie, CORP) == longest


@pytest.mark.parametrize(
    "other",
    [
        {"name": "corp2"},
        {"issuer": "https://login.example.com/"},
        {"client_id": "other"},
        {"name": "cor", "issuer": "https://plogin.example.com"},
    ],
)
def test_a_trip_of_one_issuer_is_nothing_to_another(other: dict[str, str]) -> None:
    assert SEALED.open(COOKIE, msgspec.structs.replace(CORP, **other)) is None


def test_a_trip_is_nothing_under_another_key() -> None:
    assert Sealed(b"\10" * 32).open(COOKIE, CORP) is None


@given(st.data())
def test_a_cookie_with_any_byte_changed_is_nothing(data: st.DataObject) -> None:
    raw = bytearray(urlsafe_b64decode(COOKIE + "=" * (-len(COOKIE) % 4)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert SEALED.open(urlsafe_b64encode(bytes(raw)).decode().rstrip("="), CORP) is None


@given(st.data())
def test_a_cookie_cut_grown_or_respelled_is_nothing(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(COOKIE)))
    end = data.draw(st.integers(start, len(COOKIE)))
    put = data.draw(st.text(alphabet=st.sampled_from("ABCxyz019-_+/=. \n\x00é"), max_size=4) | st.text(max_size=4))
    changed = COOKIE[:start] + put + COOKIE[end:]
    if changed != COOKIE:
        assert SEALED.open(changed, CORP) is None


@pytest.mark.parametrize("to", ["/", "/a", "/aa"])
def test_a_cookie_has_one_spelling(to: str) -> None:
    """The last character may hold bits that nobody reads: a cookie that can be respelt could be counted twice."""
    cookie = SEALED.seal(msgspec.structs.replace(TRIP, to=to), CORP)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert [letter for letter in letters if SEALED.open(cookie[:-1] + letter, CORP)] == [cookie[-1]]


@given(st.text() | st.none())
@example("")
@example("A" * 4001)
def test_what_is_no_cookie_of_ours_is_nothing(text: str | None) -> None:
    assert SEALED.open(text, CORP) is None


def test_a_sealed_value_of_another_shape_is_nothing() -> None:
    class Other(msgspec.Struct):
        state: str = "s"

    assert SEALED.open(SEALED.seal(Other(), CORP), CORP) is None  # type: ignore[arg-type]  # what the test is about


@pytest.mark.parametrize(
    "to", ["/", "/me", "/approvals/apr_01", "/approvals/apr_01/", "/me?tab=agents&x=%2F..%2F", "/a.b/c-d_e~f"]
)
def test_a_path_of_ours_is_where_it_leads(to: str) -> None:
    assert local(to) == to


ELSEWHERE = [
    "", "me", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
    "/\n/evil.example", "\t//evil.example", " //evil.example", "/ /evil.example", "https://evil.example",
    "HTTPS:evil.example", "javascript:alert(1)", "data:text/html,x", "/me\r\nSet-Cookie: a=b", "/me\nx", "/me\x00",
    "/me#//evil.example", "/%2f/evil.example", "/%5cevil.example", "/..//evil.example", "/.//evil.example",
    "/a/..//evil.example", "/a//evil.example", "/./x", "/..", "/a/..", "/a/.", "/../x?y", "/me?x=\\y", "/me?a b",
    "/me?x\r\ny", "/mé", "/me?é", "/\u2044evil.example", "/\uff0fevil.example", "/@evil.example/..", "?x", "#x",
    "/me\u2028x", "/\x7f", "/" + "a" * 2000, "/me\n",
]  # fmt: skip


@pytest.mark.parametrize("to", ELSEWHERE)
def test_whatever_could_lead_elsewhere_leads_home(to: str) -> None:
    assert local(to) == HOME


@given(st.text(max_size=60) | st.text(alphabet="/\\.:@?#%2fe\t\n a", max_size=30))
def test_it_stays_on_our_origin_whoever_wrote_it(text: str) -> None:
    to = local(text)
    assert to.startswith("/")
    assert to.isascii()
    assert to.isprintable()
    parts = urlsplit(urljoin("https://jit.example.net/signin/callback/corp", to))
    assert (parts.scheme, parts.netloc) == ("https", "jit.example.net")
