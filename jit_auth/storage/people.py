"""Persons: the one place where an id becomes a pseudonym and a data key, and back (THREAT_MODEL 13).

A person is made the first time somebody needs one, in a commit of its own: it is bare of meaning, races between
replicas end at the unique look-up MAC, and a unit that then fails leaves nothing that matters.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from jit_auth.core.ids import ERASED
from jit_auth.core.mac import Mac
from jit_auth.storage import pack, tables
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.reader import Reader
from jit_auth.vault import DataKey, Vault

KEPT = 10_000
"""How many persons a process remembers."""

PSEUDONYM = "psn_"

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Unknown(Exception):
    """This person is not in memory: make or read it, and come again."""

    def __init__(self, person_id: str) -> None:
        super().__init__(person_id)
        self.id = person_id


class Person:
    """One person. `key` is None once erased: nothing of theirs can be opened, and `id` is `erased:PSEUDONYM`."""

    __slots__ = ("_commit", "id", "key", "pid")

    def __init__(self, pid: str, person_id: str, key: DataKey | None) -> None:
        self.pid = pid
        self.id = person_id
        self.key = key
        self._commit: Mac | None = None

    def commitment(self, value: Any) -> str:
        """HMAC of a value under a key derived from this person's: gone with it."""
        if self._commit is None:
            if self.key is None:
                return ERASED
            self._commit = Mac(self.key.derive("commit"))
        return self._commit.hex(_encode_sorted(value))


class Keys:
    """MACs by which rows are found: under the store's own random key, so that they outlive every vault key.

    `idem` and `open` MACs cannot be made again from what is stored, and must collide across a change of the ring.
    """

    __slots__ = ("idem", "live", "open", "person", "task")

    def __init__(self, root: bytes) -> None:
        key = DataKey(root)
        self.person = Mac(key.derive("look/person"))
        self.idem = Mac(key.derive("look/idem"))
        self.open = Mac(key.derive("look/open"))
        self.live = Mac(key.derive("look/live"))
        self.task = Mac(key.derive("look/task"))


class People:
    """The persons of one store, with the most recently used in memory."""

    def __init__(
        self,
        vault: Vault,
        keys: Keys,
        compiler: Compiler,
        reader: Reader,
        insert: Callable[[tuple[Any, ...]], Awaitable[None]],
    ) -> None:
        self._vault = vault
        self._keys = keys
        self._reader = reader
        self._insert = insert
        self.wrap_under = vault.ids[0]
        """The vault key that wraps new persons' keys: the first that every living process has (THREAT_MODEL 29)."""
        self._by_id: OrderedDict[str, Person] = OrderedDict()
        self._by_pid: dict[str, Person] = {}
        self._making: dict[str, asyncio.Task[Person]] = {}
        columns = (tables.person.c.pid, tables.person.c.look, tables.person.c.key, tables.person.c.id)
        self._find = compiler.text(select(*columns).where(tables.person.c.look == bindparam("look")))
        self._load = compiler.text(select(*columns).where(tables.person.c.pid == bindparam("pid")))

    def known(self, person_id: str) -> Person:
        """The person, from memory. Raises Unknown where it must be read or made first."""
        person = self._by_id.get(person_id)
        if person is not None:
            self._by_id.move_to_end(person_id)
            return person
        if person_id.startswith(ERASED):  # no door lets such an id in: it comes from a row that was read
            return Person(person_id.removeprefix(ERASED), person_id, None)
        raise Unknown(person_id)

    def forget(self, pid: str) -> None:
        """Somebody was erased: their key is nowhere any more."""
        person = self._by_pid.pop(pid, None)
        if person is not None:
            self._by_id.pop(person.id, None)

    async def find(self, person_id: str) -> Person | None:
        """The person, if there is one. Makes none."""
        person = self._by_id.get(person_id)
        if person is not None:
            return person
        look = self._keys.person.digest(person_id.encode())
        (rows,) = await self._reader.fetch((self._find, self._find.args(look=look)))
        return self._remember(rows[0]) if rows else None

    async def ensure(self, person_id: str) -> Person:
        """The person, made if there is none. Raises StorageError."""
        person = self._by_id.get(person_id)
        if person is not None:
            return person
        making = self._making.get(person_id)
        if making is None:
            making = asyncio.create_task(self._make(person_id))
            self._making[person_id] = making
            making.add_done_callback(lambda _: self._making.pop(person_id, None))
        return await asyncio.shield(making)  # one caller that gives up takes nothing from the others

    async def load(self, pids: Iterable[str]) -> dict[str, Person]:
        """The persons behind these pseudonyms; the erased ones too."""
        found: dict[str, Person] = {}
        absent: list[str] = []
        for pid in set(pids):
            person = self._by_pid.get(pid)
            if person is None:
                absent.append(pid)
            else:
                found[pid] = person
        if absent:
            answers = await self._reader.fetch(*((self._load, (pid,)) for pid in absent))
            for pid, rows in zip(absent, answers, strict=True):
                gone = not rows or rows[0][2] is None
                found[pid] = Person(pid, ERASED + pid, None) if gone else self._remember(rows[0])
        return found

    async def _make(self, person_id: str) -> Person:
        person = await self.find(person_id)
        if person is None:
            pid = PSEUDONYM + secrets.token_hex(16)
            key, wrapped = self._vault.new_key(pid, self.wrap_under)
            sealed = key.seal(pack.encode(person_id), table="person", row=pid, column="id", user=pid, number=1)
            await self._insert((pid, self._keys.person.digest(person_id.encode()), wrapped, sealed))
            person = await self.find(person_id)  # another replica may have been first
            if person is None:
                raise AssertionError("a person vanished while it was made")
        return person

    def _remember(self, row: tuple[Any, ...]) -> Person:
        pid, _, wrapped, sealed = row
        known = self._by_pid.get(pid)
        if known is not None:
            return known
        key = self._vault.unwrap(wrapped, pid)
        person_id: str = msgspec.json.decode(key.open(sealed, table="person", row=pid, column="id", user=pid))
        person = Person(pid, person_id, key)
        self._by_id[person_id] = person
        self._by_pid[pid] = person
        if len(self._by_id) > KEPT:
            _, oldest = self._by_id.popitem(last=False)
            del self._by_pid[oldest.pid]
        return person
