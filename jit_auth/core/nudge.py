"""While a round of approval is open: when those who were asked are reminded, warned, and when more people are asked."""

from __future__ import annotations

from jit_auth.core.view import Nudge
from jit_auth.model import Ask, Escalate, Millis

WARNED_BEFORE: Millis = 900_000
"""How long before its end a round is said to run out, at most; else a quarter of its time."""


def nudge(ask: Ask, remind: Millis | None, now: Millis) -> Nudge | None:
    """What is due of an open round now; reminders that were missed count as one."""
    if now >= ask.expires:
        return None
    reminded = (now - ask.created) // remind if remind else 0
    warned = ask.warned or _warn_at(ask) <= now
    more = tuple(step for step in _pending(ask) if ask.created + step.after <= now)
    if reminded <= ask.reminded and warned == ask.warned and not more:
        return None
    return Nudge(ask, max(reminded, ask.reminded), warned, more)


def next_nudge(ask: Ask, remind: Millis | None) -> Millis | None:
    """When `nudge` has something again; None: not before the round ends."""
    times = [ask.created + step.after for step in _pending(ask)]
    if remind:
        times.append(ask.created + remind * (ask.reminded + 1))
    if not ask.warned:
        times.append(_warn_at(ask))
    times = [at for at in times if at < ask.expires]
    return min(times, default=None)


def _warn_at(ask: Ask) -> Millis:
    return ask.expires - min(WARNED_BEFORE, (ask.expires - ask.created) // 4)


def _pending(ask: Ask) -> list[Escalate]:
    known = dict.fromkeys(step for want in ask.wants for step in want.escalate)
    return [step for step in known if step not in ask.escalated]
