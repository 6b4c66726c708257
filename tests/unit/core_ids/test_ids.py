"""People have one id each, whatever way it is written; our own ids sort by time."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.ids import RESERVED, derived_key, is_id, new_id, person_id
from jit_auth.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("alice@example.com", "alice@example.com"),
        ("ALICE@Example.COM", "alice@example.com"),
        ("alice+1@example.com", "alice+1@example.com"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@BU\u0308CHER.example", "a@xn--bcher-kva.example"),
        ("a@XN--BCHER-KVA.example", "a@xn--bcher-kva.example"),
        ("a@straße.de", "a@xn--strae-oqa.de"),
        ("a@ours。example", "a@ours.example"),
        ("a@localhost", "a@localhost"),
        ("o'hara@example.com", "o'hara@example.com"),
        ("Bob", "bob"),
        ("auth0|5f7c", "auth0|5f7c"),
        ("svc_x.y-z+1", "svc_x.y-z+1"),
        ("\u212aelvin", "kelvin"),
        ("x" * 254, "x" * 254),
    ],
)
def test_an_id_is_brought_into_one_form(text: str, form: str) -> None:
    assert person_id(text) == form
    assert person_id(form) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "requester",
        "REQUESTER",
        "Delegated",
        "group:finance",
        "user:ana",
        "agent:mailbot",
        "erased:1",
        "a/b",
        "a/b@example.com",
        "a:b@example.com",
        "a b",
        " alice@example.com",
        "alice@example.com ",
        "alice@example.com\n",
        "alice\0@example.com",
        "al\u00adice@example.com",
        "alice@exam\u00adple.com",
        "alice@exam\u200bple.com",
        "alice@exam\ufe0fple.com",
        "alice@exam\u3164ple.com",
        "alice@ex\u202eample.com",
        "alice@ex\u2800ample.com",
        "\ufeffalice",
        "аlice@example.com",
        "é",
        "alıce",
        "İ@example.com",
        "ａlice",
        "@example.com",
        "alice@",
        "alice@@example.com",
        "a@b@example.com",
        '"a b"@example.com',
        "Bob <bob@example.com>",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a@example.com.",
        "a@.example.com",
        "a@exa_mple.com",
        "a@-example.com",
        "a@example-.com",
        "a@xn--zzzz",
        "a@" + "x" * 64 + ".com",
        "a@[127.0.0.1]",
        "x" * 255,
        "x" * 250 + "@x.de",
        "x" * 100_000,
        "e" + "\u0301" * 1000,
    ],
)
def test_what_has_no_such_form_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        person_id(text)
    assert refused.value.code == "bad_user"


@given(st.text(max_size=12) | st.emails() | st.text(alphabet="aAkK\u212aäÄß。.@+-_|:/*\u00ad\u200d ", max_size=12))
def test_the_form_is_a_fixed_point_and_holds_no_syntax(text: str) -> None:
    try:
        form = person_id(text)
    except BadRequest:
        return
    assert person_id(form) == form
    assert form == form.lower()
    assert form.isascii()
    assert form.isprintable()
    assert form not in RESERVED
    assert not set(":/ ") & set(form)
    assert 1 <= len(form) <= 254


@given(st.emails())
def test_writings_of_one_address_are_one_person(address: str) -> None:
    try:
        form = person_id(address)
    except BadRequest:
        return  # addresses with "/" are valid elsewhere
    for other in (address.upper(), address.swapcase(), unicodedata.normalize("NFD", address)):
        assert person_id(other) == form


ENTROPY = st.binary(min_size=10, max_size=10)
TIMES = st.integers(0, 2**48 - 1)


@given(TIMES, TIMES, ENTROPY, ENTROPY)
def test_ids_sort_by_time(one: int, two: int, left: bytes, right: bytes) -> None:
    first, second = new_id("exe", one, left), new_id("exe", two, right)
    assert (first < second) == ((one, left) < (two, right))
    assert is_id(first, "exe")
    assert len(first) == 30


def test_the_form_of_our_ids() -> None:
    assert new_id("exe", 0, bytes(10)) == "exe_" + "0" * 26
    assert new_id("apr", 2**48 - 1, b"\xff" * 10) == "apr_7" + "z" * 25
    with pytest.raises(ValueError, match="10 bytes"):
        new_id("exe", 0, bytes(9))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "exe_",
        "exe" + "0" * 27,
        "apr_" + "0" * 26,
        "exe_" + "0" * 25,
        "exe_" + "0" * 27,
        "exe_" + "0" * 25 + "i",
        "exe_" + "0" * 25 + "A",
        "exe_8" + "0" * 25,
        "exe_" + "0" * 26 + "\n",
        "xexe_" + "0" * 26,
    ],
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert not is_id(text, "exe")


def test_a_derived_key_is_a_uuid_of_its_execution() -> None:
    one, two = derived_key("exe_1"), derived_key("exe_2")
    assert one == derived_key("exe_1") != two
    assert len(one) == 36
    assert one[14] == "4"
