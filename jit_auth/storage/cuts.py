"""What a kill switch cuts: the statements that miss nothing, run beside a raise of the epoch, and the reads before.

Attack: something is written between reading what there is and cutting it (THREAT_MODEL 25). What is cut by statement
is whatever is there at that moment; what was decided before the raise, and is not there yet, is refused after it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, literal_column, select, update

from jit_auth.model import Consent, Cut, Grant
from jit_auth.storage import tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler, Text
from jit_auth.storage.people import People
from jit_auth.storage.reader import Reader
from jit_auth.storage.rows import columns_of

MOST = 10_000
"""Executions that wait, for people or their agent, and are counted."""

_execution, _grant, _consent = tables.execution, tables.grant, tables.consent
# One statement for each: an index holds those of one state.
_WAITING = tuple([_execution.c.state == literal_column(f"'{state}'") for state in ("paused", "released")])
_OF = {
    "user": _execution.c.person == bindparam("whose"),
    "agent": _execution.c.agent == bindparam("whose"),
    # All that begins with the connector's name and a dot, without LIKE, to which an underscore is a pattern.
    "connector": and_(_execution.c.action > bindparam("whose"), _execution.c.action < bindparam("after")),
}


def _whose(kind: str, name: str) -> dict[str, Any]:
    return {"whose": f"{name}.", "after": f"{name}/"} if kind == "connector" else {"whose": name}


class CutTexts:
    """The statements of a `Cut`."""

    def __init__(self, compiler: Compiler) -> None:
        ask, card = tables.ask, tables.card
        person: Any = bindparam("person")
        self._rouse = {
            kind: [
                compiler.text(update(_execution).where(waits, of).values(due=bindparam("due_at"))) for waits in _WAITING
            ]
            for kind, of in _OF.items()
        }
        grants = select(_grant.c.id).where(_grant.c.person == person)
        self._person: tuple[Text, ...] = (
            compiler.text(delete(_consent).where(_consent.c.grant.in_(grants))),
            *(
                compiler.text(delete(table).where(table.c.person == person))
                for table in (tables.session, tables.code, tables.challenge)
            ),
            # A link is a MAC over its row's expiry: it ends with this millisecond, on every replica.
            compiler.text(
                update(ask)
                .where(ask.c.person == person, ask.c.state == literal_column("'open'"))
                .values(expires=ask.c.expires + literal_column("1"))
            ),
            compiler.text(
                update(card)
                .where(card.c.person == person, card.c.expires > bindparam("now"))
                .values(expires=card.c.expires + literal_column("1"))
            ),
        )

    def statements(self, cut: Cut, person: str | None) -> list[tuple[Text, tuple[Any, ...]]]:
        """What a `Cut` runs; `person` is its user's pseudonym."""
        found = [
            (text, text.args(due_at=cut.due, **_whose(kind, name)))
            for kind, name in (("user", person), ("agent", cut.agent), ("connector", cut.connector))
            if name is not None
            for text in self._rouse[kind]
        ]
        if person is not None:
            found += [(text, text.args(person=person, now=cut.due)) for text in self._person]
        return found


class CutReads:
    """What there is to cut."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._codec = codec
        self._people = people
        self._reader = reader
        columns = {kind: columns_of(kind) for kind in (Consent, Grant)}
        mine = select(_consent.c.grant).where(_consent.c.agent == bindparam("agent"))
        self._grants = compiler.text(
            select(*columns[Grant])
            .where(_grant.c.id.in_(mine), _grant.c.state != literal_column("'revoked'"))
            .order_by(_grant.c.id)
        )
        self._consents = compiler.text(
            select(*columns[Consent])
            .where(_consent.c.grant.in_(mine.scalar_subquery()))
            .order_by(_consent.c.grant, _consent.c.agent)
        )
        self._paused = {
            kind: [
                compiler.text(select(_execution.c.id).where(waits, of).limit(bindparam("most"))) for waits in _WAITING
            ]
            for kind, of in _OF.items()
        }
        used = exists(select(literal_column("1")).where(_execution.c.agent == bindparam("agent")))
        self._agent = compiler.text(select(literal_column("1")).where(used))

    async def granted(self, agent: str) -> tuple[tuple[Grant, ...], tuple[Consent, ...]]:
        """The grants that an agent may use, and all agents' consents for these; one snapshot."""
        grants, consents = await self._reader.fetch(
            *((text, text.args(agent=agent)) for text in (self._grants, self._consents))
        )
        return await self._codec.records(Grant, grants), await self._codec.records(Consent, consents)

    async def paused(self, kind: str, name: str) -> tuple[str, ...]:
        """Executions of a user, agent or connector that wait for people or for their agent, 10,000 of each at most."""
        if kind == "user":
            known = await self._people.find(name)
            if known is None:
                return ()
            name = known.pid
        args = {"most": MOST, **_whose(kind, name)}
        found = await self._reader.fetch(*((text, text.args(**args)) for text in self._paused[kind]))
        return tuple(row[0] for rows in found for row in rows)

    async def knows_person(self, person: str) -> bool:
        """Whether anything here is about this person."""
        return await self._people.find(person) is not None

    async def knows_agent(self, agent: str) -> bool:
        """Whether this agent has ever called, though the configuration may no longer name it."""
        (rows,) = await self._reader.fetch((self._agent, self._agent.args(agent=agent)))
        return bool(rows)
