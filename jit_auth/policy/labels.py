"""Labels: what rules may ask about a call by name. A label whose condition is in error is *unknown* (THREAT_MODEL 8).

Unknown is not absent: whoever picks parameters that raise the error must not switch off a rule that reads the label,
nor switch on one that reads its absence. So a condition that depends on an unknown label is in error itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jit_auth.policy.compile import Condition
from jit_auth.policy.facts import Call
from jit_auth.policy.values import Bad, Frame, Labels

OPAQUE = "opaque"
"""Added by itself: a parameter that people cannot read (THREAT_MODEL 18)."""
LONGEST = 4096
"""Bytes of a text that people can be expected to read, where its parameter does not say how it is shown."""


@dataclass(frozen=True, slots=True)
class Label:
    """A [[label]], checked and compiled. `run` is None where it is added always."""

    id: str
    add: tuple[str, ...]
    actions: frozenset[str]
    run: Callable[[Frame], bool] | None
    spends: bool
    reads: frozenset[str]
    when: Condition | None = None


def label(labels: Sequence[Label], facts: Frame) -> Labels:
    """The labels of the call that `facts` are of; also put into `facts`, for the rules."""
    known = {OPAQUE} if opaque(facts.call) else set[str]()
    unknown: set[str] = set()
    for one in labels:
        try:
            if one.run is None or one.run(facts):
                known.update(one.add)
        except Bad:
            unknown.update(one.add)
    if facts.steps < 0:
        # Which conditions used up the steps is a matter of order; so none that could have has a value.
        spent = {name for one in labels if one.spends for name in one.add}
        sure = {name for one in labels if not one.spends for name in one.add if name in known}
        unknown |= spent
        known -= spent - sure - {OPAQUE}
    facts.labels = Labels(frozenset(known), frozenset(unknown - known))
    return facts.labels


def opaque(call: Call) -> bool:
    """Whether a parameter is marked as unreadable, or a text in one is longer than anybody reads."""
    params = call.params
    for param in call.action.params:
        if param.name in params:
            value = params[param.name]
            if param.shown == OPAQUE or (param.shown == "text" and _long(value)):
                return True
    return False


def _long(value: Any) -> bool:
    if isinstance(value, str):
        size = len(value)
        return size > LONGEST // 4 and (size > LONGEST or len(value.encode("utf-8", "replace")) > LONGEST)
    if isinstance(value, dict):
        return any(map(_long, value.values()))
    return isinstance(value, list) and any(map(_long, value))


def listed(labels: Labels) -> tuple[str, ...]:
    """As people and answers have them: sorted, those of unknown value with a question mark."""
    return tuple(sorted([*labels.known, *(f"{name}?" for name in labels.unknown)]))
