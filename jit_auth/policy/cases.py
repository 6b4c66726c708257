"""Run the [[test]]s of a policy, and tell which rules they have seen matching and not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jit_auth.model import Decision
from jit_auth.policy.case import Case, approvers
from jit_auth.policy.decide import Policy


@dataclass(frozen=True, slots=True)
class Ran:
    """One test and what came of it: `wrong` has a sentence for each expectation that was not met."""

    case: Case
    decision: Decision
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cover:
    """Whether a rule was seen matching, and seen not matching; `always`: it cannot but match."""

    rule: str
    file: str
    line: int
    matched: bool
    unmatched: bool
    always: bool
    let_off: bool = False
    """It need not be covered: whoever runs the tests says so."""

    @property
    def whole(self) -> bool:
        """Seen both ways."""
        return self.matched and (self.unmatched or self.always)


@dataclass(frozen=True, slots=True)
class Report:
    """All tests and all rules, each in the order of their files."""

    ran: tuple[Ran, ...]
    cover: tuple[Cover, ...]

    @property
    def failed(self) -> int:
        """Tests that came out otherwise than expected."""
        return sum(1 for ran in self.ran if ran.wrong)

    @property
    def coverage(self) -> float:
        """Percent of the rules that were seen both matching and not; 100 where there are no rules. Rules that are let
        off count for nothing."""
        counted = [one.whole for one in self.cover if not one.let_off]
        return 100.0 * sum(counted) / len(counted) if counted else 100.0


def run(policy: Policy, let_off: Collection[str] = ()) -> Report:
    """Run every test: the clock is the test's own, nothing is read but the call. `let_off`: rules that need no test."""
    seen: dict[str, set[bool]] = {rule.id: set() for rule in policy.rules}
    ran: list[Ran] = []
    for case in policy.cases:
        decision = policy.decide(case.call)
        ran.append(Ran(case, decision, tuple(_wrong(case, decision))))
        found = policy.seen(case.call)
        for rule in policy.rules:
            if rule.id in found:
                seen[rule.id].add(found[rule.id])
            elif rule.run is None:
                # Without a condition a rule is seen not matching where its `match` does not fit.
                seen[rule.id].add(False)
    cover = tuple(
        Cover(
            rule=rule.id,
            file=rule.file,
            line=rule.line,
            matched=True in seen[rule.id],
            unmatched=False in seen[rule.id],
            always=rule.run is None and rule.actions >= policy.actions,
            let_off=rule.id in let_off,
        )
        for rule in sorted(policy.rules, key=lambda rule: (rule.file, rule.line))
    )
    return Report(tuple(ran), cover)


def _wrong(case: Case, decision: Decision) -> Iterable[str]:
    expect = case.expect
    if expect.effect is not None and expect.effect != decision.effect:
        yield _unlike("effect", expect.effect, decision.effect)
    if expect.rules is not None and set(expect.rules) != set(decision.rules):
        yield _unlike("rules", sorted(set(expect.rules)), list(decision.rules))
    if expect.need is not None:
        wanted = {",".join(approvers(of)): need for of, need in expect.need.items()}
        got = needs(decision)
        if wanted != got:
            yield _unlike("need", wanted, got)
    if expect.labels is not None and set(expect.labels) != set(decision.labels):
        yield _unlike("labels", sorted(set(expect.labels)), list(decision.labels))
    if expect.errors is not None:
        wanted_errors = {error.partition(":")[0] for error in expect.errors}
        got_errors = {error.partition(":")[0] for error in decision.errors}
        if wanted_errors != got_errors:
            yield _unlike("errors", sorted(wanted_errors), list(decision.errors))


def needs(decision: Decision) -> Mapping[str, int]:
    """What a decision asks, as `expect.need` writes it."""
    return {",".join(want.of): want.need for want in decision.wants}


def _unlike(what: str, wanted: Any, got: Any) -> str:
    return f"{what}: expected {wanted}, got {got}"
