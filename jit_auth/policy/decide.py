"""Decide a call: every rule that its action's plan holds is evaluated, and the strictest that matches wins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from jit_auth.errors import Fault
from jit_auth.model import Action, Decision
from jit_auth.policy.case import Case
from jit_auth.policy.compile import Condition
from jit_auth.policy.facts import Call
from jit_auth.policy.file import Effect
from jit_auth.policy.labels import Label, label, listed, opaque
from jit_auth.policy.merge import Approval, merge
from jit_auth.policy.values import MOST_STEPS, Bad, Frame, Read, frame

_NO_RULE = "No rule allows this call."
_NO_RULE_ERROR = "No rule allows this call, and a rule that could have was in error."
_ALLOWED = "No rule matches this call; reads of risk low or medium are allowed then."
_EXHAUSTED = f"more than {MOST_STEPS} loop steps in one decision"
_SAYS: Mapping[Effect, str] = {"deny": "denies this", "require_approval": "asks for approval", "allow": "allows this"}
_MOST_KNOWN = 1_000
"""Decisions that a plan keeps ready."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, checked and compiled. `run` is None where it matches always; `actions` are those that it covers."""

    id: str
    effect: Effect
    reason: str
    actions: frozenset[str]
    run: Callable[[Frame], bool] | None
    spends: bool
    reads: frozenset[str]
    shadow: bool
    approval: Approval | None
    file: str
    line: int
    when: Condition | None = None
    unless: Condition | None = None


class Plan:
    """The rules that fit one action, and what they come to: decisions are made once for each set that matches."""

    __slots__ = ("_critical", "_known", "_no_match_allows", "_policy", "always", "constant", "rules", "steps")

    def __init__(self, rules: Sequence[Rule], *, no_match_allows: bool, critical: bool, policy: str) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        numbered = [(1 << number, rule.run) for number, rule in enumerate(self.rules)]
        self.always = sum(bit for bit, run in numbered if run is None)
        self.steps = tuple((bit, run) for bit, run in numbered if run is not None)
        self._no_match_allows = no_match_allows
        self._critical = critical
        self._policy = policy
        self._known: dict[int, Decision] = {}
        self.constant: Decision | None = None if self.steps else self.decision(self.always)

    def evaluate(self, facts: Frame) -> tuple[int, dict[int, str] | None]:
        """The bits of the rules that match, and those of the rules in error with what went wrong (None: none is)."""
        matched = self.always
        errors: dict[int, str] | None = None
        for bit, run in self.steps:
            try:
                if run(facts):
                    matched |= bit
            except Bad as bad:
                if errors is None:
                    errors = {}
                errors[bit] = str(bad)
        if facts.steps < 0:
            # Which rules used up the steps is a matter of order; so none that could have has a value.
            errors = errors or {}
            for number, rule in enumerate(self.rules):
                if rule.spends:
                    matched &= ~(1 << number)
                    errors.setdefault(1 << number, _EXHAUSTED)
        return matched, errors

    def decision(self, matched: int, errors: Mapping[int, str] | None = None) -> Decision:
        """What these rules come to."""
        if errors:
            return self._decide(self.matching(matched, errors), self._lines(errors))
        known = self._known.get(matched)
        if known is None:
            known = self._decide(self.matching(matched), ())
            if len(self._known) < _MOST_KNOWN:
                self._known[matched] = known
        return known

    def matching(self, matched: int, errors: Mapping[int, str] | None = None) -> list[Rule]:
        """The rules that count as matched: of those in error all but the ones that allow (THREAT_MODEL 8)."""
        wrong = errors or {}
        return [
            rule
            for number, rule in enumerate(self.rules)
            if (rule.effect != "allow" if 1 << number in wrong else matched >> number & 1)
        ]

    def joined(self, other: Plan) -> Plan:
        """A plan with the rules of both: what shadow rules would come to beside the others."""
        return Plan(
            [*self.rules, *other.rules],
            no_match_allows=self._no_match_allows,
            critical=self._critical,
            policy=self._policy,
        )

    def _lines(self, errors: Mapping[int, str]) -> tuple[str, ...]:
        return tuple(f"{rule.id}: {errors[1 << n]}" for n, rule in enumerate(self.rules) if 1 << n in errors)

    def _decide(self, matched: Sequence[Rule], errors: tuple[str, ...]) -> Decision:
        for effect in _SAYS:
            winners = [rule for rule in matched if rule.effect == effect]
            if winners:
                asked = [(rule.id, rule.approval) for rule in winners if rule.approval is not None]
                terms = merge(asked, critical=self._critical)
                return Decision(
                    effect,
                    tuple(rule.id for rule in winners),
                    tuple(rule.reason or f"Rule {rule.id} {_SAYS[effect]}." for rule in winners),
                    terms.wants,
                    errors,
                    self._policy,
                    terms.via,
                    remind=terms.remind,
                    for_max=terms.for_max,
                    max_uses=terms.max_uses,
                    editable=terms.editable,
                    passkey=terms.passkey,
                )
        if self._no_match_allows and not errors:
            return Decision("allow", reasons=(_ALLOWED,), policy=self._policy)
        reason = _NO_RULE_ERROR if errors else _NO_RULE
        return Decision("deny", reasons=(reason,), errors=errors, policy=self._policy)


