"""Decide a call: every rule that its action's plan holds is evaluated, and the strictest that matches wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from jit_auth.model import Decision, Millis, Want
from jit_auth.policy.case import Case
from jit_auth.policy.facts import Call
from jit_auth.policy.file import Effect
from jit_auth.policy.values import MOST_STEPS, Bad, Frame, Read, frame

_NO_RULE = "No rule allows this call."
_NO_RULE_ERROR = "No rule allows this call, and a rule that could have was in error."
_ALLOWED = "No rule matches this call; reads of risk low or medium are allowed then."
_EXHAUSTED = f"more than {MOST_STEPS} loop steps in one decision"
_SAYS: Mapping[Effect, str] = {"deny": "denies this", "require_approval": "asks for approval", "allow": "allows this"}
_MOST_KNOWN = 1_000
"""Decisions that a plan keeps ready."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Who must approve, how many of them, for how long an approval holds, and where they may be asked."""

    of: tuple[str, ...]
    need: int
    expires: Millis
    via: tuple[str, ...]


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


class Plan:
    """The rules that fit one action, and what they come to: decisions are made once for each set that matches."""

    __slots__ = ("_known", "_no_match_allows", "_policy", "always", "constant", "rules", "steps")

    def __init__(self, rules: Sequence[Rule], *, no_match_allows: bool, policy: str) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        numbered = [(1 << number, rule.run) for number, rule in enumerate(self.rules)]
        self.always = sum(bit for bit, run in numbered if run is None)
        self.steps = tuple((bit, run) for bit, run in numbered if run is not None)
        self._no_match_allows = no_match_allows
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

    def _lines(self, errors: Mapping[int, str]) -> tuple[str, ...]:
        return tuple(f"{rule.id}: {errors[1 << n]}" for n, rule in enumerate(self.rules) if 1 << n in errors)

    def _decide(self, matched: Sequence[Rule], errors: tuple[str, ...]) -> Decision:
        for effect in _SAYS:
            winners = [rule for rule in matched if rule.effect == effect]
            if winners:
                wants, via = _merged(winners)
                return Decision(
                    effect,
                    tuple(rule.id for rule in winners),
                    tuple(rule.reason or f"Rule {rule.id} {_SAYS[effect]}." for rule in winners),
                    wants,
                    errors,
                    self._policy,
                    via,
                )
        if self._no_match_allows and not errors:
            return Decision("allow", reasons=(_ALLOWED,), policy=self._policy)
        reason = _NO_RULE_ERROR if errors else _NO_RULE
        return Decision("deny", reasons=(reason,), errors=errors, policy=self._policy)


def _merged(rules: Iterable[Rule]) -> tuple[tuple[Want, ...], tuple[str, ...]]:
    """What approval rules ask together: one want for each `from`; the shortest `expires`; the `via` that all allow."""
    asked = [(rule.id, rule.approval) for rule in rules if rule.approval is not None]
    if not asked:
        return (), ("page",)
    expires = min(approval.expires for _, approval in asked)
    wants = []
    for of in sorted({approval.of for _, approval in asked}):
        same = [(name, approval) for name, approval in asked if approval.of == of]
        need = max(approval.need for _, approval in same)
        wants.append(Want(of, need, expires, tuple(name for name, _ in same)))
    via = [channel for channel in asked[0][1].via if all(channel in approval.via for _, approval in asked)]
    return tuple(wants), tuple(via)


class Policy:
    """All rules of all files, indexed by action. A value: decisions depend on the call alone."""

    def __init__(
        self,
        rules: Sequence[Rule],
        reads: Sequence[Read],
        *,
        actions: Mapping[str, bool],
        groups: Mapping[str, frozenset[str]],
        timezone: str,
        hash: str,
        cases: Sequence[Case] = (),
    ) -> None:
        """`actions` are the known ones, each with whether a call that no rule matches is allowed."""
        self.hash = hash
        """`sha256:` over the parsed, normalised content."""
        self.timezone = timezone
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        self.actions = frozenset(actions)
        self.cases = tuple(cases)
        """The files' tests, for `policy.cases`."""
        self._reads = tuple(reads)
        self._groups: dict[str, frozenset[str]] = _by_person(groups)
        by_action: dict[str, list[Rule]] = {name: [] for name in actions}
        for rule in self.rules:
            for name in rule.actions:
                by_action[name].append(rule)
        self._plans: dict[str, Plan] = {}
        self._shadows: dict[str, Plan] = {}
        for name, allows in actions.items():
            enforced = [rule for rule in by_action[name] if not rule.shadow]
            shadow = [rule for rule in by_action[name] if rule.shadow]
            self._plans[name] = Plan(enforced, no_match_allows=allows, policy=hash)
            if shadow:
                self._shadows[name] = Plan(shadow, no_match_allows=False, policy=hash)
        self._unknown = Decision("deny", reasons=(_NO_RULE,), policy=hash)

    def decide(self, call: Call) -> Decision:
        """What the rules say of this call. An unknown action is denied."""
        plan = self._plans.get(call.action.name)
        if plan is None:
            return self._unknown
        if plan.constant is not None:
            return plan.constant
        return plan.decision(*plan.evaluate(frame(call, self._reads)))

    def shadow(self, call: Call) -> tuple[str, ...]:
        """Ids of the rules of mode "shadow" that match: recorded, never enforced."""
        plan = self._shadows.get(call.action.name)
        if plan is None:
            return ()
        return tuple([rule.id for rule in plan.matching(*plan.evaluate(frame(call, self._reads)))])

    def seen(self, call: Call) -> dict[str, bool]:
        """For each rule that fits the call's action, shadow ones included, whether it counts as matched."""
        found: dict[str, bool] = {}
        for plan in self._of(call.action.name):
            matching = plan.matching(*plan.evaluate(frame(call, self._reads)))
            found |= {rule.id: rule in matching for rule in plan.rules}
        return found

    def groups_of(self, person: str) -> frozenset[str]:
        """The groups of a person: those of [groups] and of [people]."""
        return self._groups.get(person, frozenset())

    def reads(self, action: str) -> tuple[str, ...]:
        """The facts and parameters that the rules for this action name, sorted."""
        return tuple(sorted({name for plan in self._of(action) for rule in plan.rules for name in rule.reads}))

    def _of(self, action: str) -> list[Plan]:
        return [plans[action] for plans in (self._plans, self._shadows) if action in plans]


def _by_person(groups: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    people = {person for members in groups.values() for person in members}
    return {person: frozenset(name for name, members in groups.items() if person in members) for person in people}
