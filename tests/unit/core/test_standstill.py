"""Deadlines that stand still while everything is halted."""

from __future__ import annotations

import pytest

from jit_auth.core.standstill import FAR, spans_of, until
from jit_auth.model import Stop


@pytest.mark.parametrize(
    ("spans", "found"),
    [
        ((), 100),
        (((0, 50),), 100),  # before it began to run
        (((40, 60),), 110),  # half of it
        (((60, 80),), 120),
        (((60, 80), (110, 130)), 140),  # the second one falls into what the first one gave
        (((60, 80), (120, 130)), 120),  # it was over by then
        (((100, 200),), 100),
        (((99, FAR),), FAR),
        (((100, FAR),), 100),
        (((60, 80), (119, FAR)), FAR),
    ],
)
def test_a_deadline_moves_by_what_was_halted_of_its_time(spans: tuple[tuple[int, int], ...], found: int) -> None:
    assert until(100, 50, spans) == found


def test_the_spans_are_those_of_the_halt() -> None:
    other = Stop(kind="agent", id="a", epoch=1, active=True, who="operator", at=5)
    halt = Stop(kind="all", id="", epoch=1, active=True, who="operator", at=10, spans=((1, 2),))
    lifted = Stop(kind="all", id="", epoch=1, active=False, who="operator", at=10, spans=((1, 2), (10, 20)))
    assert spans_of((other,)) == ()
    assert spans_of((other, halt)) == ((1, 2), (10, FAR))
    assert spans_of((lifted,)) == ((1, 2), (10, 20))
