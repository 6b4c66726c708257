"""Whose turn it is to keep the record's house: what shortens it, and what retires a key, take turns by a version.

What both must know of it lies sealed in `secret`: where chains begin since, and where retired keys end.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, select

from jit_auth.model import Millis
from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.house import Journal
from jit_auth.storage.job import Job
from jit_auth.storage.reader import Reader
from jit_auth.vault import Vault

NAME = "audit"
"""The row of `swept`, and the name of the secret."""


class State(Struct, frozen=True):
    """The newest word of the record on its own extent (`core.chain.Shortened`)."""

    through: str = ""
    starts: dict[str, tuple[int, str]] = {}
    closed: dict[str, str] = {}


class Turn(Struct, frozen=True):
    """The state as it was read. `until`: what is older was removed."""

    version: int
    until: Millis
    state: State


_decoder = msgspec.json.Decoder(State)


class Turns:
    """The turns of one store. All methods raise StorageError."""

    def __init__(self, vault: Vault, compiler: Compiler, reader: Reader, journal: Journal) -> None:
        self._vault = vault
        self._reader = reader
        self._journal = journal
        swept, secret = tables.swept, tables.secret
        self._begin = compiler.upsert(swept, ("name",), ())
        self._turn = compiler.text(select(swept.c.version, swept.c.until).where(swept.c.name == bindparam("name")))
        self._state = compiler.text(select(secret.c.value).where(secret.c.name == bindparam("name")))
        self._take = compiler.change(swept, ("name",), "version", ["until"])
        self._put = compiler.upsert(secret, ("name",), ("value",))

    async def now(self) -> Turn:
        """The present turn. Raises VaultError where the state was altered."""
        job = Job()
        job.loose.append((self._begin, self._begin.args(name=NAME, version=1, until=0)))
        await self._journal.submit(job)
        ((version, until),), states = await self._reader.fetch(
            *((text, text.args(name=NAME)) for text in (self._turn, self._state))
        )
        state = State()
        if states:
            state = _decoder.decode(self._vault.open(bytes(states[0][0]), table="secret", row=NAME, column="value"))
        return Turn(version, until, state)

    def take(self, job: Job, turn: Turn) -> None:
        """Have `job` make `turn` the present one, if the one before it still is: `Stale("version")` otherwise."""
        sealed = self._vault.seal(
            msgspec.json.encode(turn.state), table="secret", row=NAME, column="value", number=turn.version
        )
        job.compares.append((self._take, (turn.until, NAME, turn.version - 1), "version"))
        job.loose.append((self._put, self._put.args(name=NAME, value=sealed)))
