"""Erasing a person: what is written, and what has to be found for it (THREAT_MODEL 13).

What was sealed under the person's key stays where it is, and is noise once the key is gone; rows, and the record's MACs
over them, stay as they were. The look-up MAC goes too: the same id coming back is a new person.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, literal_column, select, update

from jit_auth.model import Outbox
from jit_auth.storage import tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader
from jit_auth.storage.rows import columns_of

_THEIRS = (tables.session, tables.identity, tables.code, tables.passkey, tables.challenge, tables.flow)
"""Tables whose rows are one person's alone, and mean nothing without them."""


class EraseTexts:
    """The statements of an `Erase`."""

    def __init__(self, compiler: Compiler) -> None:
        person: Any = bindparam("person")
        table = tables.person
        self._texts: tuple[Text, ...] = (
            *(compiler.text(delete(theirs).where(theirs.c.person == person)) for theirs in _THEIRS),
            compiler.text(
                update(table)
                .where(table.c.pid == person)
                .values({name: literal_column("NULL") for name in ("look", "key", "id")})
            ),
        )

    def statements(self, pid: str) -> list[tuple[Text, tuple[Any, ...]]]:
        """What an `Erase` runs for the person with this pseudonym."""
        return [(text, text.args(person=pid)) for text in self._texts]


class EraseReads:
    """What must be over or moved before a key can go. A person who is not known has nothing."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._codec = codec
        self._people = people
        self._reader = reader
        execution, outbox = tables.execution, tables.outbox
        is_open = execution.c.state.in_(tables.OPEN)
        self._open = compiler.text(
            select(execution.c.id).where(execution.c.person == bindparam("person"), is_open).limit(bindparam("most"))
        )
        self._owed = compiler.text(
            select(*columns_of(Outbox)).where(outbox.c.person == bindparam("person")).order_by(outbox.c.id)
        )

    async def pseudonym(self, person: str) -> str | None:
        """What stands for the person everywhere."""
        known = await self._people.find(person)
        return None if known is None else known.pid

    async def open(self, person: str) -> tuple[str, ...]:
        """Some calls in the person's name that are not over."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._open, self._open.args(person=known.pid, most=100)))
        return tuple(row[0] for row in rows)

    async def owed(self, person: str) -> tuple[Outbox, ...]:
        """What is still owed outside under the person's key: tokens to revoke."""
        known = await self._people.find(person)
        if known is None:
            return ()
        (rows,) = await self._reader.fetch((self._owed, self._owed.args(person=known.pid)))
        return await self._codec.records(Outbox, rows)
