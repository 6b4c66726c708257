"""Deadlines stand still while everything is halted: when one is really over, given the spans of all halts. Pure.

Attack: operators halt to look into an incident, and what waited for people runs out meanwhile (or, worse, counts as
still in time by one place's reckoning and as late by another's: all ask here).

Rows keep the deadline that was promised, since links are bound to it; nothing is rewritten when a halt ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from jit_auth.model import Millis, Stop

FAR: Millis = 1 << 52
"""Never, as long as it is halted."""
KEPT: Millis = 60 * 86_400_000
"""How long a span is remembered: longer than anything is open."""

Span = tuple[Millis, Millis]


def until(deadline: Millis, since: Millis, spans: Sequence[Span]) -> Millis:
    """When a deadline that has run since `since` is over: later by what was halted of that time. `spans` in order."""
    for begun, ended in spans:
        if begun >= deadline:
            break
        if ended >= FAR:
            return FAR
        deadline += max(0, ended - max(begun, since))
    return deadline


def spans_of(stops: Sequence[Stop]) -> tuple[Span, ...]:
    """All spans that are known, the present one without an end."""
    halt = next((stop for stop in stops if stop.kind == "all"), None)
    if halt is None:
        return ()
    return (*halt.spans, (halt.at, FAR)) if halt.active else halt.spans
