"""Vault keys: which of them stored values need, and their rotation while the service runs (THREAT_MODEL 29).

A vault key wraps keys: each person's and the store's own, under which everything else lies. They are wrapped anew in
small batches, each value compared as it is written. The record is not rewritten: the key that its rows were chained
with is kept, wrapped, and a row under the new key says where the chains under the old one end (see `core.chain`).

Attacks: a rotation hides that the record was altered (it refuses where the record does not verify, and alters nothing
in it); whoever stole the old key adds rows, or alters some (the chains' ends are on record under the new key, and no
process starts with a retired one); a replica without the new key is left unable to read, or goes on wrapping under
the old one (each living process says which keys it has: it refuses).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Column, LargeBinary, Table, and_, bindparam, func, not_, select, update

from jit_auth.errors import RotationRefused, StorageError
from jit_auth.model import Applied, Audit, Unit
from jit_auth.storage import tables
from jit_auth.storage.audit import Record
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.house import House, Journal
from jit_auth.storage.job import Job
from jit_auth.storage.journal import CHAIN, RETIRED
from jit_auth.storage.reader import Reader
from jit_auth.storage.turns import Turn, Turns
from jit_auth.vault import Vault, key_id, mark

BATCH = 200
"""Values wrapped anew in one transaction: others must not wait for long."""

PATIENCE = 12
"""Seconds for which processes that have the new key may take to use it: they renew their leases every 5."""

TRIES = 5
"""How often what was written meanwhile is looked for once more."""

Progress = Callable[[str, int], None]
"""Told what is being done, and how many values or rows of it are."""


class Rotation(Struct, frozen=True):
    """What a rotation did; nothing where `retired` and `wrapped` are empty."""

    key: str
    retired: tuple[str, ...] = ()
    """Keys that nothing stored needs any more."""
    wrapped: int = 0
    rows: int = 0
    """Rows of the record that were verified."""
    breaks: int = 0


class _Wrapped:
    """One column of wrapped keys: its rows that are not under given keys."""

    def __init__(self, compiler: Compiler, table: Table, column: Column[bytes]) -> None:
        self.table, self.column = table.name, column.name
        self.key = next(iter(table.primary_key)).name
        self._compiler, self._column, self._id = compiler, column, table.c[self.key]
        known, new = bindparam("known", type_=LargeBinary), bindparam("new", type_=LargeBinary)
        self.change = compiler.text(
            update(table).where(self._id == bindparam("row"), column == known).values({column.name: new})
        )

    def beside(self, marks: Sequence[bytes], most: int) -> tuple[Text, dict[str, Any]]:
        """The query for `most` (id, value), by id, whose values begin with none of `marks`, and all its values but
        `after`."""
        begins = [func.substr(self._column, 1, len(each)) == bindparam(f"m{at}", each, type_=LargeBinary)
                  for at, each in enumerate(marks)]  # fmt: skip
        beside = and_(self._column.is_not(None), *(not_(begin) for begin in begins), self._id > bindparam("after"))
        text = self._compiler.text(
            select(self._id, self._column).where(beside).order_by(self._id).limit(bindparam("most"))
        )
        return text, {"most": most, **{f"m{at}": each for at, each in enumerate(marks)}}


class Rewrap:
    """The vault keys of one store. All methods raise StorageError and VaultError."""

    def __init__(
        self, vault: Vault, compiler: Compiler, reader: Reader, house: House, record: Record,
        made: Callable[[Unit], Awaitable[Job]], journal: Journal, turns: Turns,
    ) -> None:  # fmt: skip
        self._vault = vault
        self._reader = reader
        self._house = house
        self._record = record
        self._made = made
        self._journal = journal
        self._turns = turns
        self._columns = [_Wrapped(compiler, *each) for each in tables.wrapped()]
        secret = tables.secret
        self._retired = compiler.text(select(secret.c.name).order_by(secret.c.name))
        self._insert = compiler.insert(secret, ("name", "value"))

    async def needed(self) -> tuple[str, ...]:
        """The ids of the vault keys that something stored needs; the first key is always one of them."""
        found = {self._vault.ids[0]}
        for column in self._columns:
            marks: dict[str, bytes] = {}
            while True:
                text, args = column.beside(tuple(marks.values()), 1)
                (rows,) = await self._reader.fetch((text, text.args(after="", **args)))
                if not rows:
                    break
                name = key_id(bytes(rows[0][1]))
                marks[name] = mark(name)
            found |= marks.keys()
        return tuple(sorted(found | await self._chaining()))

    async def rotate(
        self, actor: str, facts: Mapping[str, Any], *, despite_breaks: bool = False, progress: Progress
    ) -> Rotation:
        """Wrap everything under the first key of the ring, and close the chains under the others.

        Safe to repeat and to kill: what is done stays done. `actor` and `facts` go on record. Raises RotationRefused:
        a living process does not have the key first, or the record does not verify.
        """
        new = self._vault.ids[0]
        await self._judge()
        wrapped, rows, breaks = 0, 0, 0
        retired: set[str] = set()
        for _ in range(TRIES):
            older = set(await self.needed()) - {new}
            if not older:
                return Rotation(new, tuple(sorted(retired)), wrapped, rows, breaks)
            for column in self._columns:
                wrapped = await self._wrap(column, wrapped, progress)
            rows, breaks = await self._close(actor, {**facts, "wrapped": wrapped}, despite_breaks, progress)
            retired |= older
            await self._judge()  # one that came meanwhile may have written under an older key
        raise RotationRefused(
            "Something goes on writing under an older key.",
            hint="Look for commands that run with an older [vault] keys.",
        )

    async def _chaining(self) -> set[str]:
        """Keys that rows of the record are chained with, and that were not retired."""
        (names,) = await self._reader.fetch((self._retired, ()))
        chained = {last.key for last in await self._record.ends()}
        return chained - {name.removeprefix(RETIRED) for (name,) in names}

    async def _judge(self) -> None:
        """Every living process wraps with the new key: one that has it does so once it has seen that all do."""
        new = self._vault.ids[0]
        for _ in range(PATIENCE):
            living = await self._house.living()
            behind = {process: keys for process, keys in living.items() if keys[0] != new}
            if not behind:
                return
            if not all(new in keys for keys in behind.values()):
                break
            await asyncio.sleep(1)
        told = "; ".join(f"{process} ({', '.join(keys)})" for process, keys in behind.items())
        raise RotationRefused(
            f"These living processes do not have the vault key {new!r} first: {told}.",
            hint="Restart every replica with the new key first in [vault] keys. One that was killed counts for 15 s.",
        )

    async def _wrap(self, column: _Wrapped, done: int, progress: Progress) -> int:
        """Wrap the values of one column, after `done` of others; how many are done then. What another has changed
        meanwhile is left to the next round."""
        text, args = column.beside((mark(self._vault.ids[0]),), BATCH)
        after = ""
        while True:
            (rows,) = await self._reader.fetch((text, text.args(after=after, **args)))
            if not rows:
                return done
            job = Job()
            for row, sealed in rows:
                value, user = bytes(sealed), row if column.table == tables.person.name else ""
                new = self._vault.rewrap(value, table=column.table, row=row, column=column.column, user=user)
                job.loose.append((column.change, column.change.args(row=row, known=value, new=new)))
            await self._journal.submit(job)
            after, done = rows[-1][0], done + len(rows)
            progress("wrapped", done)

    async def _close(
        self, actor: str, facts: Mapping[str, Any], despite_breaks: bool, progress: Progress
    ) -> tuple[int, int]:
        """Keep the chain keys of the older vault keys, and put on record where their chains end."""
        new = self._vault.ids[0]
        for _ in range(TRIES):
            turn = await self._turns.now()
            verified = await self._record.verify(lambda count: progress("verified", count))
            if verified.breaks and not despite_breaks:
                raise RotationRefused(
                    f"The record is broken in {len(verified.breaks)} places.",
                    hint="`jit-auth audit verify` names them. A rotation hides none: with --despite-breaks it goes on.",
                )
            ending = sorted((await self._chaining()) - {new})
            closed = {key: verified.ends[key] for key in ending if key in verified.ends}
            fact = {"do": "keys.rotated", "key": new, "closed": closed, "breaks": len(verified.breaks), **facts}
            job = await self._made(Unit(None, (), Audit(actor=actor, what=(fact,))))
            # Retention restates the ends that it moves: whichever of the two comes second looks again.
            state = replace(turn.state, closed={**turn.state.closed, **closed})
            self._turns.take(job, Turn(turn.version + 1, turn.until, state))
            for key in closed:
                name, value = RETIRED + key, self._vault.derive(CHAIN, key)
                sealed = self._vault.seal(value, table="secret", row=name, column="value", number=1)
                job.inserts.append((self._insert, (name, sealed), "exists"))
            if isinstance(await self._journal.submit(job), Applied):
                return verified.rows, len(verified.breaks)
        raise StorageError("The record is busy.", hint="Run it again.")
