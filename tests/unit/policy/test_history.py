"""`history.*` in conditions: values, defaults of tests, what is not known, what is named as read."""

from __future__ import annotations

import pytest

from jit_auth.core.ids import new_id
from jit_auth.engine.bundle import Kinds
from jit_auth.engine.past import admitted_with, past_of
from jit_auth.model import Decision, Execution, History, Past
from jit_auth.policy.cases import run
from jit_auth.policy.explain import explain, explain_execution
from jit_auth.policy.facts import FACTS, history_of

from .world import ACTIONS, NOW, call, outcome, policy, rule

NAMES = tuple(name for name in History.__struct_fields__ if not name.startswith("task_"))
BUSY = History(same_action_1h=21, same_action_24h=22, denied_24h=3, agent_action_1h=40, agent_writes_1h=50,
               first_seen=True)  # fmt: skip


def test_every_field_is_a_fact_and_every_fact_a_field() -> None:
    facts = {name: fact for name, fact in FACTS.items() if fact.needs == "history"}
    assert set(facts) == {f"history.{name}" for name in NAMES}
    assert {fact.default for fact in facts.values()} == {0}
    assert all(fact.default == getattr(History(), name.partition(".")[2]) for name, fact in facts.items())


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("history.same_action_1h == 21 && history.same_action_24h > 21 && history.denied_24h >= 3", True),
        ("history.agent_action_1h <= 39 || history.agent_writes_1h < 50", False),
        ("history.first_seen && agent.depth == 0", True),
        ("history.same_action_1h + history.denied_24h == 24", True),
        ("history['denied_24h'] in [1, 2, 3]", True),
        ("(history.first_seen ? history.denied_24h : 0) == 3", True),
        ("history.same_action_1h > 20.5", True),
        ("history.same_action_24h > params.n", True),
    ],
)
def test_values(condition: str, value: bool) -> None:
    assert outcome(condition, history=BUSY) is value


@pytest.mark.parametrize("name", NAMES)
def test_what_was_not_counted_never_loosens(name: str) -> None:
    low = f"history.{name}" if name == "first_seen" else f"history.{name} < 10"
    assert outcome(low, history=None) == "error"
    assert policy(rule("open", "allow", when=low)).decide(call(history=None)).effect == "deny"
    closed = rule("open", "allow") + rule("rate", "deny", when=f"!({low})")
    assert policy(closed).decide(call(history=None)).effect == "deny"


def test_tests_begin_with_nothing() -> None:
    none = "history.same_action_1h + history.same_action_24h + history.denied_24h + history.agent_action_1h + " \
           "history.agent_writes_1h == 0 && !history.first_seen"  # fmt: skip
    busy = "history.same_action_1h == 9 && history.first_seen && history.denied_24h == 1"
    text = rule("none", "deny", when=none) + rule("busy", "allow", when=busy)
    base = "[test_base]\nhistory = { same_action_1h = 9, denied_24h = 7, first_seen = true }\n"
    asked = '[[test]]\nname = "n"\naction = "demo.everything"\nset = {{ {} }}\nexpect = {{ rules = ["{}"] }}\n'
    assert run(policy(text + asked.format("", "none"))).failed == 0
    assert run(policy(text + base + asked.format('"history.denied_24h" = 1', "busy"))).failed == 0
    assert run(policy(text + base + asked.format("history = { denied_24h = 1 }", "busy"))).failed == 0


def test_what_is_read_is_named_of_labels_and_shadow_rules_too() -> None:
    text = (
        '[[label]]\nid = "spike"\nmatch = ["pay.*"]\nwhen = "history.same_action_1h > 20"\nadd = ["elevated"]\n'
        + rule("quiet", "deny", "pay.list", when="history.denied_24h > 2", mode="shadow")
        + rule("slow", "deny", "pay.report", unless="history.agent_writes_1h < 3")
        + rule("open", "allow", "mail.read", when="agent.depth == 0")
    )
    made = policy(text)
    found = {name: history_of(made.reads(name)) for name in ("pay.list", "pay.report", "pay.wipe", "mail.read")}
    assert found == {
        "pay.list": ("denied_24h", "same_action_1h"),
        "pay.report": ("agent_writes_1h", "same_action_1h"),
        "pay.wipe": ("same_action_1h",),
        "mail.read": (),
    }
    busy = call("pay.list", history=BUSY)
    assert made.decide(busy).labels == ("elevated",)
    assert made.shadow(busy) == ("quiet",)
    assert made.shadow(call("pay.list", history=History())) == ()


def test_explain_shows_the_values() -> None:
    made = policy(rule("rate", "deny", when="history.same_action_1h > 20 || history.first_seen"))
    (one,) = explain(made, call(history=BUSY)).rules
    assert one.outcome == "winner"
    assert one.when is not None
    assert [(part.text, part.value) for part in one.when.parts[0].parts if part.text.startswith("history")] == [
        ("history.same_action_1h", 21)
    ]
    row = execution(history={"same_action_1h": 3})
    assert explain_execution(made, row, ACTIONS["demo.everything"], BUSY).rules[0].outcome == "winner"
    (one,) = explain_execution(made, row, ACTIONS["demo.everything"]).rules
    assert (one.outcome, one.error) == ("winner", "history.first_seen: nothing was counted")


def execution(**fields: object) -> Execution:
    values = {
        "id": new_id("exe", NOW, bytes(10)), "version": 3, "state": "paused", "agent": "helper",
        "chain": ("bot", "helper"), "user": "alice@example.com", "verified": True, "action": "demo.everything",
        "params": {}, "digest": "", "decision": Decision("allow"), "created": NOW, "updated": NOW, "expires": NOW,
    }  # fmt: skip
    return Execution(**(values | fields))  # type: ignore[arg-type]  # fields of many types


def test_which_attempts_count() -> None:
    def writes() -> Kinds:
        return Kinds(("pay.wipe",), {"pay.wipe": ("external",)})

    assert past_of(execution(), (), writes) is None
    row = execution(history={"same_action_1h": 3})
    assert past_of(row, ("same_action_1h",), writes) == Past(
        agent="bot", user="alice@example.com", action="demo.everything", names=("same_action_1h",), id=row.id, at=NOW,
        known={"same_action_1h": 3},
    )  # fmt: skip
    new = past_of(execution(version=0, user=None), ("agent_writes_1h",), writes)
    assert new == Past(
        agent="bot", user=None, action="demo.everything", names=("agent_writes_1h",), writes=("pay.wipe",)
    )
    assert admitted_with(new, BUSY) == {"agent_writes_1h": 50}
    # Denials may come at any time: they are no part of it.
    assert admitted_with(past_of(row, ("denied_24h", "first_seen"), writes), BUSY) is None
    assert admitted_with(None, None) is None
