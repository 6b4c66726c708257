"""Who is who: one person per human, whatever name is used (THREAT_MODEL 14)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from jit_auth.core.ids import person_id
from jit_auth.errors import Problem

_SLACK = re.compile(r"[UW][A-Z0-9]{1,30}")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class PersonTable(Struct, frozen=True, kw_only=True):
    """[people.X] as written."""

    email: str | None = None
    slack: str | None = None
    groups: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    active: bool = True


class People(Struct, frozen=True, kw_only=True):
    """All people that config.toml knows. Plain values only: a part of the bundle that decides."""

    ids: tuple[str, ...] = ()
    """Their ids in the one form, sorted."""
    names: dict[str, str] = {}
    """Every id, alias and address of theirs, to the person."""
    groups: dict[str, tuple[str, ...]] = {}
    emails: dict[str, str] = {}
    """Where a person gets mail: the address given, else the id where that is one."""
    slack: dict[str, str] = {}
    left: tuple[str, ...] = ()
    """Who has left: they are nobody's approver, no agent acts for them, and nothing that they hold opens anything."""

    def person(self, text: str) -> str:
        """The person that `text` names: by id, alias or address, else `text` in the one form.

        Raises BadRequest (`bad_user`) where it is no id of a person.
        """
        name = person_id(text)
        return self.names.get(name, name)


def gather(tables: Mapping[str, PersonTable], fault: Callable[[tuple[str, ...], str], None]) -> People:
    """Judge [people]: one form, and nothing that two of them share. `fault` takes (path, message) of each mistake."""
    names: dict[str, str] = {}
    emails: dict[str, str] = {}
    slack: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    ids: list[str] = []
    left: list[str] = []
    for key in tables:
        person = _form(key, (key,), fault)
        if person in ids:
            fault((key,), f"[people] {person} has two entries")
        elif person:
            ids.append(person)
            names[person] = person
    for key, table in tables.items():
        person = _form(key, (key,), lambda path, message: None)
        if not person:
            continue
        for alias in table.aliases:
            _claim(names, _form(alias, (key, "aliases"), fault), person, (key, "aliases"), fault)
        email = person if table.email is None and "@" in person else None
        if table.email is not None:
            email = _form(table.email, (key, "email"), fault)
            if email and "@" not in email:
                fault((key, "email"), f"{table.email!r} is no address")
            _claim(names, email, person, (key, "email"), fault)
        if email:
            emails[person] = email
        if table.slack is not None:
            if not _SLACK.fullmatch(table.slack):
                # A name can be taken by another one tomorrow; the id stays the person's.
                fault((key, "slack"), f"{table.slack!r} is no Slack member id such as U012ANA")
            _claim(slack, table.slack, person, (key, "slack"), fault)
        for group in table.groups:
            if not _GROUP.fullmatch(group):
                fault((key, "groups"), f"{group!r} is no name of a group")
            groups.setdefault(group, []).append(person)
        if not table.active:
            left.append(person)
    return People(
        ids=tuple(sorted(ids)),
        names=names,
        groups={group: tuple(sorted(set(members))) for group, members in sorted(groups.items())},
        emails=emails,
        slack={person: handle for handle, person in slack.items()},
        left=tuple(sorted(left)),
    )


def _form(text: str, path: tuple[str, ...], fault: Callable[[tuple[str, ...], str], None]) -> str | None:
    try:
        return person_id(text)
    except Problem as problem:
        fault(path, f"{text!r}: {problem.message}")
        return None


def _claim(
    owners: dict[str, str],
    name: str | None,
    person: str,
    path: tuple[str, ...],
    fault: Callable[[tuple[str, ...], str], None],
) -> None:
    if name and owners.setdefault(name, person) != person:
        fault(path, f"{name!r} belongs to {owners[name]} already")
