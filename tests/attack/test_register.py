"""By number: each attack that was thought of is held by tests that are run, or is open with a reason."""

from __future__ import annotations

import pytest

from tests.attack.register import Line, named, oauth, threats
from tests.project.test_documents import known_tests

LINES = [*threats(), *oauth()]
OAUTH = {
    "2.1", "2.1.1", "2.1.2", "2.2.1", "2.2.2", "2.3", "2.4", "2.5", "2.6", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6",
    "4.7", "4.8", "4.9", "4.10", "4.11", "4.12", "4.13", "4.14", "4.15", "4.16", "4.17",
}  # fmt: skip
"""The sections of RFC 9700 that ask something of somebody."""


@pytest.mark.parametrize("line", LINES, ids=[line.number for line in LINES])
def test_each_attack_is_held_or_open_with_a_reason(line: Line) -> None:
    assert line.tests or line.open
    assert set(line.tests) <= known_tests()


def test_the_forty_rules_and_every_section_of_rfc_9700_have_a_line() -> None:
    assert {str(number) for number in range(1, 41)} <= {line.number for line in threats()}
    assert {line.number for line in oauth()} == OAUTH


def test_the_suite_runs_what_the_tables_name(request: pytest.FixtureRequest) -> None:
    """Whatever part of the tree was collected: what is marked is what is named, and what stands here."""
    for item in request.session.items:
        if isinstance(item, pytest.Function):
            here = item.path.parent.name == "attack"
            assert (item.get_closest_marker("attack") is not None) == (here or item.originalname in named())
