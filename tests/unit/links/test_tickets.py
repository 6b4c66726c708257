"""Tickets: one row, one purpose, one person, one expiry, one spelling; anything else is no ticket."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jit_auth.core.ids import new_id
from jit_auth.core.links import PREFIX, genuine, row_of, ticket

KEY = b"k" * 32
ROW = new_id("crd", 1_764_064_800_000, b"0123456789")
PERSON = "ana@example.com"
GOOD = ticket(KEY, "approval", ROW, PERSON, 1_764_064_800_000)

ids = st.from_regex(r"\A[a-z]{1,16}_[0-9a-z]{1,64}\Z")
people = st.text(st.characters(codec="utf-8"), max_size=20)
times = st.integers(0, 2**53 - 1)
keys = st.binary(min_size=32, max_size=32)


def test_a_ticket_is_safe_in_a_path_and_carries_its_row() -> None:
    assert re.fullmatch(r"jat_[A-Za-z0-9_-]+", GOOD)
    named = row_of(GOOD)
    assert named is not None
    assert named[0] == ROW
    assert len(named[1]) == 32
    assert genuine(KEY, "approval", ROW, PERSON, 1_764_064_800_000, GOOD)


def test_it_is_the_same_whenever_it_is_shown() -> None:
    assert ticket(KEY, "approval", ROW, PERSON, 1_764_064_800_000) == GOOD


@pytest.mark.parametrize(
    ("key", "purpose", "row", "person", "expires"),
    [
        (b"K" * 32, "approval", ROW, PERSON, 1_764_064_800_000),
        (KEY, "consent", ROW, PERSON, 1_764_064_800_000),
        (KEY, "approval", "crd_other", PERSON, 1_764_064_800_000),
        (KEY, "approval", ROW, "bo@example.com", 1_764_064_800_000),
        (KEY, "approval", ROW, PERSON, 1_764_064_800_001),
    ],
)
def test_it_is_bound_to_key_purpose_row_person_and_expiry(
    key: bytes, purpose: str, row: str, person: str, expires: int
) -> None:
    assert not genuine(key, purpose, row, person, expires, GOOD)


def test_values_that_join_alike_have_different_macs() -> None:
    one = ticket(KEY, "approval", ROW, 'a","b', 1)
    assert not genuine(KEY, 'approval","a', ROW, "b", 1, one)
    assert ticket(KEY, "a", ROW, "bc", 1) != ticket(KEY, "ab", ROW, "c", 1)
    assert ticket(KEY, "a", ROW, "b1", 2) != ticket(KEY, "a", ROW, "b", 12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jat_",
        "apr_01kb3q0000000000000000000b",
        GOOD[4:],
        GOOD + "=",
        GOOD + "A",
        GOOD[:-1],
        " " + GOOD,
        GOOD + "\n",
        GOOD.upper(),
        PREFIX + base64.urlsafe_b64encode(b"x" * 64).decode().rstrip("="),
        PREFIX + base64.urlsafe_b64encode(b"CRD_1" + b"x" * 32).decode().rstrip("="),
        PREFIX + base64.urlsafe_b64encode(b"crd_\xff" + b"x" * 32).decode().rstrip("="),
        PREFIX + base64.urlsafe_b64encode(b"x" * 31).decode().rstrip("="),
        PREFIX + "A" * 100_000,
        PREFIX + "\u0661" * 60,
        GOOD.replace("_", "+", 1),
    ],
)
def test_what_is_no_ticket_names_no_row(text: str) -> None:
    assert row_of(text) is None
    assert not genuine(KEY, "approval", ROW, PERSON, 1_764_064_800_000, text)


def test_there_is_one_spelling_of_a_ticket() -> None:
    # Base64's last character has loose bits where the length is no multiple of three.
    row = "crd_" + "0" * 20
    good = ticket(KEY, "approval", row, PERSON, 1)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = [last for last in alphabet if genuine(KEY, "approval", row, PERSON, 1, good[:-1] + last)]
    assert accepted == [good[-1]]


@pytest.mark.parametrize("row", ["", "crd", "CRD_1", "crd_" + "0" * 65, "crd_1\n", "../x", "crd_\u0661"])
def test_a_row_of_another_form_gets_no_ticket(row: str) -> None:
    with pytest.raises(ValueError, match="row id"):
        ticket(KEY, "approval", row, PERSON, 1)


@given(keys, st.text(max_size=12), ids, people, times)
def test_every_ticket_is_read_back(key: bytes, purpose: str, row: str, person: str, expires: int) -> None:
    made = ticket(key, purpose, row, person, expires)
    assert (row_of(made) or ("",))[0] == row
    assert genuine(key, purpose, row, person, expires, made)


@given(ids, people, times, st.integers(0, 200), st.characters(codec="utf-8"))
def test_no_change_of_a_character_survives(row: str, person: str, expires: int, at: int, char: str) -> None:
    made = ticket(KEY, "approval", row, person, expires)
    at %= len(made)
    changed = made[:at] + char + made[at + 1 :]
    assume(changed != made)
    assert not genuine(KEY, "approval", row, person, expires, changed)


@given(
    st.one_of(
        st.text(max_size=200),
        st.binary(max_size=150).map(lambda b: PREFIX + base64.urlsafe_b64encode(b).decode().rstrip("=")),
    )
)
def test_junk_never_raises_and_is_never_genuine(text: str) -> None:
    named = row_of(text)
    if named is not None:
        assert not genuine(KEY, "approval", named[0], PERSON, 1, text)
