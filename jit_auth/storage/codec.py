"""Rows to records and back: pseudonyms for persons, sealed groups of fields, MACs for what is only found by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

import msgspec

from jit_auth.errors import VaultError
from jit_auth.model import Decision, Idem, Row, Token
from jit_auth.storage import pack
from jit_auth.storage.compiled import Compiler, Write
from jit_auth.storage.people import Keys, People, Person
from jit_auth.storage.rows import AGENT, SHAPES, Group, Shape, fields_of, sealed_struct

R = TypeVar("R")

REMOVED = b""
"""What stands in place of a sealed value that was removed after its time."""

GONE = {"asked": "params", "told": "result"}
"""What `Execution.gone` says of each group of fields."""

_TOKEN = msgspec.json.Decoder(Token)
_NAMES = msgspec.json.Decoder(tuple[str, ...])
_ERASED: Mapping[str, Any] = {
    "params": {}, "decision": Decision("deny"), "account": None, "verifier": "", "nonce": "",
    "public_key": b"", "statement": "",
}  # fmt: skip
"""What stands for a field without default whose person was erased: never anything that loosens."""


class _Sealed:
    """One sealed group of one table: how to pack it, and how to open it."""

    def __init__(self, kind: type[Any], group: Group) -> None:
        self.column = group.column
        self.struct = sealed_struct(kind, group)  # type: ignore[arg-type]  # a class is hashable, whatever mypy thinks
        self.names = self.struct.__struct_fields__
        self.decoder = msgspec.json.Decoder(self.struct)
        self.get: Callable[[Any], tuple[Any, ...]] = getter(self.names)
        self.optional = group.column == "told"
        defaults = {field.name: field.default for field in fields_of(kind)}
        self.erased = {
            name: _ERASED[name]
            if name in _ERASED
            else defaults[name]
            if defaults[name] is not msgspec.NODEFAULT
            else ()
            for name in self.names
        }


@cache
def _sealed(kind: type[Any], group: Group) -> _Sealed:
    """The same for all stores."""
    return _Sealed(kind, group)


class _Change:
    """One set of changed fields of one table, worked out once: which columns they touch, and the statement."""

    __slots__ = ("bound", "groups", "lists", "live", "open", "token", "write")

    def __init__(self, codec: TableCodec, fields: tuple[str, ...]) -> None:
        shape = codec.shape
        known = {field.name for field in fields_of(shape.kind)}
        fixed = {*shape.key, "version", shape.holder, "scope", "body", "id"}
        for name in fields:
            if name not in known or name in fixed:
                raise TypeError(f"{shape.kind.__name__}.{name} cannot be changed")
        plain = [name for name in fields if name in shape.plain]
        self.lists = tuple(name for name in fields if name in shape.lists)
        self.groups = tuple(group for group in codec.groups if any(name in group.names for name in fields))
        self.open = "open_key" in fields
        self.live = "live_key" in codec.columns and ("state" in fields or "account" in fields)
        self.token = "token" in fields
        columns = [*plain, *self.lists, *(group.column for group in self.groups)]
        columns += [
            name for name, on in (("open_key", self.open), ("live_key", self.live), ("token", self.token)) if on
        ]
        self.write = codec.compiler.change(shape.table, shape.key, shape.versioned, columns)
        slots = [name[2:] for name in self.write.order if name.startswith("v_")]
        self.bound: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            itemgetter(*slots) if len(slots) > 1 else lambda values: tuple([values[name] for name in slots])
        )
        """The values of the columns, in the order of the statement."""


class TableCodec:
    """The codec of one record type."""

    def __init__(self, shape: Shape, compiler: Compiler, people: People, keys: Keys) -> None:
        self.shape = shape
        self.compiler = compiler
        self.columns = shape.columns()
        self.groups = tuple(_sealed(shape.kind, group) for group in shape.groups())  # type: ignore[arg-type]  # see above
        self._people = people
        self._keys = keys
        self._plain = getter(shape.plain)
        self._changes: dict[tuple[str, ...], _Change] = {}
        self._flags = tuple(
            (index, name) for index, name in enumerate(shape.plain) if shape.table.c[name].type.python_type is bool
        )
        self._lives = "live_key" in self.columns
        self._key = getter(shape.key) if shape.key == ("id",) else None

    @cached_property
    def insert_write(self) -> Write:
        """Compiled with the first row: a command writes few of the tables."""
        return self.compiler.insert(self.shape.table, self.columns)

    def insert(self, row: Any) -> tuple[tuple[Any, ...], Any]:
        """The bound values of a new row, and what no other unit of a batch may touch. Raises Unknown (people)."""
        shape = self.shape
        values = [*self._plain(row)]
        for name in shape.lists:
            values.append(pack.encode(getattr(row, name)).decode())
        if shape.holder is None:
            if shape.macs:
                macs = [self._keys.idem.digest(getattr(row, name).encode()) for name in shape.macs]
                return (*values, *macs), macs[0]
            return tuple(values), tuple(values[:2]) if shape.key[0] == "grant" else values[0]
        person = self._people.known(shape.holder_of(row))
        version = 1 if shape.versioned is None else row.version
        row_id = row.id if self._key is not None else f"{row.ask}/{person.pid}"
        provider = self._provider(row)
        values.append(person.pid)
        if shape.macs:
            values.append(row.chain[0])  # origin: an agent that this one calls does not start its counts anew
            values.append(None if row.open_key is None else self._keys.open.digest(row.open_key.encode()))
            values.append(None if row.task is None else self._keys.task.digest(row.task.id.encode()))
        elif self._lives:
            values.append(self._live(row.state, person, row.provider, row.account))
        for group in self.groups:
            values.append(self._seal(group, group.get(row), row_id, person, provider, version))
        if shape.token:
            values.append(self._seal_token(row.token, row_id, person, provider, version))
        return tuple(values), row_id

    def change(self, was: Any, to: Mapping[str, Any]) -> tuple[Write, tuple[Any, ...], Any]:
        """The statement, its bound values and the row's id for one compare-and-set. Raises Unknown (people)."""
        shape = self.shape
        fields = tuple(to)
        change = self._changes.get(fields)
        if change is None:
            change = self._changes[fields] = _Change(self, fields)
        values = dict(to)
        for name in change.lists:
            values[name] = pack.encode(to[name]).decode()
        if shape.holder is None:
            key = self._keys_of(was)
        else:
            person = self._people.known(shape.holder_of(was))
            key = (was.id,) if self._key is not None else (was.ask, person.pid)
            version, provider = (was.version + 1 if shape.versioned else 1), self._provider(was)
            row_id = key[0] if len(key) == 1 else "/".join(key)
            for group in change.groups:
                new = tuple([to[name] if name in to else getattr(was, name) for name in group.names])
                values[group.column] = self._seal(group, new, row_id, person, provider, version)
            if change.open:
                open_key = to["open_key"]
                values["open_key"] = None if open_key is None else self._keys.open.digest(open_key.encode())
            if change.live:
                state, account = to.get("state", was.state), to.get("account", was.account)
                values["live_key"] = self._live(state, person, was.provider, account)
            if change.token:
                values["token"] = self._seal_token(to["token"], row_id, person, provider, version)
        bound = change.bound(values)
        if shape.versioned:
            return change.write, (*bound, *key, was.version), key if len(key) > 1 else key[0]
        return change.write, (*bound, *key), key if len(key) > 1 else key[0]

    def delete(self, was: Any) -> tuple[tuple[Any, ...], Any]:
        """The bound values and the row's id of a removal."""
        key = self._keys_of(was) if self.shape.holder is None else (was.id,)
        return ((*key, was.version) if self.shape.versioned else key), key if len(key) > 1 else key[0]

    def record(self, values: Sequence[Any], people: Mapping[str, Person]) -> Any:
        """The record of a row read in the order of `columns`. Raises VaultError where it was altered."""
        shape = self.shape
        fields: dict[str, Any] = dict(zip(shape.plain, values, strict=False))
        for index, name in self._flags:
            fields[name] = bool(values[index])
        at = len(shape.plain)
        for name in shape.lists:
            fields[name] = pack.decode(values[at], _NAMES)
            at += 1
        if shape.holder is None:
            for name in shape.macs:
                fields[name] = values[at].hex()
                at += 1
            return shape.kind(**fields)
        person = people[values[at]]
        fields[shape.holder] = None if person.id.startswith(AGENT) else person.id
        at += 1
        if shape.macs:
            at += 1  # origin: it stands in the chain
            fields["open_key"] = None if values[at] is None else values[at].hex()
            at += 2  # its task: sealed, with its title
        elif self._lives:
            at += 1
        row_id = fields["id"] if self._key is not None else f"{fields['ask']}/{person.pid}"
        provider = fields.get("provider") or ""
        gone: tuple[str, ...] = ()
        for group in self.groups:
            sealed = values[at]
            fields |= self._open(group, sealed, row_id, person, provider)
            if sealed is not None and (person.key is None or sealed == REMOVED):
                gone = (*gone, GONE[group.column])
            at += 1
        if shape.derived:
            fields["gone"] = gone
        if shape.token:
            fields["token"] = None if values[at] is None else bytes(values[at])
        return shape.kind(**fields)

    def reveal(self, row: Any) -> Token:
        """The token inside a row that was read. Raises VaultError."""
        if not isinstance(row.token, bytes):
            raise VaultError(f"{row.id} holds no sealed token.")
        person = self._people.known(self.shape.holder_of(row))
        if person.key is None:
            raise VaultError(f"The key of {row.id} was erased.")
        plain = person.key.open(
            row.token, table=self.shape.table.name, row=row.id, column="token", user=person.pid, provider=row.provider
        )
        return pack.decode(plain, _TOKEN)

    def _provider(self, row: Any) -> str:
        return getattr(row, "provider", None) or ""

    def _keys_of(self, row: Any) -> tuple[Any, ...]:
        if self.shape.macs:
            return (self._keys.idem.digest(getattr(row, self.shape.macs[0]).encode()),)
        return row.grant, row.agent

    def _live(self, state: str, person: Person, provider: str, account: str) -> bytes | None:
        if state == "revoked":
            return None
        return self._keys.live.digest(pack.encode((person.pid, provider, account)))

    def _seal(
        self, group: _Sealed, values: tuple[Any, ...], row_id: str, person: Person, provider: str, number: int
    ) -> bytes | None:
        if group.optional and (person.key is None or values.count(None) == len(values)):
            return None  # what is told of an erased person's execution is gone with them
        if person.key is None:
            raise VaultError(f"The key of {row_id} was erased.")
        return person.key.seal(
            pack.encode(group.struct(*values)), table=self.shape.table.name, row=row_id, column=group.column,
            user=person.pid, provider=provider, number=number,
        )  # fmt: skip

    def _open(self, group: _Sealed, sealed: bytes | None, row_id: str, person: Person, provider: str) -> dict[str, Any]:
        if sealed is None:
            return {}
        if person.key is None or sealed == REMOVED:
            return group.erased
        plain = person.key.open(
            sealed, table=self.shape.table.name, row=row_id, column=group.column, user=person.pid, provider=provider
        )
        return dict(zip(group.names, group.get(pack.decode(plain, group.decoder)), strict=True))

    def _seal_token(self, token: Any, row_id: str, person: Person, provider: str, number: int) -> bytes | None:
        if token is None:
            return None
        if not isinstance(token, Token):
            # A sealed value belongs to the row it was sealed for: reveal it first.
            raise TypeError("a token is written in the clear, and sealed here")
        if person.key is None:
            raise VaultError(f"The key of {row_id} was erased.")
        return person.key.seal(
            pack.encode(token), table=self.shape.table.name, row=row_id, column="token", user=person.pid,
            provider=provider, number=number,
        )  # fmt: skip


