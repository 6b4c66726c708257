"""Who can be reached how: which copies of a question are made, for whom, and by which channels. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

SHARED = "channel:"
"""Prefix of the pseudo-person that a channel's one copy for a whole group belongs to. No person's id holds a colon."""


class Way(Struct, frozen=True):
    """One channel as far as addressing goes. `addresses` has a person's address; `mailbox`: an id that is an address
    is one without an entry; `shared`: requests to a group are shown once, in a place of the channel's own;
    `everyone`: it reaches whoever may decide (the terminal of development)."""

    name: str
    addresses: Mapping[str, str] = {}
    mailbox: bool = False
    shared: bool = False
    everyone: bool = False

    def reaches(self, person: str) -> bool:
        """Whether the channel has an address of this person."""
        return self.everyone or person in self.addresses or (self.mailbox and "@" in person)


class Reach(Struct, frozen=True):
    """All channels that are configured, in the order in which they stand in for each other."""

    ways: tuple[Way, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All channels, the page included."""
        return (*(way.name for way in self.ways), "page")

    def everyone(self, name: str) -> bool:
        """Whether the channel is the terminal of development, which needs no address and is local to a process."""
        return any(way.everyone for way in self.ways if way.name == name)

    def reachable(self, person: str, via: Collection[str]) -> bool:
        """Whether a question asked by these channels can reach the person. The page reaches everyone."""
        return "page" in via or any(way.reaches(person) for way in self.ways if way.name in via)

    def by(self, person: str, via: Collection[str]) -> frozenset[str]:
        """The channels that bring a question to the person, of those it is asked by."""
        return frozenset(way.name for way in self.ways if (way.everyone or way.name in via) and way.reaches(person))

    def copies(
        self, people: Collection[str], via: Collection[str], *, grouped: Collection[str] = ()
    ) -> list[tuple[str, str]]:
        """(channel, person) of every copy; `grouped` are those who are asked as members of a group."""
        made: list[tuple[str, str]] = []
        for way in self.ways:
            if not (way.everyone or way.name in via):
                continue
            mine = [person for person in sorted(people) if way.reaches(person)]
            if way.shared and any(person in grouped for person in mine):
                made.append((way.name, SHARED + way.name))
                mine = [person for person in mine if person not in grouped]
            made += [(way.name, person) for person in mine]
        return made

    def instead(self, person: str, via: Sequence[str], failed: Collection[str]) -> str | None:
        """The next channel for a person whom those of `failed` did not reach."""
        for way in self.ways:
            if way.name in via and way.name not in failed and way.reaches(person):
                return way.name
        return None
