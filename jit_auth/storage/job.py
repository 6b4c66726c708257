"""A unit, finished for the journal: bound values and statements, so that the writer only judges and writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, literal_column, or_, select, update

from jit_auth.model import (
    Applied,
    At,
    Change,
    Cut,
    Delete,
    Erase,
    Execution,
    Idem,
    Insert,
    Op,
    Past,
    Raise,
    Rouse,
    Stale,
    Stop,
    Touch,
    Unit,
    Wake,
    Withdraw,
)
from jit_auth.storage import facts, pack, tables
from jit_auth.storage.codec import Codec, TableCodec
from jit_auth.storage.compiled import Compiler, Text, Write
from jit_auth.storage.cuts import CutTexts
from jit_auth.storage.erase import EraseTexts
from jit_auth.storage.facts import ENGINE, Line
from jit_auth.storage.history import Bound, denies, holder
from jit_auth.storage.judge import Which
from jit_auth.storage.people import People
from jit_auth.storage.rows import SHAPES

Step = tuple[Write, tuple[Any, ...], Which]
"""A statement that must write exactly one row, its values, and what the unit is told if a unique key is taken.

(A compare that finds no row is always `version`.)
"""

Answer = Applied | Stale | BaseException


class Job:
    """One unit on its way through the journal."""

    __slots__ = (
        "at", "compares", "done", "inserts", "lines", "loose", "past", "raising", "subjects", "touched", "unit",
    )  # fmt: skip

    def __init__(self, at: At | None = None, lines: tuple[Line, ...] = ()) -> None:
        self.at = at
        self.subjects: frozenset[tuple[str, str]] = frozenset()
        self.compares: list[Step] = []
        self.inserts: list[Step] = []
        self.loose: list[tuple[Text, tuple[Any, ...]]] = []
        """Statements that may write any number of rows."""
        self.past: Bound | None = None
        """What its decision rests on and must be counted again."""
        self.raising: Raising | None = None
        self.lines = lines
        """Its rows of the record; housekeeping has none."""
        self.touched: set[Any] = set()
        """Rows that no other unit of the same batch may touch."""
        self.unit: Unit | None = None
        """What it was made of, where that is told of once it is answered."""
        self.done: asyncio.Future[Applied | Stale] | None = None

    @property
    def writes(self) -> bool:
        """Whether there is anything in it to be written."""
        return bool(self.compares or self.inserts or self.loose or self.lines or self.raising)


class Raising:
    """A raise of the epoch: a new bundle or None, and the stops' bound values (their epoch is known only inside)."""

    __slots__ = ("bundle", "stops")

    def __init__(self, bundle: str | None, stops: Sequence[dict[str, Any]]) -> None:
        self.bundle = bundle
        self.stops = stops


class _Texts:
    """The statements, the same for all stores."""

    def __init__(self, compiler: Compiler) -> None:
        self.deletes: dict[type[Any], Write] = {
            kind: compiler.delete(shape.table, shape.key, shape.versioned) for kind, shape in SHAPES.items()
        }
        # A touched card gets a new version: whoever is showing the older one must not mark it as shown.
        self.touch = compiler.text(
            update(tables.card)
            .where(tables.card.c.ask == bindparam("of_ask"))
            .values(due=bindparam("due_at"), version=tables.card.c.version + literal_column("1"))
        )

        # Their versions stay: nothing about them is changed, they are only looked at again.
        ask, execution = tables.ask, tables.execution
        waiting = select(ask.c.execution).where(
            ask.c.agent == bindparam("agent"),
            ask.c.person == bindparam("person"),
            ask.c.provider == bindparam("provider"),
            ask.c.state == literal_column("'open'"),
        )
        self.wake = compiler.text(
            update(execution)
            .where(execution.c.id.in_(waiting), execution.c.state == literal_column("'paused'"))
            .values(due=bindparam("due_at"))
        )
        asked = select(ask.c.execution).where(
            ask.c.person == bindparam("person"), ask.c.state == literal_column("'open'")
        )
        self.rouse = compiler.text(
            update(execution)
            .where(execution.c.id.in_(asked), execution.c.state == literal_column("'paused'"))
            .values(due=bindparam("due_at"))
        )
        self.rouse_released = compiler.text(
            update(execution)
            .where(execution.c.person == bindparam("person"), execution.c.state == literal_column("'released'"))
            .values(due=bindparam("due_at"))
        )
        grant, consent = tables.grant, tables.consent
        self.withdraw = compiler.text(
            delete(consent).where(
                consent.c.grant.in_(select(grant.c.id).where(grant.c.person == bindparam("person"))),
                or_(bindparam("agent") == literal_column("'*'"), consent.c.agent == bindparam("agent")),
            )
        )