class Policy:
    """All rules of all files, indexed by action. A value: decisions depend on the call alone."""

    def __init__(
        self,
        rules: Sequence[Rule],
        reads: Sequence[Read],
        *,
        actions: Mapping[str, Action],
        no_match_allows: bool,
        groups: Mapping[str, frozenset[str]],
        timezone: str,
        hash: str,
        labels: Sequence[Label] = (),
        unknown_to: tuple[str, ...] = (),
        contents: Mapping[str, Any] | None = None,
        cases: Sequence[Case] = (),
        doubts: Sequence[Fault] = (),
    ) -> None:
        """`actions` are the known ones; `contents` what each rule and label says, by id, normalised."""
        self.hash = hash
        """`sha256:` over the parsed, normalised content."""
        self.timezone = timezone
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        self.actions = frozenset(actions)
        self.cases = tuple(cases)
        """The files' tests, for `policy.cases`."""
        self.doubts = tuple(doubts)
        """What loads and may not be meant (`policy.lint`): warnings on loopback, faults beyond."""
        self._reads = tuple(reads)
        self.unknown_to = unknown_to
        """Who is asked what became of a call of unknown outcome: names as in `from`; empty: operators alone."""
        self._members = dict(groups)
        self._groups: dict[str, frozenset[str]] = _by_person(groups)
        self._labels = {name: tuple(one for one in labels if name in one.actions) for name in actions}
        by_action: dict[str, list[Rule]] = {name: [] for name in actions}
        for rule in self.rules:
            for name in rule.actions:
                by_action[name].append(rule)
        self._plans: dict[str, Plan] = {}
        self._shadows: dict[str, Plan] = {}
        self._hashes: dict[str, str] = {}
        common = {"groups": {name: sorted(members) for name, members in groups.items()}, "allows": no_match_allows}
        for name, action in actions.items():
            enforced = [rule for rule in by_action[name] if not rule.shadow]
            shadow = [rule for rule in by_action[name] if rule.shadow]
            critical, allows = action.risk == "critical", no_match_allows and _harmless(action)
            self._plans[name] = Plan(enforced, no_match_allows=allows, critical=critical, policy=hash)
            if shadow:
                self._shadows[name] = Plan(shadow, no_match_allows=False, critical=critical, policy=hash)
            said = [(contents or {}).get(key) for key in sorted(
                [f"rule {rule.id}" for rule in enforced] + [f"label {one.id}" for one in self._labels[name]]
            )]  # fmt: skip
            text = msgspec.json.encode([common, said], order="sorted")
            self._hashes[name] = "sha256:" + hashlib.sha256(text).hexdigest()
        self._unknown = Decision("deny", reasons=(_NO_RULE,), policy=hash)

    def decide(self, call: Call) -> Decision:
        """What the rules say of this call. An unknown action is denied."""
        plan = self._plans.get(call.action.name)
        if plan is None:
            return self._unknown
        labels = self._labels[call.action.name]
        if not labels and not opaque(call):  # most calls
            return plan.constant or plan.decision(*plan.evaluate(frame(call, self._reads)))
        facts = frame(call, self._reads)
        added = label(labels, facts)
        return replace(plan.decision(*plan.evaluate(facts)), labels=listed(added))

    def shadow(self, call: Call) -> tuple[str, ...]:
        """Ids of the rules of mode "shadow" that match: recorded, never enforced."""
        plan = self._shadows.get(call.action.name)
        if plan is None:
            return ()
        return tuple([rule.id for rule in plan.matching(*plan.evaluate(self.facts(call)))])

    def seen(self, call: Call) -> dict[str, bool]:
        """For each rule that fits the call's action, shadow ones included, whether it counts as matched."""
        found: dict[str, bool] = {}
        for plan in self._of(call.action.name):
            matching = plan.matching(*plan.evaluate(self.facts(call)))
            found |= {rule.id: rule in matching for rule in plan.rules}
        return found

    def groups_of(self, person: str) -> frozenset[str]:
        """The groups of a person: those of [groups] and of [people]."""
        return self._groups.get(person, frozenset())

    def reads(self, action: str) -> tuple[str, ...]:
        """The facts and parameters that the rules for this action name, sorted."""
        parts: list[Label | Rule] = [*self._labels.get(action, ())]
        parts += [rule for plan in self._of(action) for rule in plan.rules]
        return tuple(sorted({name for part in parts for name in part.reads}))

    def members(self, group: str) -> frozenset[str]:
        """The people of a group; none of one that is not known."""
        return self._members.get(group, frozenset())

    def hash_of(self, action: str) -> str:
        """`sha256:` over everything in the files that can decide this action: its rules and labels, and all groups."""
        return self._hashes[action]

    def facts(self, call: Call) -> Frame:
        """The frame in which rules are evaluated for this call: its labels are there, all else is read when asked."""
        facts = frame(call, self._reads)
        label(self._labels[call.action.name], facts)
        return facts

    def plan(self, action: str) -> tuple[Plan, Plan | None, Sequence[Label]] | None:
        """What decides an action: its rules, its shadow rules if it has any, its labels. None of an unknown action."""
        if action not in self._plans:
            return None
        return self._plans[action], self._shadows.get(action), self._labels[action]

    def _of(self, action: str) -> list[Plan]:
        return [plans[action] for plans in (self._plans, self._shadows) if action in plans]


def _harmless(action: Action) -> bool:
    """Whether `no_match = "allow"` reaches it."""
    return action.effect == "read" and action.risk in ("low", "medium")


def _by_person(groups: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    people = {person for members in groups.values() for person in members}
    return {person: frozenset(name for name, members in groups.items() if person in members) for person in people}
