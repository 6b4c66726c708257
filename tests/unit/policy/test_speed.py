"""A decision among 1,000 rules stays cheap: a loose guard in CPU time; the figures are in docs/design/0003."""

from __future__ import annotations

import functools
import time

from jit_auth.model import Action
from jit_auth.policy.facts import Call
from jit_auth.policy.rules import Policy, load

from .world import STRINGS, action, call, param, rule

RULES, CANDIDATES = 1_000, 23
_PARAMS = (param("amount", type="number"), param("currency", type="string"), param("count", type="integer"),
           param("to", **STRINGS), param("memo", False, type="string"))  # fmt: skip
_TERMS = ("params.amount > {n}.0", "params.currency == 'C{n}'", "params.count < -{n}", "'x{n}@a.example' in params.to",
          "agent.depth > {n}", "user.id == 'u{n}@a.example'", "params.currency in ['A{n}', 'B{n}']",
          "params.currency.startsWith('Z{n}')")  # fmt: skip


@functools.cache
def thousand_rules() -> tuple[Policy, Call]:
    """A policy of 1,000 rules of five terms, and a call that 23 of them fit."""
    actions: dict[str, Action] = {}
    texts = []
    for number in range(RULES):
        name = f"c{number // CANDIDATES}.act"
        actions.setdefault(name, action(name, *_PARAMS, risk="high", effect="create"))
        terms = [_TERMS[(number + step) % len(_TERMS)].format(n=1_000 + number) for step in range(5)]
        effect = ("allow", "require_approval", "deny")[number % 3]
        texts.append(rule(f"r{number}", effect, name, when=(" && ", " || ")[number % 2].join(terms)))
    params = {"amount": 500.0, "currency": "EUR", "count": 3, "to": ["a@b.example", "c@d.example"], "memo": "hello"}
    asked = call("pay.list", params)
    made = load([("policies.toml", "".join(texts))], actions, [])
    return made, Call(
        **{name: getattr(asked, name) for name in asked.__struct_fields__} | {"action": actions["c7.act"]}
    )


def microseconds(policy: Policy, asked: Call, rounds: int = 2_000) -> float:
    """CPU time of a decision."""
    began = time.process_time()
    for _ in range(rounds):
        policy.decide(asked)
    return (time.process_time() - began) / rounds * 1e6


def test_a_decision_among_a_thousand_rules() -> None:
    policy, asked = thousand_rules()
    assert policy.decide(asked).effect == "deny"
    assert microseconds(policy, asked) < 100


def test_a_decision_by_rules_without_conditions_is_made_at_load() -> None:
    asked = thousand_rules()[1]
    plain = load([("p", rule("a", "allow", "c7.act"))], {"c7.act": asked.action}, [])
    assert plain.decide(asked) is plain.decide(asked)
    assert microseconds(plain, asked) < 10
