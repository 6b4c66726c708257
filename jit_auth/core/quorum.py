"""Who may decide, who did, and whether it is enough: votes are assigned to requirements by bipartite matching."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jit_auth.model import Execution, Want


def eligible(want: Want, execution: Execution) -> frozenset[str]:
    """The people whose vote counts for one requirement.

    The requester (the user an agent acts for) counts only where the rule names it: as `requester`, or by id.
    """
    people = set()
    for name in want.of:
        if name == "requester":
            if execution.user is not None:
                people.add(execution.user)
        elif name.startswith("user:"):
            people.add(name.removeprefix("user:"))
    return frozenset(people)


def enough(wants: Sequence[Want], who: Sequence[frozenset[str]], voters: Collection[str]) -> bool:
    """Whether the voters meet all requirements at once, each person's vote counting in one of them only.

    `who[i]` are the people eligible for `wants[i]`. A maximum matching (Kuhn's augmenting paths) of seats to people,
    so that neither the order of rules nor that of votes matters (THREAT_MODEL 34).
    """
    seats = [people.intersection(voters) for want, people in zip(wants, who, strict=True) for _ in range(want.need)]
    taken: dict[str, int] = {}

    def seat(number: int, tried: set[str]) -> bool:
        for person in sorted(seats[number]):
            if person in tried:
                continue
            tried.add(person)
            if person not in taken or seat(taken[person], tried):
                taken[person] = number
                return True
        return False

    return all(seat(number, set()) for number in range(len(seats)))
