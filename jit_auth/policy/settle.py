"""What holds for all policy files together: [defaults], timezones, [groups]; contradictions are faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from jit_auth.core.ids import person_id
from jit_auth.core.toml import Document, did_you_mean
from jit_auth.errors import Fault, Problem
from jit_auth.policy.file import PolicyFile

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_MATCH = ("deny", "allow")

Loaded = tuple[Document, PolicyFile]


@dataclass(frozen=True)
class Settled:
    """`zones` has the timezone of each file, in their order; `groups` the members of every group."""

    no_match: str
    zones: tuple[tuple[str, tzinfo], ...]
    groups: Mapping[str, frozenset[str]]

    @property
    def timezone(self) -> str:
        """The name of the files' timezone (of the first, where they differ)."""
        return self.zones[0][0] if self.zones else "UTC"


def settle(
    files: Sequence[Loaded],
    people_groups: Mapping[str, Collection[str]],
    aliases: Mapping[str, str],
    fault: Callable[[Fault], None],
) -> Settled:
    """[defaults] and [groups] of all files. A file without a timezone has that of the others, if they have one."""
    return Settled(
        no_match=_no_match(files, fault),
        zones=_zones(files, fault),
        groups=_groups(files, people_groups, aliases, fault),
    )


def one_of(document: Document, path: tuple[str | int, ...], key: str, value: str, names: Iterable[str]) -> list[Fault]:
    """The fault of a value of `key` that is not among `names`; none where it is."""
    names = tuple(names)
    if value in names:
        return []
    hint = did_you_mean(value, names) or f" (there are: {', '.join(names)})"
    return [document.fault(path, f"{key}: unknown {value!r}{hint}")]


def _no_match(files: Sequence[Loaded], fault: Callable[[Fault], None]) -> str:
    path = ("defaults", "no_match")
    stated: str | None = None
    for document, file in files:
        value = file.defaults.no_match
        if value is None:
            continue
        for wrong in one_of(document, path, "no_match", value, _NO_MATCH):
            fault(wrong)
        if stated not in (None, value):
            fault(document.fault(path, f"no_match is {stated!r} in another file: it holds for all"))
        else:
            stated = value
    return stated or "deny"


def _zones(files: Sequence[Loaded], fault: Callable[[Fault], None]) -> tuple[tuple[str, tzinfo], ...]:
    path = ("defaults", "timezone")
    found: list[tuple[str, tzinfo] | None] = []
    for document, file in files:
        name = file.defaults.timezone
        zone = None if name is None else _zone(name)
        if name is not None and zone is None:
            fault(document.fault(path, f"timezone: unknown {name!r}{did_you_mean(name, available_timezones())}"))
        found.append((name, zone) if name is not None and zone is not None else None)
    stated = dict(one for one in found if one is not None)
    shared = next(iter(stated.items())) if len(stated) == 1 else ("UTC", UTC)
    if len(stated) > 1:
        for (document, _), one in zip(files, found, strict=True):
            if one is None:
                fault(
                    Fault(document.file, 0, "the other files have different timezones: [defaults] timezone is missing")
                )
    return tuple(one or shared for one in found)


def _zone(name: str) -> tzinfo | None:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return None


def _groups(
    files: Sequence[Loaded],
    people_groups: Mapping[str, Collection[str]],
    aliases: Mapping[str, str],
    fault: Callable[[Fault], None],
) -> dict[str, frozenset[str]]:
    groups = {name: set(members) for name, members in people_groups.items()}
    for document, file in files:
        for name, members in file.groups.items():
            if not _GROUP.fullmatch(name):
                fault(document.fault(("groups", name), f"{name!r} is no name of a group"))
            known = groups.setdefault(name, set())
            for number, member in enumerate(members):
                try:
                    known.add(person(member, aliases))
                except Problem as problem:
                    fault(document.fault(("groups", name, number), f"{member!r}: {problem.message}"))
    return {name: frozenset(members) for name, members in groups.items()}


def person(text: str, aliases: Mapping[str, str]) -> str:
    """The person that `text` names: its one form, or whose alias that is. Raises BadRequest."""
    form = person_id(text)
    return aliases.get(form, form)
