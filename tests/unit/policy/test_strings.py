"""Strings: the normal form, plain addresses, globs, durations (THREAT_MODEL 33)."""

from __future__ import annotations

import fnmatch
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.policy.strings import Folded, TooComposed, email_domain, glob, milliseconds, normal


@given(st.text(st.characters(exclude_categories=["Mn", "Me", "Cs"])))
def test_normal_is_nfc(text: str) -> None:
    assert normal(text) == unicodedata.normalize("NFC", text)
    assert normal(unicodedata.normalize("NFD", text)) == normal(text)


def test_text_that_only_becomes_ascii_is_marked() -> None:
    for character in "\u037e\u1fef\u212a":
        assert type(normal(character)) is Folded
    assert type(normal("K")) is str
    assert type(normal("\u212aé")) is str


def test_long_runs_of_marks_are_refused_at_once() -> None:
    began = time.process_time()
    for run in ("\u0315\u0300" * 30_000, "e" + "\u0315\u0300" * 16, "\u0315\u0300" * 16 + "e"):
        with pytest.raises(TooComposed):
            normal(run)
    assert time.process_time() - began < 0.1
    assert normal("x" + "\u0301" * 200) == "x" + "\u0301" * 200  # in order already: nothing to sort
    normal("e" + "\u0315\u0300" * 15)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("a@ours.example", "ours.example"),
        ("A.b+c@OURS.Example", "ours.example"),
        ("!#$%&'*+/=?^_`{|}~-@a-b.example", "a-b.example"),
        ("a@xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a@" + ".".join(["x" * 63] * 3) + "." + "y" * 60, ".".join(["x" * 63] * 3) + "." + "y" * 60),
        *[
            (text, None)
            for text in [
                "", "@", "a", "a@", "@ours.example", "a@b@ours.example", "a@ours", "a@ours.example.", "a@.ours.example",
                "a@ours..example", "a@-ours.example", "a@ours-.example", "a@" + "x" * 64 + ".example",
                ".a@ours.example",
                "a.@ours.example", "a..b@ours.example", "a b@ours.example", " a@ours.example", "a@ours.example ",
                "a@ours.example\n", "a@ours.example\0", "a@ours.example\0.evil", '"a"@ours.example', "a@[127.0.0.1]",
                '"a@ours.example"@evil.example', "Bob <a@evil.example>", "Bob <a@evil.example> x@ours.example",
                "a@evil.example,b@ours.example", "a@evil.example;b@ours.example", "a@evil.example b@ours.example",
                "a@evil.example(c)@ours.example", "a(comment)@ours.example", "a@ours\u3002example",
                "a@ours\uff0eexample",
                "ä@ours.example", "a@öurs.example", "a@ours_x.example", "a@ours.example>", "<a@ours.example>",
                "a@\u212aing.example", "a\u200b@ours.example", "a:b@ours.example",
                "a@" + ".".join(["x" * 63] * 4),
            ]
        ],
    ],
)  # fmt: skip
def test_email_domain(address: str, domain: str | None) -> None:
    assert email_domain(address) == domain


def test_what_came_as_other_than_ascii_is_no_address() -> None:
    assert email_domain(normal("a@\u212aing.example")) is None


@given(st.text("ab*.", max_size=8), st.text("ab.", max_size=10))
def test_globs(pattern: str, name: str) -> None:
    assert glob(pattern, name) == fnmatch.fnmatchcase(name, pattern)


def test_only_the_star_is_special_and_many_cost_nothing() -> None:
    assert not glob("a?", "ab")
    assert not glob("[ab]", "a")
    assert glob("a?[b]", "a?[b]")
    assert not glob("A", "a")
    began = time.process_time()
    assert not glob("a*" * 2_000 + "b", "a" * 4_000)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90_000), ("15m", 900_000), ("4h", 14_400_000), ("1d", 86_400_000), ("1h30m", 5_400_000), ("0s", 0),
     ("", None), ("1", None), ("1.5h", None), ("-1h", None), ("1h ", None), ("1m1h", None), ("1ms", None), ("١h", None),
     ("9999999999s", None)],
)  # fmt: skip
def test_durations(text: str, expected: int | None) -> None:
    assert milliseconds(text) == expected
