"""`task.*` and `action.exposes` in conditions: values, calls without a task, tests, explain, what is named as read."""

from __future__ import annotations

from datetime import UTC

import pytest

from jit_auth.core.ids import new_id
from jit_auth.engine.bundle import Kinds
from jit_auth.engine.past import admitted_with, past_of
from jit_auth.model import Decision, Execution, History, Past, Task
from jit_auth.policy.case import read_call
from jit_auth.policy.cases import run
from jit_auth.policy.explain import explain, explain_execution
from jit_auth.policy.facts import FACTS, history_of

from .world import ACTIONS, NOW, call, outcome, policy, rule

TRIFECTA = "'external' in action.exposes && task.private && task.untrusted"
ALL = ("task.private", "task.untrusted", "task.external", "task.count")
TOUCHED = History(task_private=True, task_untrusted=True, task_count=4)


def test_every_fact_is_counted_by_a_field_and_begins_with_nothing() -> None:
    facts = {name: fact for name, fact in FACTS.items() if fact.needs == "task"}
    assert set(facts) == set(ALL)
    assert history_of(ALL) == ("task_private", "task_untrusted", "task_external", "task_count")
    assert all(fact.default == getattr(History(), name.replace(".", "_")) for name, fact in facts.items())


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("task.private && task.untrusted && !task.external && task.count == 4", True),
        ("task.private && task.external", False),
        ("task['private'] && task.count in [3, 4]", True),
        (TRIFECTA, True),
        ("'untrusted' in action.exposes", False),
        ("size(action.exposes) == 2 && action.exposes.exists(x, x == 'private')", True),
        ("action.exposes == ['private', 'external']", True),
    ],
)
def test_values(condition: str, value: bool) -> None:
    assert outcome(condition, history=TOUCHED) is value


@pytest.mark.parametrize("name", ALL)
def test_without_a_task_a_condition_is_in_error_and_never_loosens(name: str) -> None:
    clean = f"{name} < 10" if name == "task.count" else f"!{name}"
    for missing in ({"task": False}, {"history": None}, {"task": False, "history": None}):
        assert outcome(clean, **missing) == "error"
        assert policy(rule("open", "allow", when=clean)).decide(call(**missing)).effect == "deny"
        asks = policy(rule("open", "allow") + rule("asks", "require_approval", unless=clean))
        assert asks.decide(call(**missing)).effect == "require_approval"
        assert asks.decide(call(history=History())).effect == "allow"


def test_the_trifecta_rule_asks_of_what_acts_outside_alone() -> None:
    made = policy(rule("trifecta", "require_approval", "mail.*", when=TRIFECTA) + rule("open", "allow", "mail.*"))
    assert made.decide(call("mail.send", history=TOUCHED)).rules == ("trifecta",)
    assert made.decide(call("mail.read", history=TOUCHED)).effect == "allow"
    assert made.decide(call("mail.send", history=History(task_private=True))).effect == "allow"
    nothing = made.decide(call("mail.send", task=False))
    assert nothing.effect == "require_approval"
    assert [error.endswith("the call names no task") for error in nothing.errors] == [True]
    assert made.decide(call("mail.read", task=False)).effect == "allow", "a read is not asked for its task"


CASE = '[[test]]\nname = "n"\naction = "mail.send"\n{}\nexpect = {{ {} }}\n'


def test_tests_begin_in_a_task_that_has_touched_nothing() -> None:
    rules = rule("trifecta", "require_approval", "mail.*", when=TRIFECTA) + rule("open", "allow", "mail.*")
    base = "[test_base]\ntask = { private = true, untrusted = true }\n"
    for text in (
        CASE.format("", 'effect = "allow"'),
        base + CASE.format("", 'effect = "require_approval"'),
        base + CASE.format('set = { "task.private" = false }', 'effect = "allow"'),
        CASE.format("set = { task = { private = true, untrusted = true } }", 'rules = ["trifecta"]'),
        CASE.format('set = { task = "" }', 'errors = ["trifecta: task.private: the call names no task"]'),
    ):
        assert run(policy(rules + text)).failed == 0, text


def test_the_body_of_a_call_names_its_task() -> None:
    def facts(**body: object) -> tuple[bool, bool]:
        made = read_call(
            "action.json", {"action": "mail.send", **body}, ACTIONS, aliases={}, groups_of=lambda _: frozenset(),
            zone=UTC, now=NOW,
        )  # fmt: skip
        assert made.history is not None
        return made.task, made.history.task_private

    assert facts() == (False, False)
    assert facts(task=None, metadata={"a": 1}) == (False, False)
    assert facts(task={"id": "t"}) == (True, False)
    assert facts(task={"id": "t", "title": "T", "private": True}) == (True, True)
    assert facts(**{"task.private": True}) == (True, True)
    assert facts(set={"task.private": True}, task={"id": "t"}) == (True, True)


def execution(**fields: object) -> Execution:
    values = {
        "id": new_id("exe", NOW, bytes(10)), "version": 0, "state": "executing", "agent": "helper",
        "chain": ("bot", "helper"), "user": "alice@example.com", "verified": True, "action": "mail.send",
        "params": {}, "digest": "", "decision": Decision("allow"), "created": NOW, "updated": NOW, "expires": NOW,
        "task": Task("refund-7"),
    }  # fmt: skip
    return Execution(**(values | fields))  # type: ignore[arg-type]  # fields of many types


def kinds() -> Kinds:
    return Kinds((), {"mail.send": ("external",)})


def test_what_is_counted_for_whom() -> None:
    names = ("task_private", "task_count")
    new = past_of(execution(), names, kinds)
    assert new == Past(
        agent="bot", user="alice@example.com", action="mail.send", names=names, task="refund-7",
        exposes={"mail.send": ("external",)},
    )  # fmt: skip
    assert admitted_with(new, TOUCHED) == {"task_private": True, "task_count": 4}
    assert past_of(execution(task=None), names, kinds) is None, "nothing is read for a call without a task"
    without = past_of(execution(task=None), ("task_private", "denied_24h"), kinds)
    assert without is not None
    assert (without.names, without.task) == (("denied_24h",), None)


def test_a_send_is_decided_by_what_is_touched_by_then_and_explained_by_what_was() -> None:
    row = execution(version=2, history={"task_private": False, "task_count": 1})
    now = past_of(row, ("task_private", "task_count"), kinds)
    then = past_of(row, ("task_private", "task_count"), kinds, then=True)
    assert now is not None
    assert then is not None
    assert (now.known, now.then) == ({"task_count": 1}, False)
    assert (then.known, then.then) == ({"task_private": False, "task_count": 1}, True)


def test_explain_shows_what_a_task_has_touched() -> None:
    made = policy(rule("trifecta", "require_approval", "mail.*", when=TRIFECTA))
    (one,) = explain(made, call("mail.send", history=TOUCHED)).rules
    assert one.outcome == "winner"
    (one,) = explain_execution(made, execution(task=None), ACTIONS["mail.send"], TOUCHED).rules
    assert one.error is not None
    assert one.error.endswith("the call names no task")
    (one,) = explain_execution(made, execution(), ACTIONS["mail.send"], TOUCHED).rules
    assert (one.outcome, one.error) == ("winner", None)
