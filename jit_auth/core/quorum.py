"""Who may decide, who did, and whether it is enough: votes are assigned to requirements by bipartite matching."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import Struct

from jit_auth.model import Escalate, Want

Members = Callable[[str], frozenset[str]]
"""The members of a group, by its name."""


class Requesters(Struct, frozen=True):
    """Whose request it is (THREAT_MODEL 1, 16): the user an agent acts for, who answers for the agents of the chain,
    and whoever changed its parameters. None of them counts as a member of a group; an editor does not count at all."""

    user: str | None = None
    owners: frozenset[str] = frozenset()
    editors: frozenset[str] = frozenset()


def eligible(want: Want, by: Requesters, members: Members, escalated: Collection[Escalate] = ()) -> frozenset[str]:
    """The people whose vote counts for one requirement. A requester counts only where the rule names it: as
    `requester`, or by id. `escalated` widens it only where the rule says that they count (THREAT_MODEL 34)."""
    names = [*want.of]
    for step in want.escalate:
        if step.counts and step in escalated:
            names += step.to
    return people(names, by, members)


def people(names: Iterable[str], by: Requesters, members: Members) -> frozenset[str]:
    """Whom the names of a `from` stand for."""
    found: set[str] = set()
    asking = by.owners | ({by.user} if by.user is not None else frozenset())
    for name in names:
        kind, _, who = name.partition(":")
        if name == "requester":
            found |= {by.user} if by.user is not None else frozenset()
        elif kind == "user":
            found.add(who)
        elif kind == "group":
            found |= members(who) - asking
    return frozenset(found - by.editors)


def grouped(names: Iterable[str], by: Requesters, members: Members) -> frozenset[str]:
    """Those of `people` who are asked as members of a group, and are not named as well."""
    names = tuple(names)
    named = people([name for name in names if not name.startswith("group:")], by, members)
    return people([name for name in names if name.startswith("group:")], by, members) - named


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
