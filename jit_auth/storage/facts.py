"""Audit facts: `Committed` values become HMACs and `Who` becomes a pseudonym on the way in, ids on the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jit_auth.core import chain
from jit_auth.model import Audit, Committed, Who
from jit_auth.storage import pack
from jit_auth.storage.people import PSEUDONYM, People, Person
from jit_auth.storage.rows import AGENT

ENGINE = "engine:"
"""Pseudo-person whose key commits and seals where nobody and no agent is concerned."""

PERSON = "person:"

_PSEUDONYM = re.compile(PSEUDONYM + "[0-9a-f]{32}")


class Line:
    """One audit row, ready but for its place in the chain."""

    __slots__ = ("actor", "agent", "body", "execution", "person", "told", "what")

    def __init__(
        self, actor: str, person: str | None, agent: str | None, execution: str | None, what: str, *, told: bool = False
    ) -> None:
        self.actor = actor
        self.person = person
        self.agent = agent
        self.execution = execution
        self.what = what
        self.told = told
        """Whether `Store.events` has it: an index of these rows alone."""
        self.body = chain.body(actor, person, agent, execution, what)


def line(audit: Audit, people: People, *, told: bool = False) -> Line:
    """The row of `audit`. Raises Unknown where a person must be read or made first."""
    user = None if audit.user is None else people.known(audit.user)

    def stored(marked: Any) -> Any:
        """What stands for a marked value. The encoder asks for each, at any depth: missed, it would not encode."""
        if type(marked) is Committed:
            owner = user or people.known(AGENT + audit.agent if audit.agent else ENGINE)
            return "hmac:" + owner.commitment(marked.value)
        if type(marked) is Who:
            return {"who": people.known(marked.id).pid}
        raise TypeError(f"a fact holds no {type(marked).__name__}")

    what = pack.encode(audit.what, stored).decode()
    person = None if user is None else user.pid
    return Line(actor(audit.actor, people), person, audit.agent, audit.execution, what, told=told)


def actor(name: str, people: People) -> str:
    """An actor with its person as a pseudonym."""
    if name.startswith(PERSON):
        return PERSON + people.known(name[len(PERSON) :]).pid
    return name


def pseudonyms(value: Any) -> Iterator[str]:
    """All pseudonyms of decoded facts."""
    if isinstance(value, dict):
        if _is_who(value):
            yield value["who"]
        else:
            for item in value.values():
                yield from pseudonyms(item)
    elif isinstance(value, list):
        for item in value:
            yield from pseudonyms(item)


def resolved(value: Any, people: Mapping[str, Person]) -> Any:
    """Decoded facts with ids in place of pseudonyms."""
    if isinstance(value, dict):
        if _is_who(value):
            return people[value["who"]].id
        return {name: resolved(item, people) for name, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, people) for item in value]
    return value


def _is_who(value: dict[str, Any]) -> bool:
    who = value.get("who")
    return len(value) == 1 and isinstance(who, str) and _PSEUDONYM.fullmatch(who) is not None
