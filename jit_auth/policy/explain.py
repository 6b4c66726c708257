"""Explain a decision: every rule that fits the action, what its conditions came to, and why it won or lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec.structs import replace

from jit_auth.model import Action, Decision, Execution, History
from jit_auth.policy.decide import Plan, Policy, Rule
from jit_auth.policy.facts import Call
from jit_auth.policy.labels import Label, listed
from jit_auth.policy.trace import Part, trace
from jit_auth.policy.values import Bad, Frame, Labels

Outcome = Literal["winner", "when_false", "exempted", "weaker", "error_skipped"]
_SAYS: dict[Outcome, str] = {
    "winner": "it decides",
    "when_false": "`when` is false",
    "exempted": "`unless` exempts the call",
    "weaker": "a stricter rule decides",
    "error_skipped": "its condition is in error, and an allow rule is skipped then",
}
_COUNTED = "its condition is in error, and counts as matched"


@dataclass(frozen=True, slots=True)
class Explained:
    """One rule. Of a shadow rule `outcome` is what would have been, had all shadow rules been enforced."""

    rule: Rule
    outcome: Outcome
    why: str
    error: str | None
    when: Part | None
    unless: Part | None


@dataclass(frozen=True, slots=True)
class Added:
    """One [[label]]: whether it is added; None: its condition is in error."""

    label: Label
    added: bool | None
    when: Part | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and how it came about. `would`: with the shadow rules enforced; None where there are none."""

    call: Call
    decision: Decision
    rules: tuple[Explained, ...]
    labels: tuple[Added, ...]
    would: Decision | None
    recorded: Decision | None = None
    """What was decided at the time, where a stored execution is explained."""


def explain(policy: Policy, call: Call, labels: Sequence[str] | None = None) -> Explanation:
    """Why `policy` decides this call as it does. `labels`: those on record, in place of what the policy would add."""
    found = policy.plan(call.action.name)
    if found is None:
        return Explanation(call, policy.decide(call), (), (), None)
    enforced, shadow, policy_labels = found
    return _Explainer(policy, call, _recorded(labels)).whole(enforced, shadow, policy_labels)


def explain_execution(
    policy: Policy, execution: Execution, action: Action, history: History | None = None
) -> Explanation:
    """A stored execution by today's rules: its facts and labels as they are on record, at the time it was asked.

    `history` as it was then, where today's rules read it (`past_of`, `Store.history`).
    """
    user = execution.user
    call = Call(
        action=action,
        params=execution.params,
        user=user,
        groups=policy.groups_of(user) if user is not None else frozenset(),
        verified=execution.verified,
        agent=execution.agent,
        chain=execution.chain,
        account=execution.account,
        now=execution.created,
        history=history,
        task=execution.task is not None,
    )
    made = explain(policy, call, execution.decision.labels)
    return Explanation(call, made.decision, made.rules, made.labels, made.would, execution.decision)


def _recorded(labels: Sequence[str] | None) -> Labels | None:
    if labels is None:
        return None
    unknown = frozenset(name.removesuffix("?") for name in labels if name.endswith("?"))
    return Labels(frozenset(name for name in labels if not name.endswith("?")), unknown)


