"""Which mail is owed, from what the card says and what was told: each thing once, and nothing after the fact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jit_auth.channels.card import Card, Decided
from jit_auth.channels.email.told import Told, after, owed, told
from tests.integration.mail.kit import ANA, CARD, GATHER, NOW

MET = replace(CARD, open=False, state="paused")
SENT = replace(CARD, open=False, state="succeeded")


def walk(*cards: Card) -> list[str | None]:
    """The steps that one copy takes through these states of its card."""
    ref: str | None = None
    steps: list[str | None] = []
    for card in cards:
        was = told(ref)
        step = owed(card, was)
        steps.append(step)
        ref = after(card, was, step).ref
    return steps


def test_a_request_is_asked_once_and_its_end_told_once() -> None:
    assert walk(CARD, CARD, MET, replace(MET, state="executing"), SENT, SENT) == ["ask", None, None, None, "end", None]


def test_reminders_and_the_warning_come_once_each() -> None:
    first, second = replace(CARD, reminded=1), replace(CARD, reminded=2)
    assert walk(CARD, first, first, second) == ["ask", "remind", None, "remind"]
    assert walk(CARD, replace(second, warned=True), replace(second, warned=True)) == ["ask", "soon", None]


def test_what_was_missed_while_the_server_was_away_is_one_mail() -> None:
    assert walk(replace(CARD, reminded=5, warned=True), replace(CARD, reminded=5, warned=True)) == ["ask", None]
    assert walk(CARD, replace(CARD, reminded=5)) == ["ask", "remind"]


def test_who_was_never_asked_hears_of_no_end() -> None:
    assert walk(SENT, SENT) == [None, None]
    assert walk(replace(CARD, open=False, state="expired")) == [None]


def test_who_has_voted_is_reminded_of_nothing_and_told_the_end() -> None:
    voted = replace(CARD, decided=(Decided(ANA, "approve", NOW),), reminded=3, warned=True)
    assert walk(CARD, voted, replace(voted, open=False, state="failed")) == ["ask", None, "end"]
    others = replace(voted, decided=(Decided("bo", "approve", NOW),))
    assert walk(CARD, others) == ["ask", "soon"]


def test_a_superseded_round_tells_no_end() -> None:
    assert walk(CARD, replace(SENT, superseded=True)) == ["ask", None]


def test_a_notice_is_news_in_any_state_and_ends_once() -> None:
    notice = replace(CARD, role="notice")
    assert walk(notice, replace(notice, open=False, state="denied")) == ["ask", "end"]
    assert walk(replace(notice, open=False, state="denied"), replace(notice, open=False, state="denied")) == [
        "ask",
        None,
    ]


def test_a_lost_outcome_is_asked_and_its_answer_told() -> None:
    lost = replace(CARD, role="resolve", state="unknown")
    over = replace(lost, open=False)
    assert walk(lost, lost, replace(over, state="failed")) == ["ask", None, "end"]
    assert walk(lost, over) == ["ask", None]


def test_a_round_whose_call_was_lost_hears_of_both() -> None:
    lost = replace(SENT, state="unknown")
    assert walk(CARD, lost, lost, SENT) == ["ask", "end", None, "end"]


def test_a_consent_and_a_gathered_mail_end_silently() -> None:
    consent = replace(CARD, role="consent")
    assert walk(consent, replace(consent, open=False, state="denied")) == ["ask", None]
    assert walk(GATHER, GATHER, replace(GATHER, open=False)) == ["ask", None, None]


@given(
    st.builds(
        Told,
        asked=st.just(True),
        reminded=st.integers(0, 999_999),
        warned=st.booleans(),
        ended=st.sampled_from(["", "succeeded", "failed", "denied", "expired", "cancelled", "unknown"]),
        newest=st.sampled_from(["", "apr_01kb3q0000000000000000000b"]),
    )
)
def test_a_ref_says_what_was_told(was: Told) -> None:
    assert told(was.ref) == was


@pytest.mark.parametrize("ref", ["", "asked", "asked r", "C1:1.2:r0", "asked r1 soon succeeded extra"])
def test_a_ref_that_cannot_be_read_asks_nobody_twice(ref: str) -> None:
    assert owed(CARD, told(ref)) is None
    assert told("none") == told(None) == Told()


@given(st.booleans(), st.sampled_from(["paused", "executing", "succeeded", "denied", "unknown"]), st.integers(0, 3))
def test_nothing_is_owed_twice(is_open: bool, state: str, reminded: int) -> None:
    card = replace(CARD, open=is_open, state=state, reminded=reminded, warned=reminded > 1)
    for ref in (None, "none", "asked r0", "asked r1 soon", "asked r3 soon denied"):
        was = told(ref)
        assert owed(card, told(after(card, was, owed(card, was)).ref)) is None
