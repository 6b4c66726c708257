"""What approval rules ask, each alone and several together: the strictest of each term holds (THREAT_MODEL 34)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jit_auth.model import Escalate, Millis, Want

MOST_USES = 10
"""Of one "approve for a while", where a rule does not say."""


@dataclass(frozen=True, slots=True)
class Approval:
    """Who must approve, how many of them, for how long an approval holds, where they may be asked, and what else they
    may do. `for_max` None: no "approve for a while"; `remind` None: nobody is reminded."""

    of: tuple[str, ...]
    need: int
    expires: Millis
    via: tuple[str, ...]
    remind: Millis | None = None
    escalate: Escalate | None = None
    for_max: Millis | None = None
    max_uses: int = MOST_USES
    editable: tuple[str, ...] = ()
    passkey: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What several approval rules come to; the fields are those of Decision."""

    wants: tuple[Want, ...] = ()
    via: tuple[str, ...] = ("page",)
    remind: Millis | None = None
    for_max: Millis | None = None
    max_uses: int = MOST_USES
    editable: tuple[str, ...] = ()
    passkey: bool = False


def merge(asked: Sequence[tuple[str, Approval]], *, critical: bool) -> Terms:
    """The terms of rules (id, approval): one want for each `from`, with the highest `need` and all escalations; the
    shortest times and fewest uses; only what every rule permits (`via`, `editable`, `for_max`: none at risk critical).
    """
    if not asked:
        return Terms()
    approvals = [approval for _, approval in asked]
    expires = min(approval.expires for approval in approvals)
    wants = []
    for of in sorted({approval.of for approval in approvals}):
        same = [(name, approval) for name, approval in asked if approval.of == of]
        wants.append(
            Want(
                of,
                max(approval.need for _, approval in same),
                expires,
                tuple(name for name, _ in same),
                escalations([approval.escalate for _, approval in same]),
            )
        )
    spans = [approval.for_max for approval in approvals if approval.for_max is not None]
    return Terms(
        wants=tuple(wants),
        via=tuple(name for name in approvals[0].via if all(name in approval.via for approval in approvals)),
        remind=min((one.remind for one in approvals if one.remind is not None), default=None),
        for_max=min(spans) if len(spans) == len(approvals) and not critical else None,
        max_uses=min(approval.max_uses for approval in approvals),
        editable=tuple(name for name in approvals[0].editable if all(name in one.editable for one in approvals)),
        passkey=any(approval.passkey for approval in approvals),
    )


def escalations(given: Sequence[Escalate | None]) -> tuple[Escalate, ...]:
    """All escalations of rules with one `from`, the earliest first.

    The votes of those who are asked count only from when every one of the rules lets them count: a rule must not
    loosen another one by asking the same people (THREAT_MODEL 34).
    """
    found = {
        Escalate(one.after, one.to, one.counts and all(other is not None and _lets(other, one) for other in given))
        for one in given
        if one is not None
    }
    return tuple(sorted(found, key=lambda one: (one.after, one.to, one.counts)))


def _lets(other: Escalate, one: Escalate) -> bool:
    return other.counts and other.after <= one.after and set(other.to) >= set(one.to)
