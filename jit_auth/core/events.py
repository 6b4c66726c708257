"""Events are projections of audit facts: the same for webhooks, callbacks and streams. Pure.

They carry ids, action, status, environment, time, and the agent's own metadata: no parameters, results, links, reasons
or people (THREAT_MODEL 30). Metadata may be personal: it stands in no row of the record and in no outbox; it is read
from the execution when an event leaves, and is null once it was removed. The body is that of Standard Webhooks
(`type`, `timestamp`, `data`):
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from jit_auth.core.times import rfc3339
from jit_auth.model import Audit, Change, Execution, Insert, Millis, Op, Outbox, Unit

KEPT: Millis = 86_400_000
"""How long delivery is tried."""
WEBHOOK = "webhook:"
"""`Outbox.endpoint` of a configured webhook: this, and its name."""
CALLBACK = "callback"
"""`Outbox.endpoint` of an agent's callback; where it goes is in the row."""

Fact = Mapping[str, Any]


class Event(Struct, frozen=True):
    """One thing that happened. `data` holds ids and plain words, `status` the execution's as it leaves it."""

    type: str
    status: str | None = None
    data: dict[str, str] = {}
    execution: str | None = None
    """Named by the fact itself, where one audit row tells of several executions."""

    @property
    def own(self) -> bool:
        """Whether it is the execution's own, and so for its agent: grants and configuration are operators' matters."""
        return self.type.startswith(("execution.", "approval."))


def project(what: Sequence[Fact]) -> tuple[Event, ...]:
    """The events of one audit row, in order. Facts that nobody is told of give none."""
    found: list[Event] = []
    for fact in what:
        make = _PROJECTIONS.get(fact.get("do", ""))
        for event in make(fact) if make is not None else ():
            if event not in found:  # a call that waits for two things pauses once
                found.append(event)
    return tuple(found)


def _asked(fact: Fact) -> Iterator[Event]:
    if fact["kind"] == "outcome":  # that its outcome is unknown is told by itself
        return
    yield _about("execution.paused", "paused", fact)
    if fact["kind"] == "approval":
        yield _about("approval.requested", "paused", fact, approval=fact["ask"])


def _voted(fact: Fact) -> Iterator[Event]:
    if fact.get("state") in ("met", "denied"):
        decision = "approve" if fact["state"] == "met" else "deny"
        yield _about("approval.decided", "paused", fact, approval=fact["ask"], decision=decision)


def _expiring(fact: Fact) -> Iterator[Event]:
    yield _about("approval.expiring", "paused", fact, approval=fact["ask"])


def _ended(fact: Fact) -> Iterator[Event]:
    for ask in fact.get("asks", ()):  # the rounds that nobody decided
        yield _about("approval.expired", fact["state"], fact, approval=ask)
    kind = "execution.unknown" if fact["state"] == "unknown" else "execution.finished"
    yield _about(kind, fact["state"], fact)


def _released(fact: Fact) -> Iterator[Event]:
    yield _about("execution.released", "released", fact)


def _cancelled(fact: Fact) -> Iterator[Event]:
    yield _about("execution.finished", "cancelled", fact)


def _resolved(fact: Fact) -> Iterator[Event]:
    yield _about("execution.finished", fact["outcome"], fact)


def _grant(fact: Fact) -> Iterator[Event]:
    yield Event(fact["do"], None, {"grant": fact["grant"], "provider": fact["provider"]})


def _agent(fact: Fact) -> Iterator[Event]:
    yield Event(fact["do"], None, {"agent": fact["agent"]})


def _loaded(fact: Fact) -> Iterator[Event]:
    yield Event("config.loaded", None, {"bundle": fact["bundle"]})
    if "policy" in fact:
        yield Event("policy.loaded", None, {"policy": fact["policy"]})


def _about(kind: str, status: str, fact: Fact, **data: str) -> Event:
    return Event(kind, status, data, fact.get("execution"))


_PROJECTIONS: dict[str, Callable[[Fact], Iterator[Event]]] = {
    "ask": _asked,
    "vote": _voted,
    "expiring": _expiring,
    "release": _released,
    "outcome": _ended,
    "cancel": _cancelled,
    "resolve": _resolved,
    "grant.created": _grant,
    "grant.scopes_changed": _grant,
    "grant.broken": _grant,
    "grant.recovered": _grant,
    "grant.revoked": _grant,
    "agent.suspended": _agent,
    "agent.restored": _agent,
    "config.loaded": _loaded,
}
TYPES = (
    "execution.paused",
    "execution.released",
    "execution.finished",
    "execution.unknown",
    "approval.requested",
    "approval.decided",
    "approval.expiring",
    "approval.expired",
    "grant.created",
    "grant.scopes_changed",
    "grant.broken",
    "grant.recovered",
    "grant.revoked",
    "agent.suspended",
    "agent.restored",
    "config.loaded",
    "policy.loaded",
)
"""All that there are."""