class Builder:
    """Makes jobs of units, in the event loop."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People) -> None:
        self._codec = codec
        self._people = people
        self._cut = compiler.shared(CutTexts)
        self._erase = compiler.shared(EraseTexts)
        self._texts = compiler.shared(_Texts)

    def job(self, unit: Unit, more: Sequence[Op] = ()) -> Job:
        """The job of `unit`, with `more` of its rows. Raises Unknown where a person must be read or made first."""
        told = _told(unit)
        lines: tuple[Line, ...] = (facts.line(unit.audit, self._people, told=told),)
        if unit.more:
            lines += tuple([facts.line(audit, self._people, told=told) for audit in unit.more])
        job = Job(unit.at, lines)
        if unit.at is not None:
            job.subjects = self._subjects(unit.at)
            if unit.at.past is not None:
                job.past = self._bound(unit, unit.at.past)
        tables_of = self._codec.tables
        for op in (*unit.ops, *more) if more else unit.ops:
            kind = type(op)
            if kind is Insert:
                self._insert(job, tables_of[type(op.row)], op.row)  # type: ignore[union-attr]  # kind says which
            elif kind is Change:
                self._change(job, tables_of[type(op.was)], op)  # type: ignore[union-attr, arg-type]  # as above
            elif isinstance(op, Delete):
                values, key = tables_of[type(op.was)].delete(op.was)
                self._hold(job, tables_of[type(op.was)].shape.table.name, key)
                job.compares.append((self._texts.deletes[type(op.was)], values, "version"))
            elif isinstance(op, Touch):
                job.loose.append((self._texts.touch, self._texts.touch.args(due_at=op.due, of_ask=op.ask)))
            elif isinstance(op, Wake):
                person = self._people.known(op.user).pid
                args = self._texts.wake.args(due_at=op.due, agent=op.agent, person=person, provider=op.provider)
                job.loose.append((self._texts.wake, args))
            elif isinstance(op, Rouse):
                person = self._people.known(op.user).pid
                for text in (self._texts.rouse, self._texts.rouse_released):
                    job.loose.append((text, text.args(due_at=op.due, person=person)))
            elif isinstance(op, Withdraw):
                person = self._people.known(op.user).pid
                job.loose.append((self._texts.withdraw, self._texts.withdraw.args(person=person, agent=op.agent)))
            elif isinstance(op, Cut):
                whose = None if op.user is None else self._people.known(op.user).pid
                job.loose += self._cut.statements(op, whose)
            elif isinstance(op, Erase):
                job.loose += self._erase.statements(self._people.known(op.user).pid)
            elif isinstance(op, Raise):
                if job.raising is not None:
                    raise TypeError("a unit raises the epoch once")
                job.raising = Raising(op.bundle, [self._stop(stop) for stop in op.stops])
        return job

    def _bound(self, unit: Unit, past: Past) -> Bound:
        person = self._people.known(holder(past)).pid
        task = None if past.task is None else self._codec.task(past.task)
        return Bound(past, person, task, denies=denies(unit), sends=unit.at is not None and unit.at.send)

    def _insert(self, job: Job, codec: TableCodec, row: Any) -> None:
        values, key = codec.insert(row)
        shape = codec.shape
        self._hold(job, shape.table.name, key)
        taken: Which = shape.taken
        if shape.kind is Execution and row.open_key is not None:
            taken = "open"
            job.touched.add(("open", row.open_key))
        step: Step = (codec.insert_write, values, taken)
        if shape.kind is Idem:
            job.inserts.insert(0, step)  # a key that exists is the answer, whatever else collides
        else:
            job.inserts.append(step)

    def _change(self, job: Job, codec: TableCodec, op: Change) -> None:
        write, values, key = codec.change(op.was, op.to)
        self._hold(job, codec.shape.table.name, key)
        taken: Which = "exists"
        if op.to.get("open_key") is not None:
            taken = "open"
            job.touched.add(("open", op.to["open_key"]))
        job.compares.append((write, values, taken))

    def _hold(self, job: Job, table: str, key: Any) -> None:
        held = (table, key)
        if held in job.touched:
            raise TypeError(f"a unit touches one row of {table} once")
        job.touched.add(held)

    def _subjects(self, at: At) -> frozenset[tuple[str, str]]:
        known = self._people.known
        return frozenset([(pair[0], known(pair[1]).pid) if pair[0] == "user" else pair for pair in at.subjects])

    def _stop(self, stop: Stop) -> dict[str, Any]:
        """A stop's columns but for its epoch. What it says of a person is sealed under that person's key."""
        before, person = stop_parts(stop.kind, stop.id)
        holder = self._people.known(person or ENGINE)
        if holder.key is None:
            raise TypeError("an erased person cannot be stopped")
        stop_id = before + (holder.pid if person else "")
        why = holder.key.seal(
            pack.encode((stop.why, stop.at, stop.spans)),
            table="stop",
            row=f"{stop.kind}/{stop_id}",
            column="why",
            user=holder.pid,
            number=1,
        )
        return {"kind": stop.kind, "id": stop_id, "active": stop.active, "who": facts.actor(stop.who, self._people),
                "why": why}  # fmt: skip


def stop_parts(kind: str, stop_id: str) -> tuple[str, str]:
    """What of a stop's id names no person, and the person (or pseudonym), if any."""
    if kind in ("user", "cut"):
        return "", stop_id
    agent, slash, person = stop_id.partition("/")
    return (agent + slash, person) if kind == "own" else (stop_id, "")


def _told(unit: Unit) -> bool:
    """Whether it is told of in streams: all that becomes of an execution, but for a call that goes straight through."""
    for op in unit.ops:
        if type(op) is Change and type(op.was) is Execution:
            return op.was.version > 1 or op.was.state != "executing"
        if type(op) is Insert and type(op.row) is Execution:
            return op.row.state != "executing"
    return False
