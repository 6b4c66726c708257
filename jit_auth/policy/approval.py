"""Check `[rule.approval]` and other lists of people: names, numbers of people, times, channels, parameters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from jit_auth.core.toml import Document, did_you_mean
from jit_auth.errors import Fault, Problem
from jit_auth.model import Action, Escalate, Millis
from jit_auth.policy.file import ApprovalTable, EscalateTable
from jit_auth.policy.merge import Approval
from jit_auth.policy.settle import one_of, person
from jit_auth.policy.strings import milliseconds

_SHORTEST = 1_000
"""Milliseconds of the shortest time in an approval."""
_REQUESTER = "requester"

Path = tuple[str | int, ...]
_VIAS = ("slack", "email")
"""Channels that a deployment may or may not have."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who there is to be named: people, groups with their members, channels."""

    people: Collection[str]
    groups: Mapping[str, frozenset[str]]
    aliases: Mapping[str, str]
    vias: tuple[str, ...]
    fault: Callable[[Fault], None]
    doubts: list[Fault] = field(default_factory=list)

    def approval(self, document: Document, path: Path, given: ApprovalTable, actions: Sequence[Action]) -> Approval:
        """The approval that a rule over these actions asks for. What is wrong goes to `fault`."""
        expires = self._time(document, path, "expires", given.expires) or _SHORTEST
        of = self.names(document, (*path, "from"), given.of, requester=True)
        if not given.of:
            self._wrong(document, (*path, "from"), "from: is empty: nobody could approve")
        self._need(document, (*path, "need"), given.need, of)
        if given.max_uses < 1:
            self._wrong(document, (*path, "max_uses"), "max_uses: at least 1")
        return Approval(
            of=of,
            need=given.need,
            expires=expires,
            via=self._via(document, (*path, "via"), given.via),
            remind=self._time(document, path, "remind", given.remind),
            escalate=self._escalate(document, (*path, "escalate"), given.escalate, expires),
            for_max=self._time(document, path, "for_max", given.for_max),
            max_uses=given.max_uses,
            editable=self._editable(document, (*path, "editable"), given.editable, actions),
            passkey=given.passkey,
        )

    def names(
        self, document: Document, path: Path, given: Sequence[str], *, requester: bool = False
    ) -> tuple[str, ...]:
        """People and groups: sorted, each once, people in the one form of their ids."""
        key, found = str(path[-1]), set[str]()
        forms = (*([_REQUESTER] if requester else []), "user:ID", "group:NAME")
        for number, name in enumerate(given):
            kind, colon, who = name.partition(":")
            here = (*path, number)
            if name == _REQUESTER and requester:
                found.add(name)
            elif kind == "user" and colon:
                try:
                    found.add(f"user:{person(who, self.aliases)}")
                except Problem as problem:
                    hint = did_you_mean(who, self.people)
                    self._wrong(document, here, f"{key}: {name!r}: {problem.message}{hint}")
            elif kind == "group" and colon:
                if who in self.groups:
                    found.add(name)
                else:
                    hint = did_you_mean(who, self.groups) or _there_are(sorted(self.groups))
                    self._wrong(document, here, f"{key}: unknown group {who!r}{hint}")
            else:
                hint = (did_you_mean(name, (_REQUESTER,)) if requester else "") or _there_are(forms)
                self._wrong(document, here, f"{key}: unknown approver {name!r}{hint}")
        return tuple(sorted(found))

    def count(self, of: Collection[str]) -> int:
        """How many people these names can stand for at most: the requester may be one more."""
        known: set[str] = set()
        for name in of:
            kind, _, who = name.partition(":")
            known |= self.groups.get(who, frozenset()) if kind == "group" else {who} if kind == "user" else set()
        return len(known) + (_REQUESTER in of)

    def _wrong(self, document: Document, path: Path, message: str) -> None:
        self.fault(document.fault(path, message))

    def _time(self, document: Document, path: Path, key: str, value: str | None) -> Millis | None:
        if value is None:
            return None
        found = milliseconds(value)
        if found is None:
            self._wrong(document, (*path, key), f'{key}: {value!r} is no duration such as "4h"')
        elif found < _SHORTEST:
            self._wrong(document, (*path, key), f"{key}: at least 1s")
        return found

    def _need(self, document: Document, path: Path, need: int, of: Collection[str]) -> None:
        people = self.count(of)
        if need < 1:
            self._wrong(document, path, "need: at least 1")
        elif of and need > people:
            wanted = f"{need} people are needed" if need > 1 else "somebody is needed"
            self._wrong(document, path, f"need: {wanted}, and `from` can name only {people}")

    def _via(self, document: Document, path: Path, given: tuple[str, ...] | None) -> tuple[str, ...]:
        if given is None:
            return self.vias
        for number, name in enumerate(given):
            if name in _VIAS and name not in self.vias:
                message = f"via: {name!r} is not configured ([channels.{name}]): nobody is asked by it"
                self.doubts.append(document.fault((*path, number), message))
                continue
            for fault in one_of(document, (*path, number), "via", name, self.vias):
                self.fault(fault)
        there = tuple(name for name in self.vias if name in given)
        if all(name in _VIAS for name in given) and not there:
            none = f"none of {', '.join(given)} is configured{_there_are(self.vias)}" if given else "is empty"
            self._wrong(document, path, f"via: {none}: nobody could be asked")
        return there

    def _escalate(
        self, document: Document, path: Path, given: EscalateTable | None, expires: Millis
    ) -> Escalate | None:
        if given is None:
            return None
        after = self._time(document, path, "after", given.after)
        if after is not None and after >= expires:
            self._wrong(document, (*path, "after"), "after: the approval has run out by then (`expires`)")
        to = self.names(document, (*path, "to"), given.to)
        if not given.to:
            self._wrong(document, (*path, "to"), "to: is empty: nobody would be asked")
        elif to and not self.count(to):
            self._wrong(document, (*path, "to"), "to: names nobody: its groups are empty")
        return Escalate(after or _SHORTEST, to, given.counts)

    def _editable(
        self, document: Document, path: Path, given: Sequence[str], actions: Sequence[Action]
    ) -> tuple[str, ...]:
        """Parameters that an approver may change: each action that the rule matches has them."""
        for number, name in enumerate(given):
            for action in actions:
                names = [param.name for param in action.params]
                if name not in names:
                    hint = did_you_mean(name, names)
                    self._wrong(document, (*path, number), f"editable: {action.name} has no parameter {name!r}{hint}")
                    break
        return tuple(sorted(set(given)))


def _there_are(names: Sequence[str]) -> str:
    return f" (there are: {', '.join(names)})" if names else " (there are none)"