_encode = msgspec.json.Encoder().encode


def payload(
    event: Event,
    at: Millis,
    *,
    environment: str,
    execution: str | None,
    action: str | None,
    agent: str | None,
    metadata: Mapping[str, Any] | None,
) -> str:
    """The event as it is signed and sent: compact JSON on one line. `metadata` of an execution's event alone: None
    where it is not known here, or was removed."""
    data: dict[str, Any] = {"environment": environment}
    if event.own:
        data["metadata"] = metadata
    known = {"execution": event.execution or execution, "action": action, "agent": agent, "status": event.status}
    data |= {name: value for name, value in known.items() if value is not None}
    return _encode({"type": event.type, "timestamp": rfc3339(at), "data": data | event.data}).decode()


def owes_metadata(text: str) -> str | None:
    """The execution whose metadata this payload, as the outbox keeps it, has yet to be given; None where nothing is."""
    if _LATER not in text:
        return None
    return msgspec.json.decode(text, type=_Sent).data.execution


def with_metadata(text: str, metadata: Mapping[str, Any]) -> str:
    """The payload with its execution's metadata."""
    return text.replace(_LATER, f'"metadata":{_encode(metadata).decode()}', 1)


_LATER = '"metadata":null'
"""No text in a payload holds it: its quotes would be escaped."""


class _Data(Struct):
    execution: str | None = None


class _Sent(Struct):
    data: _Data


class Announcer:
    """What the store asks with each unit it is to write: the rows of its events, for whom something is to be told.

    They are written in the unit's own transaction. Most units have nobody to tell: then this costs a look at their
    rows, and no projection is made.
    """

    def __init__(
        self,
        webhooks: Collection[str],
        make_id: Callable[[str], str],
        now: Callable[[], Millis],
        environment: str,
    ) -> None:
        """`webhooks`: names of those that are configured; each gets every event."""
        self._endpoints = tuple(WEBHOOK + name for name in webhooks)
        self._make_id = make_id
        self._now = now
        self._environment = environment

    def __call__(self, unit: Unit) -> tuple[Op, ...]:
        """The outbox rows of a unit's events; none of units that tell nothing."""
        rows = _executions(unit.ops)
        if not self._endpoints:
            for row in rows.values():
                if row.callback_url is not None:
                    break
            else:
                return ()
        now = self._now()
        told = [(event, audit) for audit in (unit.audit, *unit.more) for event in project(audit.what)]
        return tuple(op for event, audit in told for op in self._told(event, audit, rows, now))

    def _told(self, event: Event, audit: Audit, rows: Mapping[str, Execution], now: Millis) -> Iterator[Op]:
        execution = event.execution or audit.execution
        row = rows.get(execution) if execution is not None else None
        agent = row.agent if row is not None else audit.agent
        text = payload(
            event,
            now,
            environment=self._environment,
            execution=execution,
            action=row.action if row is not None else None,
            agent=agent,
            metadata={} if row is not None and not row.metadata else None,
        )
        for endpoint in self._endpoints:
            yield self._row(endpoint, agent or "", "", text, now)
        if row is not None and row.callback_url and event.own:
            yield self._row(CALLBACK, row.agent, row.callback_url, text, now)

    def _row(self, endpoint: str, agent: str, url: str, text: str, now: Millis) -> Op:
        made = Outbox(
            id=self._make_id("out"),
            kind="event",
            agent=agent,
            endpoint=endpoint,
            url=url,
            payload=text,
            due=now,
            until=now + KEPT,
        )
        return Insert(made)


def _executions(ops: Sequence[Op]) -> dict[str, Execution]:
    """The executions that a unit writes, by id, as far as they never change: action, agent, callback, metadata."""
    found: dict[str, Execution] = {}
    for op in ops:
        kind = type(op)
        row = op.was if kind is Change else op.row if kind is Insert else None  # type: ignore[union-attr]  # as kind says
        if type(row) is Execution:
            found[row.id] = row
    return found