class _Explainer:
    def __init__(self, policy: Policy, call: Call, labels: Labels | None) -> None:
        self._policy = policy
        self._call = call
        self._plain = policy.facts(call)
        if labels is not None:
            self._plain.labels = labels
        self._masked = frozenset(param.name for param in call.action.params if param.sensitive)

    def frame(self) -> Frame:
        """A frame with the steps that the labels left; facts that were read before are not read again."""
        made = Frame(self._plain)
        made.call, made.reads, made.labels = self._plain.call, self._plain.reads, self._plain.labels
        made.failed = self._plain.failed
        made.steps = self._plain.steps
        return made

    def whole(self, enforced: Plan, shadow: Plan | None, labels: Sequence[Label]) -> Explanation:
        matched, errors = enforced.evaluate(self.frame())
        decision = self._labelled(enforced.decision(matched, errors))
        rules = self.rules(enforced, matched, errors or {}, decision)
        would = None
        if shadow is not None:
            shadow_matched, shadow_errors = shadow.evaluate(self.frame())
            would = self._labelled(
                _both(enforced, (matched, errors or {}), shadow, (shadow_matched, shadow_errors or {}))
            )
            rules += self.rules(shadow, shadow_matched, shadow_errors or {}, would)
        return Explanation(self._call, decision, tuple(rules), tuple(self.label(one) for one in labels), would)

    def _labelled(self, decision: Decision) -> Decision:
        return replace(decision, labels=listed(self._plain.labels))

    def rules(self, plan: Plan, matched: int, errors: dict[int, str], decision: Decision) -> list[Explained]:
        return [
            self.rule(rule, bool(matched >> number & 1), errors.get(1 << number), decision)
            for number, rule in enumerate(plan.rules)
        ]

    def rule(self, rule: Rule, matched: bool, error: str | None, decision: Decision) -> Explained:
        outcome: Outcome
        if rule.id in decision.rules:
            outcome = "winner"
        elif error is not None:
            outcome = "error_skipped" if rule.effect == "allow" else "weaker"
        elif matched:
            outcome = "weaker"
        else:
            outcome = "exempted" if self.holds(rule) else "when_false"
        why = _SAYS[outcome]
        if error is not None and outcome != "error_skipped":
            why = f"{_COUNTED}; {why}"
        when = None if rule.when is None else trace(rule.when, self.frame, self._masked)
        unless = None if rule.unless is None else trace(rule.unless, self.frame, self._masked)
        return Explained(rule, outcome, why, error, when, unless)

    def holds(self, rule: Rule) -> bool:
        """Whether a rule that does not match has a `when` that is true."""
        try:
            return rule.when is None or rule.when.run(self.frame())
        except Bad:
            return False

    def label(self, label: Label) -> Added:
        names = set(label.add)
        labels = self._plain.labels
        added = None if names & labels.unknown else names <= labels.known
        if label.when is not None and not names & labels.unknown:
            try:
                added = label.when.run(self.frame())
            except Bad:
                added = None
        return Added(label, added, None if label.when is None else trace(label.when, self.frame, self._masked))


def _both(
    enforced: Plan, first: tuple[int, dict[int, str]], shadow: Plan, second: tuple[int, dict[int, str]]
) -> Decision:
    """The decision of two plans together; each was evaluated with steps of its own, as the engine does it."""
    together = enforced.joined(shadow)
    matching: set[str] = set()
    wrong: dict[str, str] = {}
    for plan, (matched, errors) in ((enforced, first), (shadow, second)):
        matching |= {rule.id for number, rule in enumerate(plan.rules) if matched >> number & 1}
        wrong |= {rule.id: errors[1 << number] for number, rule in enumerate(plan.rules) if 1 << number in errors}
    return together.decision(
        sum(1 << number for number, rule in enumerate(together.rules) if rule.id in matching),
        {1 << number: wrong[rule.id] for number, rule in enumerate(together.rules) if rule.id in wrong},
    )


# As JSON.


def data(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON has it."""
    call = explanation.call
    return {
        "action": call.action.name,
        "user": call.user,
        "verified": call.verified,
        "agent": call.agent,
        "chain": list(call.chain),
        "account": call.account,
        "now": call.now,
        "decision": decided(explanation.decision),
        "recorded": None if explanation.recorded is None else decided(explanation.recorded),
        "with_shadow": None if explanation.would is None else decided(explanation.would),
        "labels": [
            {"id": one.label.id, "adds": list(one.label.add), "added": one.added, "when": _part(one.when)}
            for one in explanation.labels
        ],
        "rules": [
            {
                "id": one.rule.id,
                "effect": one.rule.effect,
                "mode": "shadow" if one.rule.shadow else "enforce",
                "file": one.rule.file,
                "line": one.rule.line,
                "outcome": one.outcome,
                "why": one.why,
                "error": one.error,
                "when": _part(one.when),
                "unless": _part(one.unless),
            }
            for one in explanation.rules
        ],
    }


def decided(decision: Decision) -> dict[str, Any]:
    """A decision as JSON has it, with what its approval rules come to together."""
    return {
        "effect": decision.effect,
        "rules": list(decision.rules),
        "reasons": list(decision.reasons),
        "errors": list(decision.errors),
        "labels": list(decision.labels),
        "policy": decision.policy,
        "wants": [
            {
                "from": list(want.of),
                "need": want.need,
                "expires": want.expires // 1000,
                "rules": list(want.rules),
                "escalate": [
                    {"after": one.after // 1000, "to": list(one.to), "counts": one.counts} for one in want.escalate
                ],
            }
            for want in decision.wants
        ],
        "via": list(decision.via),
        "for_max": None if decision.for_max is None else decision.for_max // 1000,
        "editable": list(decision.editable),
        "passkey": decision.passkey,
    }


def _part(part: Part | None) -> dict[str, Any] | None:
    if part is None:
        return None
    made: dict[str, Any] = {"text": part.text, "column": part.column}
    if part.given is not None:
        made["given"] = dict(part.given)
    if part.error is not None:
        made["error"] = part.error
    else:
        made["value"] = part.value
    made["parts"] = [_part(one) for one in part.parts]
    if part.cut:
        made["cut"] = True
    return made
