"""Which facts are told as which events, what events hold, and for whom a unit's events are put into the outbox."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from jit_auth.core.events import (
    CALLBACK,
    KEPT,
    TYPES,
    Announcer,
    Event,
    owes_metadata,
    payload,
    project,
    with_metadata,
)
from jit_auth.model import (
    Ask,
    Audit,
    Change,
    Committed,
    Decision,
    Execution,
    Insert,
    Outbox,
    Result,
    Touch,
    Trouble,
    Unit,
    Vote,
    Who,
)

NOW = 1_800_000_000_000
HOOK = "https://agents.example/hooks/one"


def row(**changes: Any) -> Execution:
    base = Execution(
        id="exe_1", version=3, state="paused", agent="mailbot", chain=("planner", "mailbot"), user="alice@example.com",
        verified=True, action="mailhub.send_message", params={"to": "secret@param.example"}, reason="secret reason",
        digest="sha256:d", decision=Decision("allow", reasons=("secret rule",)), created=NOW, updated=NOW,
        expires=NOW + 1000, result=Result(200, {}, "secret result"), error=Trouble("c", "secret error"),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def ask(kind: str, name: str = "apr_1") -> dict[str, Any]:
    return {"do": "ask", "ask": name, "kind": kind, "scopes": ("s",), "why": "", "digest": "sha256:d"}


def told(what: Sequence[Mapping[str, Any]]) -> list[tuple[str, str | None, dict[str, str]]]:
    return [(event.type, event.status, event.data) for event in project(what)]


APPROVAL = {"approval": "apr_1"}
GRANT = {"grant": "grt_1", "provider": "mailhub"}
CASES: list[tuple[list[dict[str, Any]], list[tuple[str, str | None, dict[str, str]]]]] = [
    ([], []),
    ([{"do": "request"}, {"do": "decision"}, {"do": "prepare"}, {"do": "send"}, {"do": "token"}], []),
    ([{"do": "refused", "code": "x"}, {"do": "joined"}, {"do": "card"}, {"do": "attempt"}, {"do": "wait"}], []),
    ([{"do": "edit", "ask": "apr_1"}, {"do": "remind", "ask": "apr_1"}, {"do": "escalate", "ask": "apr_1"}], []),
    ([ask("consent", "cns_1")], [("execution.paused", "paused", {})]),
    ([ask("approval")], [("execution.paused", "paused", {}), ("approval.requested", "paused", APPROVAL)]),
    (
        [ask("consent", "cns_1"), ask("consent", "cns_2"), ask("approval")],
        [("execution.paused", "paused", {}), ("approval.requested", "paused", APPROVAL)],
    ),
    ([ask("outcome", "unk_1")], []),
    ([{"do": "vote", "ask": "apr_1", "verdict": "approve", "state": "open"}], []),
    ([{"do": "vote", "ask": "apr_1", "verdict": "approve"}], []),
    (
        [{"do": "vote", "ask": "apr_1", "verdict": "approve", "state": "met"}],
        [("approval.decided", "paused", APPROVAL | {"decision": "approve"})],
    ),
    (
        [{"do": "vote", "ask": "apr_1", "verdict": "deny", "state": "denied"}],
        [("approval.decided", "paused", APPROVAL | {"decision": "deny"})],
    ),
    ([{"do": "expiring", "ask": "apr_1"}], [("approval.expiring", "paused", APPROVAL)]),
    *(
        ([{"do": "outcome", "state": state}], [("execution.finished", state, {})])
        for state in ("succeeded", "failed", "denied", "cancelled")
    ),
    (
        [{"do": "outcome", "state": "expired", "asks": ["apr_1"], "code": "expired"}],
        [("approval.expired", "expired", APPROVAL), ("execution.finished", "expired", {})],
    ),
    ([{"do": "outcome", "state": "expired", "asks": []}], [("execution.finished", "expired", {})]),
    ([{"do": "outcome", "state": "unknown"}], [("execution.unknown", "unknown", {})]),
    ([{"do": "release", "digest": "sha256:d", "until": 1}], [("execution.released", "released", {})]),
    ([{"do": "claim", "attempt": 1, "digest": "sha256:d"}, {"do": "heartbeat", "until": 1}], []),
    ([{"do": "cancel"}], [("execution.finished", "cancelled", {})]),
    ([{"do": "resolve", "outcome": "failed"}], [("execution.finished", "failed", {})]),
    *(
        ([{"do": did, "why": "x"} | GRANT], [(did, None, GRANT)])
        for did in ("grant.created", "grant.scopes_changed", "grant.broken", "grant.recovered", "grant.revoked")
    ),
    (
        [{"do": "agent.suspended", "agent": "mailbot"}, {"do": "agent.restored", "agent": "mailbot"}],
        [("agent.suspended", None, {"agent": "mailbot"}), ("agent.restored", None, {"agent": "mailbot"})],
    ),
    (
        [{"do": "config.loaded", "bundle": "sha256:b", "policy": "sha256:p"}],
        [("config.loaded", None, {"bundle": "sha256:b"}), ("policy.loaded", None, {"policy": "sha256:p"})],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("what", "expected"), CASES)
def test_facts_are_told_as_events(
    what: list[dict[str, Any]], expected: list[tuple[str, str | None, dict[str, str]]]
) -> None:
    assert told(what) == expected


def test_every_type_of_event_comes_from_a_fact() -> None:
    assert {event[0] for _, expected in CASES for event in expected} == set(TYPES)


def test_facts_read_back_from_the_record_give_the_same() -> None:
    """Written they are tuples and marked values, read they are lists and pseudonyms."""
    for what, expected in CASES:
        assert told(json.loads(json.dumps(what))) == expected


def test_an_event_is_standard_webhooks_json() -> None:
    (event,) = project([{"do": "outcome", "state": "succeeded"}])
    text = payload(
        event, NOW, environment="prod", execution="exe_1", action="mailhub.send_message", agent="mailbot",
        metadata={"thread": "t-1"},
    )  # fmt: skip
    assert json.loads(text) == {
        "type": "execution.finished",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {
            "environment": "prod",
            "metadata": {"thread": "t-1"},
            "execution": "exe_1",
            "action": "mailhub.send_message",
            "agent": "mailbot",
            "status": "succeeded",
        },
    }
    assert "\n" not in text


def announcer(*webhooks: str) -> Announcer:
    numbers = itertools.count(1)
    return Announcer(webhooks, lambda prefix: f"{prefix}_{next(numbers)}", lambda: NOW, "prod")


def outcome(execution: Execution, *ops: Any, actor: str = "engine") -> Unit:
    fact = {"do": "outcome", "state": "succeeded", "status": 200, "result": Committed("secret result")}
    audit = Audit(actor=actor, what=(fact,), user=execution.user, agent=execution.chain[0], execution=execution.id)
    return Unit(None, (*ops, Change(execution, {"state": "succeeded", "result": execution.result})), audit)


def rows(announce: Announcer, unit: Unit) -> list[Outbox]:
    found = []
    for op in announce(unit):
        assert isinstance(op, Insert)
        assert isinstance(op.row, Outbox)
        found.append(op.row)
    return found


def test_without_anybody_to_tell_nothing_is_written() -> None:
    assert announcer()(outcome(row())) == ()


def test_a_webhook_and_the_callback_are_each_told_once() -> None:
    hook, callback = rows(announcer("ops"), outcome(row(callback_url=HOOK)))
    assert (hook.kind, hook.endpoint, hook.url, hook.agent) == ("event", "webhook:ops", "", "mailbot")
    assert (callback.kind, callback.endpoint, callback.url, callback.agent) == ("event", CALLBACK, HOOK, "mailbot")
    assert hook.id != callback.id
    for found in (hook, callback):
        assert (found.due, found.until, found.tries, found.token, found.user) == (NOW, NOW + KEPT, 0, None, None)
    assert hook.payload == callback.payload
    assert json.loads(hook.payload)["data"]["agent"] == "mailbot"


def test_every_webhook_gets_every_event() -> None:
    execution = row(version=0, callback_url=HOOK)
    audit = Audit(actor="agent:mailbot", what=(ask("consent", "cns_1"), ask("approval")), execution="exe_1")
    found = rows(announcer("ops", "security"), Unit(None, (Insert(execution),), audit))
    kinds = [(json.loads(one.payload)["type"], one.endpoint) for one in found]
    assert kinds == [
        (kind, endpoint)
        for kind in ("execution.paused", "approval.requested")
        for endpoint in ("webhook:ops", "webhook:security", "callback")
    ]


def test_events_hold_no_parameters_results_reasons_or_people() -> None:
    """THREAT_MODEL 30: whatever is in the rows and facts of a unit, only ids, action, status and time leave."""
    execution = row(callback_url=HOOK, before={"to": "secret@param.example"}, edited_by=("ana@example.com",))
    vote = Vote(
        ask="apr_1", person="ana@example.com", verdict="deny", digest="sha256:d", seen="s", how="link",
        feedback="secret feedback", at=NOW,
    )  # fmt: skip
    question = Ask(
        id="apr_1", execution="exe_1", kind="approval", agent="mailbot", user="alice@example.com", why="secret why",
        created=NOW, expires=NOW + 9,
    )  # fmt: skip
    what = (
        {"do": "request", "params": Committed(execution.params), "reason": Committed("secret reason")},
        ask("approval") | {"why": "secret why"},
        {"do": "vote", "ask": "apr_1", "verdict": "deny", "state": "denied", "by": Who("ana@example.com"),
         "feedback": Committed("secret feedback")},
        {"do": "resolve", "outcome": "failed", "note": Committed("secret note"), "by": Who("ana@example.com")},
        {"do": "grant.broken", "grant": "grt_1", "provider": "mailhub", "why": "secret why", "scopes": ["secret"]},
    )  # fmt: skip
    ops = (Insert(vote), Insert(question), Change(execution, {"params": {"to": "secret"}}), Touch("apr_1", NOW))
    audit = Audit(actor="person:ana@example.com", what=what, user="alice@example.com", execution="exe_1")
    texts = [one.payload for one in rows(announcer("ops"), Unit(None, ops, audit))]
    assert len(texts) == 9  # five for the webhook, four for the callback: grants are no agent's matter
    for text in texts:
        assert "secret" not in text
        assert "example.com" not in text
        assert "sha256" not in text


def test_grants_and_configuration_are_told_to_operators_alone() -> None:
    execution = row(callback_url=HOOK)
    facts = (
        {"do": "grant.created", "grant": "grt_1", "provider": "mailhub", "scopes": []},
        {"do": "config.loaded", "bundle": "b", "policy": "p"},
    )
    audit = Audit(actor="engine", what=facts, execution="exe_1", agent="mailbot")
    found = rows(announcer("ops"), Unit(None, (Change(execution, {"due": 1}),), audit))
    assert [one.endpoint for one in found] == ["webhook:ops"] * 3
    assert rows(announcer(), Unit(None, (Change(execution, {"due": 1}),), audit)) == []


def test_a_unit_without_its_execution_is_told_to_webhooks() -> None:
    audit = Audit(actor="engine", what=({"do": "expiring", "ask": "apr_1"},), agent="mailbot", execution="exe_1")
    (found,) = rows(announcer("ops"), Unit(None, (), audit))
    assert json.loads(found.payload)["data"] == {
        "environment": "prod", "execution": "exe_1", "agent": "mailbot", "status": "paused", "approval": "apr_1",
        "metadata": None,
    }  # fmt: skip
    assert owes_metadata(found.payload) == "exe_1"


def test_metadata_is_in_no_row_of_the_outbox_and_is_filled_in_when_an_event_leaves() -> None:
    held = row(callback_url=HOOK, metadata={"thread": "secret-thread", "metadata": None})
    (found,) = rows(announcer(), outcome(held))
    assert "secret-thread" not in found.payload
    assert owes_metadata(found.payload) == held.id
    whole = with_metadata(found.payload, {"thread": "secret-thread", "metadata": None})
    assert json.loads(whole)["data"]["metadata"] == {"thread": "secret-thread", "metadata": None}
    assert json.loads(whole) | {"data": 0} == json.loads(found.payload) | {"data": 0}
    (plain,) = rows(announcer(), outcome(row(callback_url=HOOK)))
    assert json.loads(plain.payload)["data"]["metadata"] == {}
    assert owes_metadata(plain.payload) is None, "whoever gave none costs no read"


def test_events_of_no_execution_have_no_metadata() -> None:
    fact = {"do": "grant.created", "grant": "gra_1", "provider": "mailhub"}
    (found,) = rows(announcer("ops"), Unit(None, (), Audit(actor="engine", what=(fact,))))
    assert "metadata" not in json.loads(found.payload)["data"]
    assert owes_metadata(found.payload) is None


def test_one_unit_over_several_executions_tells_each_of_its_own() -> None:
    """Decided together: each fact names its execution, and each agent hears of its own alone."""
    one, two = row(callback_url=HOOK), row(id="exe_2", agent="other", callback_url="https://other.example/")
    facts = tuple(
        {"do": "vote", "ask": f"apr_{number}", "verdict": "approve", "state": "met", "execution": f"exe_{number}"}
        for number in (1, 2)
    )
    unit = Unit(None, (Change(one, {"due": 1}), Change(two, {"due": 1})), Audit(actor="person:ana", what=facts))
    found = [(one.agent, one.url, json.loads(one.payload)["data"]["execution"]) for one in rows(announcer(), unit)]
    assert found == [("mailbot", HOOK, "exe_1"), ("other", "https://other.example/", "exe_2")]


def test_an_event_is_the_executions_own_or_not() -> None:
    assert all(Event(kind).own == (kind.split(".")[0] in ("execution", "approval")) for kind in TYPES)
