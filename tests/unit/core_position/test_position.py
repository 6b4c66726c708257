"""Positions: what is passed by an id that came back is what was passed when it was given."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.ids import new_id
from jit_auth.core.position import MOST, OVERLAP, PATTERN, Position, read_position
from jit_auth.errors import BadRequest

WRITERS = [new_id("prc", 1_700_000_000_000 + number, bytes([number] * 10)) for number in range(MOST + 5)]
PASSED = st.lists(st.tuples(st.sampled_from(WRITERS), st.integers(0, 10_000_000)), max_size=60)


@given(PASSED)
def test_an_id_names_what_was_passed_last_and_a_time_for_the_rest(passed: list[tuple[str, int]]) -> None:
    position, seqs = Position(), dict.fromkeys(WRITERS, -1)
    for writer, at in passed:
        seqs[writer] += 1
        position.passed(writer, seqs[writer], at)
    text = position.text()
    assert re.fullmatch(PATTERN, text)
    back = read_position(text)
    assert len(back.seqs) <= MOST
    assert {writer: seqs[writer] for writer in back.seqs} == back.seqs
    latest = max((at for _, at in passed), default=0)
    assert back.floor == max(0, latest - OVERLAP)
    assert set(back.seqs) == {writer for writer in seqs if seqs[writer] >= 0} or len(back.seqs) == MOST
    assert read_position(back.text()).seqs == back.seqs
    assert back.copy().text() == back.text()


@given(st.from_regex(PATTERN, fullmatch=True))
def test_whatever_has_the_form_is_one(text: str) -> None:
    assert read_position(text).floor >= 0


@pytest.mark.parametrize("text", ["", "x", "l-532.510062", "1.", "1.x-1", "-1", "1" * 16, "1\n", "\u0661", "1..2"])
def test_what_has_not_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        read_position(text)
