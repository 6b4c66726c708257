"""A small world for policy tests: connectors' actions, calls, and a way to ask what a condition comes to."""

from __future__ import annotations

import functools
import json
from typing import Any, Literal

import msgspec
from hypothesis import HealthCheck, settings

from jit_auth.errors import Faults
from jit_auth.model import Action, Decision, Effect, Exposes, History, Param, Risk
from jit_auth.policy.facts import Call
from jit_auth.policy.rules import Policy, load


def examples(number: int) -> settings:
    """Settings of a property test; a loaded machine fails none."""
    return settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.too_slow])


HISTORY = History(same_action_1h=2, same_action_24h=7, denied_24h=1, agent_action_1h=3, agent_writes_1h=4,
                  task_private=True, task_count=5)  # fmt: skip
NOW = 1_767_610_800_000  # 2026-01-05T11:00:00Z, a Monday


def quoted(text: str) -> str:
    """A TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def param(name: str, required: bool = True, /, **schema: Any) -> Param:
    return Param(name=name, schema=schema, required=required)


def action(
    name: str, *params: Param, risk: Risk = "low", effect: Effect = "read", exposes: tuple[Exposes, ...] = ()
) -> Action:
    return Action(
        name=name, connector=name.partition(".")[0], provider="p", title=name, summary=name, show=(), method="GET",
        path="/", risk=risk, effect=effect, retry="safe", params=params, exposes=exposes,
    )  # fmt: skip


STRINGS = {"type": "array", "items": {"type": "string"}}
ITEM = {"type": "object", "properties": {"name": {"type": "string"}, "price": {"type": "number"}, "tags": STRINGS}}

EVERYTHING = action(
    "demo.everything",
    param("n", type="integer"),
    param("m", type="integer"),
    param("d", type="number"),
    param("s", type="string"),
    param("t", type="string"),
    param("b", type="boolean"),
    param("strings", **STRINGS),
    param("ints", type="array", items={"type": "integer"}),
    param("grid", type="array", items={"type": "array", "items": {"type": "integer"}}),
    param("items", type="array", items=ITEM),
    param("maybe", type="array", items={"type": ["string", "null"]}),
    param("loose", type="array"),
    param("card", type="object", properties={"number": {"type": "string"}, "cvv": {"type": ["string", "null"]},
                                             "issuer": {"type": "object", "properties": {"id": {"type": "integer"}}}},
          required=["number"]),
    param("any"),
    param("other", anyOf=[{"type": "string"}, {"type": "integer"}]),
    param("colour", enum=["red", "green"]),
    param("reply-to", False, type="string"),
    param("gone_b", False, type="boolean"),
    param("gone_n", False, type="integer"),
    param("gone_d", False, type="number"),
    param("gone_s", False, type="string"),
    param("gone_l", False, **STRINGS),
    param("gone_i", False, type="array", items={"type": "integer"}),
    param("gone_r", False, type="object", properties={"x": {"type": "string"}}),
    param("gone_any", False),
    param("nullable", type=["string", "null"]),
    exposes=("private", "external"),
)  # fmt: skip

VALUES: dict[str, Any] = {
    "n": 7, "m": -3, "d": 2.5, "s": "hello", "t": "world", "b": True, "strings": ["a", "b", "hello"], "ints": [1, 2, 3],
    "grid": [[1, 2], [3]], "maybe": ["x", None], "loose": [1, "a", None, {"k": 1.0}],
    "items": [{"name": "pen", "price": 1.5, "tags": ["x"]}, {"name": "ink", "tags": []}],
    "card": {"number": "4111", "cvv": None, "issuer": {"id": 5}}, "any": {"a": [1, True]}, "other": "x",
    "colour": "red", "nullable": None,
}  # fmt: skip

ACTIONS = {
    one.name: one
    for one in (
        EVERYTHING,
        action("pay.transfer", param("amount", type="number"), param("currency", type="string"),
               param("memo", False, type="string"), param("to", False, **STRINGS), risk="high", effect="create"),
        action("pay.refund", param("amount", type="integer"), param("currency", False, type="string"), risk="medium",
               effect="create"),
        action("pay.list", param("limit", False, type="integer", default=10)),
        action("pay.report", param("year", type="integer"), risk="high"),
        action("pay.wipe", risk="critical", effect="delete"),
        action("mail.read", risk="medium", exposes=("private", "untrusted")),
        action("mail.send", risk="medium", effect="create", exposes=("external",)),
    )
}  # fmt: skip


def call(name: str = "demo.everything", params: dict[str, Any] | None = None, **facts: Any) -> Call:
    chosen = ACTIONS[name]
    plain = Call(
        action=chosen, params=params if params is not None else (VALUES if chosen is EVERYTHING else {}),
        user="alice@example.com", groups=frozenset(), verified=True, agent="bot", chain=("bot",), account=None, now=NOW,
        history=HISTORY, task=True,
    )  # fmt: skip
    return msgspec.structs.replace(plain, **facts)


def policy(text: str, **more: Any) -> Policy:
    return load([("policies.toml", text)], ACTIONS, [], **more)


def faults(text: str, **more: Any) -> list[str]:
    """What is wrong with a file, each fault as people read it."""
    try:
        policy(text, **more)
    except Faults as wrong:
        return [str(fault) for fault in wrong.faults]
    return []


def rule(id: str, effect: str, match: str = "demo.everything", **keys: str) -> str:
    """A [[rule]] in TOML; conditions may hold any character."""
    lines = ["[[rule]]", f"id = {quoted(id)}", f"match = [{quoted(match)}]", f'effect = "{effect}"']
    lines += [f"{key} = {quoted(value)}" for key, value in keys.items()]
    if effect == "require_approval":
        lines.append('approval = { from = ["requester"] }')
    return "\n".join(lines) + "\n"


Outcome = Literal["error"] | bool


@functools.cache
def _deciding(condition: str) -> Policy:
    return policy("[groups]\nvip = []\n" + rule("asked", "deny", when=condition) + rule("else", "allow"))


def outcome(condition: str, params: dict[str, Any] | None = None, **facts: Any) -> Outcome:
    """What a condition comes to: true, false, or in error."""
    decision = _deciding(condition).decide(call(params=VALUES if params is None else VALUES | params, **facts))
    if decision.errors:
        return "error"
    return decision.effect == "deny"


def error(condition: str, params: dict[str, Any] | None = None, **facts: Any) -> str:
    """The error of a condition; "" if there is none."""
    decision: Decision = _deciding(condition).decide(
        call(params=VALUES if params is None else VALUES | params, **facts)
    )
    return "; ".join(decision.errors).removeprefix("asked: ")


def mistake(condition: str) -> str:
    """What is wrong with a condition at load, with its column in the condition (from 1); "" if nothing is."""
    head = '[groups]\nvip = []\n[[rule]]\nid = "x"\nmatch = ["demo.everything"]\neffect = "deny"\nwhen = '
    found = faults(head + quoted(condition) + "\n")
    return found[0].removeprefix("policies.toml:7:") if found else ""
