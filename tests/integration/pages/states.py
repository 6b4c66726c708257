"""States of the stand-in that hold everything a page can hold at once."""

from __future__ import annotations

from msgspec.structs import replace

from jit_auth.model import Decision, Escalate, Execution, Vote, Want
from tests.integration.pages.standin import EXECUTION, NOW, PARAMS, ROUND, Standin

HOUR = 3_600_000


def before(number: int) -> Execution:
    """An earlier call of the same kind."""
    return replace(
        EXECUTION,
        id=f"exe_before{number}",
        state=("succeeded", "succeeded", "denied")[number % 3],
        params=PARAMS | {"subject": f"Week {46 - number}"},
        updated=NOW - number * 7 * 24 * HOUR,
    )


def usual() -> Standin:
    """A request of high risk for a group, with everything that a page can hold at once."""
    doors = Standin()
    doors.execution = replace(
        EXECUTION,
        decision=Decision(
            "require_approval",
            ("send-outside",),
            ("Mail that leaves the house needs a second look.",),
            labels=("external",),
            for_max=HOUR,
            editable=("subject", "to"),
        ),
    )
    doors.round = replace(ROUND, wants=(Want(("group:finance",), need=2),))
    doors.more = {
        "eligible": ("ana@example.com", "bo@example.com", "cy@example.com"),
        "recent": (before(1), before(2)),
        "asked": 2,
        "denied": 1,
        "waiting": 3,
    }
    doors.votes = (_vote("bo@example.com"),)
    doors.others = (
        doors.another(1, action=replace(doors.action, risk="medium"), recent=()),
        doors.another(2, recent=(before(1),)),
    )
    return doors


def edited() -> Standin:
    """Asked anew after somebody changed it, and widened since."""
    doors = usual()
    doors.votes = ()
    doors.execution = replace(
        doors.execution,
        before=PARAMS | {"subject": "Quaterly numbers\u200b", "to": ["x@y.example"]},
        edited_by=("cy@example.com",),
    )
    step = Escalate(HOUR, ("group:directors",), counts=True)
    want = replace(doors.round.wants[0], escalate=(step,))
    doors.round = replace(doors.round, wants=(want,), escalated=(step,), why="cy@example.com changed subject and to.")
    doors.more = doors.more | {"rounds": 2}
    return doors


def _vote(person: str) -> Vote:
    return Vote(
        ask=ROUND.id,
        person=person,
        verdict="approve",
        digest=ROUND.digest,
        seen="",
        how="slack",
        hold=HOUR,
        at=NOW - HOUR,
    )
