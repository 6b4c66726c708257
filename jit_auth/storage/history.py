"""Attempts are counted from the executions' own rows, by index: there is no counter that could miss one (THREAT_MODEL
21). For a decision by a reader; for its intent by the journal, under lock, with what its own batch has added before it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from jit_auth.core.ids import new_id
from jit_auth.model import MOST_COUNTED, Change, Execution, History, Insert, Millis, Past, Unit
from jit_auth.storage import tables
from jit_auth.storage.codec import Codec
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.people import People, Unknown
from jit_auth.storage.reader import Query, Reader
from jit_auth.storage.rows import AGENT

HOUR: Millis = 3_600_000
DAY: Millis = 24 * HOUR

_AFTER_ALL = "exe_~"
"""Sorts behind every id of an execution."""
_MOST: ColumnElement[Any] = literal_column(str(MOST_COUNTED))
_BACK: Mapping[str, Millis] = {
    "same_action_1h": HOUR, "same_action_24h": DAY, "agent_action_1h": HOUR, "agent_writes_1h": HOUR,
}  # fmt: skip
"""How far back attempts are counted."""

_TOUCHED = {"task_private": "private", "task_untrusted": "untrusted", "task_external": "external"}
"""What of a task is asked of the actions that ran in it, by what they expose."""

Key = tuple[str, ...]
"""What some units of a batch count in common."""


class Bound:
    """A `Past` as the tables know it. `denies`: its unit is a denial; `sends`: it is an intent; `asked`: what has to be
    counted."""

    __slots__ = ("asked", "denies", "past", "person", "sends", "task")

    def __init__(
        self, past: Past, person: str, task: bytes | None = None, *, denies: bool = False, sends: bool = False
    ) -> None:
        self.past = past
        self.person = person
        self.task = task
        self.denies = denies
        self.sends = sends
        self.asked = tuple([name for name in past.names if name not in past.known])


def holder(past: Past) -> str:
    """The id whose pseudonym the rows hold."""
    return past.user if past.user is not None else AGENT + past.agent


def denies(unit: Unit) -> bool:
    """Whether an execution ends denied by this unit."""
    return any(
        (isinstance(op, Insert) and isinstance(op.row, Execution) and op.row.state == "denied")
        or (isinstance(op, Change) and isinstance(op.was, Execution) and op.to.get("state") == "denied")
        for op in unit.ops
    )


class Counts:
    """The statements, compiled for one dialect."""

    def __init__(self, compiler: Compiler) -> None:
        self._listed: Callable[[Iterable[str]], Any] = tuple
        execution, ask = tables.execution, tables.ask
        origin = execution.c.origin == bindparam("origin")
        action = execution.c.action == bindparam("action")
        same = (execution.c.person == bindparam("person"), action, origin)
        within = (execution.c.id > bindparam("first"), execution.c.id < bindparam("before"))
        writes: ColumnElement[bool]
        if compiler.name == "sqlite":
            self._listed = lambda names: msgspec.json.encode(list(names)).decode()
            given = func.json_each(bindparam("writes")).table_valued("value")
            writes = execution.c.action.in_(select(given.c.value))
        else:
            writes = execution.c.action == any_(bindparam("writes", type_=ARRAY(Text)))
        denied = (
            *same, execution.c.state == literal_column("'denied'"), execution.c.updated > bindparam("since"),
            execution.c.updated <= bindparam("until"),
        )  # fmt: skip
        succeeded = (
            select(execution.c.id, execution.c.updated)
            .where(*same, execution.c.state == literal_column("'succeeded'"), execution.c.updated <= bindparam("until"))
            .order_by(execution.c.updated)
            .limit(_MOST)
            .subquery()
        )
        approved = exists().where(
            ask.c.execution == succeeded.c.id,
            ask.c.kind == literal_column("'approval'"),
            ask.c.state == literal_column("'met'"),
        )
        known = exists().where(or_(succeeded.c.updated <= bindparam("since"), approved))
        self._texts = {
            "same_action_1h": compiler.text(_count(*same, *within)),
            "same_action_24h": compiler.text(_count(*same, *within)),
            "agent_action_1h": compiler.text(_count(origin, action, *within)),
            "agent_writes_1h": compiler.text(_count(origin, writes, *within)),
            "denied_24h": compiler.text(_count(*denied)),
            "first_seen": compiler.text(select(not_(known))),
            "task_count": compiler.text(_count(*_task())),
            **dict.fromkeys(_TOUCHED, compiler.text(_steps(compiler.name))),
        }

    def query(self, name: str, bound: Bound, now: Millis) -> Query:
        """What counts one fact."""
        past = bound.past
        began = now if past.at is None else past.at
        text = self._texts[name]
        later = name in _TOUCHED and not past.then
        return text, text.args(
            origin=past.agent,
            action=past.action,
            person=bound.person,
            writes=self._listed(past.writes),
            first=new_id("exe", max(0, began - _BACK.get(name, 0)), bytes(10)),
            before=_AFTER_ALL if past.id is None or later else past.id,
            own=past.id or "",
            since=now - DAY,
            until=now,
            task=bound.task,
        )

    def queries(self, bound: Bound, now: Millis) -> tuple[Query, ...]:
        """What counts all that the decision reads and that is not known."""
        return tuple([self.query(name, bound, now) for name in bound.asked])


def history(bound: Bound, found: Iterable[Any], added: Counter[Key] | None = None) -> History:
    """The history that these answers to `queries` make, with what is not in the tables yet."""
    past = bound.past
    values: dict[str, Any] = {name: past.known[name] for name in past.names if name in past.known}
    for name, value in zip(bound.asked, found, strict=True):
        # What a batch adds to attempts comes after whatever is admitted already.
        anew = past.id is None or name == "denied_24h" or name in _TOUCHED
        more = added[_key(name, bound)] if added and anew else 0
        if name in _TOUCHED:
            values[name] = more > 0 or _touches(past, _TOUCHED[name], value)
        else:
            values[name] = bool(value) if name == "first_seen" else value + more
    return History(**values)


class Batch:
    """The counts of one batch, in its transaction. What a unit adds is not in the tables before all are judged."""

    def __init__(self, counts: Counts, now: Millis) -> None:
        self._counts = counts
        self._now = now
        self._found: dict[Query, Any] = {}
        self._added: Counter[Key] = Counter()

    def open(self, bound: Bound) -> list[Query]:
        """What has to be asked before `holds`: give the answers to `put`."""
        asked = dict.fromkeys(self._counts.queries(bound, self._now))
        return [query for query in asked if query not in self._found]

    def put(self, query: Query, value: Any) -> None:
        """The answer to a query."""
        self._found[query] = value

    def holds(self, bound: Bound) -> bool:
        """Whether the decision is the same with what is counted now."""
        if bound.past.holds is None:
            return True
        found = [self._found[query] for query in self._counts.queries(bound, self._now)]
        return bound.past.holds(history(bound, found, self._added))

    def add(self, bound: Bound) -> None:
        """A unit before the next ones is written: it counts for them."""
        past = bound.past
        if past.id is None:
            keys = {_key(name, bound) for name in _BACK}
            self._added.update(key for key in keys if key[0] != "writes" or past.action in past.writes)
            if past.task is not None and not bound.denies:
                self._added[_key("task_count", bound)] += 1
        if past.task is not None and bound.sends:
            touched = past.exposes.get(past.action, tuple(_TOUCHED.values()))
            self._added.update(_key(name, bound) for name, what in _TOUCHED.items() if what in touched)
        if bound.denies:
            self._added[_key("denied_24h", bound)] += 1


def turns(bounds: Iterable[Bound]) -> list[int]:
    """Advisory locks of PostgreSQL, one for each first agent, sorted: two replicas that count the same wait for each
    other, and never in a ring. Each reads after the other has committed what it counted."""
    agents = {bound.past.agent for bound in bounds}
    digests = (hashlib.sha256(b"history\0" + agent.encode()).digest() for agent in agents)
    return sorted(int.from_bytes(digest[:8], "big", signed=True) for digest in digests)


def _key(name: str, bound: Bound) -> Key:
    past = bound.past
    if name == "agent_writes_1h":
        return "writes", past.agent
    if name == "task_count" or name in _TOUCHED:
        return name, past.agent, past.task or ""
    if name == "agent_action_1h":
        return "action", past.agent, past.action
    return "denied" if name == "denied_24h" else "same", past.agent, past.action, bound.person


def _count(*where: Any) -> Any:
    found = select(literal_column("1")).select_from(tables.execution).where(*where).limit(_MOST).subquery()
    return select(func.count()).select_from(found)


def _task() -> tuple[ColumnElement[bool], ...]:
    """The executions of a task beside one's own that ran, or still may (the terms of `execution_task`)."""
    execution = tables.execution
    same = (execution.c.origin == bindparam("origin"), execution.c.task == bindparam("task", type_=LargeBinary))
    others = (execution.c.id < bindparam("before"), execution.c.id != bindparam("own"))
    return (*same, *others, tables.in_task)