class Codec:
    """The codecs of all record types."""

    def __init__(self, compiler: Compiler, people: People, keys: Keys) -> None:
        self.tables = {kind: TableCodec(shape, compiler, people, keys) for kind, shape in SHAPES.items()}
        self._people = people
        self._keys = keys

    def of(self, kind: type[Row]) -> TableCodec:
        """The codec of one record type."""
        return self.tables[kind]

    async def records(self, kind: type[R], rows: Sequence[Sequence[Any]]) -> tuple[R, ...]:
        """The records of rows that were read in the order of the codec's columns."""
        codec = self.tables[kind]  # type: ignore[index]  # R is one of Row: no bound says so of a union's members
        if codec.shape.holder is None:
            return tuple(codec.record(row, {}) for row in rows)
        at = codec.columns.index("person")
        people = await self._people.load(row[at] for row in rows)
        return tuple(codec.record(row, people) for row in rows)

    def scope(self, scope: str) -> bytes:
        """The stored form of an idempotency key's scope."""
        return self._keys.idem.digest(scope.encode())

    def same_body(self, idem: Idem, body: str) -> bool:
        """Whether a row that was read is of this body."""
        return self._keys.idem.genuine(body.encode(), bytes.fromhex(idem.body))

    def open_key(self, key: str) -> bytes:
        """The stored form of an open execution's joining key."""
        return self._keys.open.digest(key.encode())

    def task(self, id: str) -> bytes:
        """The stored form of a task's id."""
        return self._keys.task.digest(id.encode())


def getter(names: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    """A fast reader of several attributes, always as a tuple."""
    found = tuple(names)
    if not found:
        return lambda _: ()
    if len(found) == 1:
        only = attrgetter(found[0])
        return lambda row: (only(row),)
    return attrgetter(*found)
