"""[retention]: durations, years, never."""

from __future__ import annotations

import pytest

from jit_auth.config.retention import judge_retention
from jit_auth.config.settings import Retention
from jit_auth.config.tables import RetentionTable

DAY = 86_400_000


def judged(**keys: str) -> tuple[Retention, list[str]]:
    faults: list[str] = []
    return judge_retention(RetentionTable(**keys), lambda key, message: faults.append(message)), faults


def test_the_defaults_are_thirty_days_seven_days_and_three_years() -> None:
    assert judged() == (Retention(params=30 * DAY, results=7 * DAY, audit=3 * 365 * DAY), [])


@pytest.mark.parametrize(
    ("text", "kept"), [("90s", 90_000), ("1d12h", DAY * 3 // 2), ("1y", 365 * DAY), ("never", None)]
)
def test_what_may_be_written(text: str, kept: int | None) -> None:
    assert judged(results=text) == (Retention(params=30 * DAY, results=kept, audit=3 * 365 * DAY), [])


@pytest.mark.parametrize("text", ["", "0s", "7", "-7d", "y", "0y", "1y6d", "always", "1000y"])
def test_what_is_no_duration_is_a_fault_that_says_how_it_is_written(text: str) -> None:
    (fault,) = judged(audit=text)[1]
    assert fault == 'retention.audit: expected a duration such as "3y", or "never"'