def _steps(dialect: str) -> Select[Any]:
    """The actions that ran in a task, as one text: from one action to the next, however many calls there were."""
    execution = tables.execution
    ran = and_(*_task(), execution.c.attempt > literal_column("0"))
    step = select(func.min(execution.c.action).label("action")).where(ran).cte("step", recursive=True)
    after = select(func.min(execution.c.action)).where(ran, execution.c.action > step.c.action).scalar_subquery()
    step = step.union_all(select(after).where(step.c.action.is_not(None)))
    listed = func.group_concat(step.c.action, literal_column("','"))
    if dialect != "sqlite":
        listed = func.string_agg(step.c.action, literal_column("','"))
    return select(listed)


def _touches(past: Past, what: str, ran: str | None) -> bool:
    """Whether one of the actions that ran exposes this, as its connector says now; one that is gone does."""
    everything = tuple(_TOUCHED.values())
    return any(what in past.exposes.get(action, everything) for action in (ran.split(",") if ran else ()))


class Histories:
    """Counts for a decision, outside any transaction."""

    def __init__(self, compiler: Compiler, codec: Codec, people: People, reader: Reader) -> None:
        self._counts = compiler.shared(Counts)
        self._codec = codec
        self._people = people
        self._reader = reader

    async def read(self, past: Past, now: Millis) -> History:
        """What was attempted before `now`, as far as `past` reads it."""
        try:
            pid = self._people.known(holder(past)).pid
        except Unknown as unknown:
            person = await self._people.find(unknown.id)
            pid = "" if person is None else person.pid  # who is nobody yet has attempted nothing
        bound = Bound(past, pid, None if past.task is None else self._codec.task(past.task))
        queries = self._counts.queries(bound, now)
        asked = dict.fromkeys(queries)
        answers = await self._reader.fetch(*asked) if asked else ()
        found = {query: rows[0][0] for query, rows in zip(asked, answers, strict=True)}
        return history(bound, (found[query] for query in queries))
