"""How each record lies in its table: which fields are columns as they are, and which are sealed together."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import msgspec
from msgspec import Struct
from sqlalchemy import Column, Table

from jit_auth.model import (
    Ask,
    Card,
    Challenge,
    Code,
    Consent,
    Execution,
    Flow,
    Grant,
    Idem,
    Linked,
    Outbox,
    Pass,
    Passkey,
    Row,
    Session,
    Tally,
    Vote,
)
from jit_auth.storage import tables
from jit_auth.storage.judge import Which

AGENT = "agent:"
"""Prefix of the pseudo-person that holds the key of rows without a user. No person's id holds a colon."""


@dataclass(frozen=True)
class Group:
    """Fields sealed together in one column."""

    column: str
    fields: tuple[str, ...]


def fields_of(kind: type[Any]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a record type. Their types are resolved once: it takes a tenth of what a store's start takes."""
    return _fields(cast(Hashable, kind))


@cache
def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


@dataclass(frozen=True)
class Shape:
    """One record type and its table. A field that is named nowhere here is sealed in `asked`."""

    kind: type[Any]
    table: Table
    plain: tuple[str, ...]
    """Fields that are columns of the same name and value."""
    holder: str | None
    """The field with the person whose key seals the row; the column is `person`."""
    key: tuple[str, ...] = ("id",)
    """Columns of the primary key."""
    lists: tuple[str, ...] = ()
    """Fields (tuples of strings) that are JSON in a column of their name."""
    told: tuple[str, ...] = ()
    """Fields sealed in `told`: they come later than the rest."""
    derived: tuple[str, ...] = ()
    """Fields that are stored nowhere: what a row that is read lacks."""
    token: bool = False
    macs: tuple[str, ...] = ()
    """Columns that are MACs of fields."""
    versioned: str | None = "version"
    taken: Which = "exists"
    """What a unit is told when the key is there already."""

    def groups(self) -> tuple[Group, ...]:
        """The sealed groups of fields, in the order of their columns."""
        named = {*self.plain, *self.lists, *self.told, *self.macs, *self.derived, self.holder, "token"}
        rest = tuple(field.name for field in fields_of(self.kind) if field.name not in named)
        found = [Group("asked", rest)] if "asked" in self.table.c else []
        if rest and not found:
            raise TypeError(f"{self.kind.__name__}: no column holds {', '.join(rest)}")
        return (*found, Group("told", self.told)) if self.told else tuple(found)

    def columns(self) -> tuple[str, ...]:
        """All columns, in the order in which rows are bound and read."""
        person = ("person",) if self.holder else ()
        token = ("token",) if self.token else ()
        names = ("origin", "open_key", "task", "live_key", *self.macs)
        derived = dict.fromkeys(name for name in names if name in self.table.c)
        return (*self.plain, *self.lists, *person, *derived, *(group.column for group in self.groups()), *token)

    def holder_of(self, row: Any) -> str:
        """The id of the row's key holder: the person, or, where there is none, the agent's pseudo-person."""
        who: str | None = getattr(row, self.holder or "")
        return who if who is not None else AGENT + row.agent

    def row_id(self, get: Callable[[str], Any]) -> str:
        """The row's id as it stands in associated data."""
        return "/".join(str(get(column)) for column in self.key)


SHAPES: dict[type[Row], Shape] = {
    shape.kind: shape
    for shape in (
        Shape(
            Execution,
            tables.execution,
            plain=(
                "id", "version", "state", "agent", "verified", "action", "grant", "digest", "intent", "attempt",
                "process", "deadline", "due", "not_after", "met", "trouble_since", "tries", "created", "updated",
                "expires",
            ),
            lists=("chain",),
            holder="user",
            told=("result", "error"),
            derived=("gone",),
            macs=("open_key",),
        ),
        Shape(
            Ask,
            tables.ask,
            plain=(
                "id", "version", "execution", "kind", "state", "agent", "provider", "digest", "new_agent", "created",
                "expires",
            ),
            lists=("scopes",),
            holder="user",
        ),
        Shape(
            Vote,
            tables.vote,
            plain=("ask", "verdict", "digest", "seen", "how", "at"),
            key=("ask", "person"),
            holder="person",
            derived=("gone",),
            versioned=None,
            taken="vote",
        ),
        Shape(
            Card,
            tables.card,
            plain=(
                "id", "version", "ask", "execution", "via", "ref", "shown", "due", "tries", "expires", "process",
                "role",
            ),
            holder="person",
        ),
        Shape(
            Grant,
            tables.grant,
            plain=(
                "id", "version", "provider", "state", "expires", "lifetime", "refreshable", "refresher",
                "refresher_until", "created", "updated",
            ),
            lists=("scopes",),
            holder="user",
            token=True,
        ),
        Shape(Consent, tables.consent, plain=("grant", "agent", "version", "at"), lists=("scopes",), holder=None,
              key=("grant", "agent")),
        Shape(
            Flow,
            tables.flow,
            plain=("id", "version", "ask", "provider", "cookie", "epoch", "done", "until"),
            lists=("scopes",),
            holder="user",
        ),
        Shape(Idem, tables.idem, plain=("execution", "until"), holder=None, key=("scope",), macs=("scope", "body"),
              versioned=None, taken="idem"),
        Shape(
            Outbox,
            tables.outbox,
            plain=("id", "version", "kind", "provider", "due", "tries", "until", "agent", "endpoint"),
            holder="user",
            told=("url", "payload"),
            token=True,
        ),
        Shape(
            Pass,
            tables.standing,
            plain=("id", "version", "digest", "agent", "action", "uses", "until", "ended", "created"),
            lists=("chain",),
            holder="user",
        ),
        Shape(Tally, tables.tally, plain=("version", "times", "denied", "denied_at", "until"), holder=None,
              key=("key",), macs=("key",)),
        Shape(Session, tables.session, plain=("id", "version", "how", "issuer", "at", "used", "until"),
              holder="person"),
        Shape(Linked, tables.identity, plain=("id", "version", "issuer", "at"), holder="person"),
        Shape(Code, tables.code, plain=("id", "version", "ask", "mail", "mac", "tries", "sent", "until"),
              holder="person"),
        Shape(Passkey, tables.passkey, plain=("id", "version", "counter", "created", "used"), holder="person"),
        Shape(Challenge, tables.challenge, plain=("id", "version", "until"), holder="person"),
    )
}  # fmt: skip


def columns_of(kind: type[Any]) -> list[Column[Any]]:
    """The columns of a record, in the order in which rows are read."""
    shape = SHAPES[kind]
    return [shape.table.c[name] for name in shape.columns()]


@cache
def sealed_struct(kind: type[Any], group: Group) -> type[Struct]:
    """The type of a sealed group's JSON: the record's own fields, and a default for what an older row lacks."""
    fields: list[Any] = []
    types = {field.name: field for field in fields_of(kind)}
    for name in sorted(group.fields, key=lambda name: not types[name].required):
        field = types[name]
        fields.append((name, field.type) if field.required else (name, field.type, _default(field)))
    return msgspec.defstruct(f"{kind.__name__}_{group.column}", fields, omit_defaults=True, frozen=True)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return msgspec.field(default_factory=field.default_factory)
