"""What an attempt's outcome means for its execution: the end, another attempt, or people must be asked."""

from __future__ import annotations

from jit_auth.core import endings
from jit_auth.core.view import Came, End, Step, View, Wait
from jit_auth.model import Millis

RETRY_FOR: Millis = 60_000
"""How long an outage or a lost answer is retried."""
LONGEST_PAUSE: Millis = 30_000
REPEATED_FOR: Millis = 12 * 3_600_000
"""How old a lost write may be and still be repeated, after a process that was away for long. Providers forget an
idempotency key, some after a day; twice this is less, for what is found lost late is counted anew, once."""


def after(view: View, came: Came) -> Step:
    """The step after an attempt, or after its preparation failed. `Wait` means: not executed, again at `until`."""
    execution = view.execution
    match came.kind:
        case "done":
            return End("succeeded", result=came.result)
        case "failed":
            return End("failed", endings.refused_by_provider(came), came.result)
        case "refused":
            return over(view, End("failed", endings.request_refused(came)))
        case "misconfigured":
            return over(view, End("failed", endings.misconfigured(came.message), came.result))
        case "unauthorized":
            if came.fresh and not execution.refreshed and (came.surely_not or view.retry != "never"):
                return Wait(view.now, after=came)
            return over(view, End("failed", endings.refused_by_provider(came), came.result))
        case "insufficient_scope":
            if not execution.rescoped:
                return Wait(view.now, after=came)
            return over(view, End("failed", endings.refused_by_provider(came), came.result))
        case "rate_limited":
            until = view.now + (came.retry_after or 0)
            if until <= _patience(view):
                return Wait(until, after=came)
            return over(view, End("failed", endings.refused_by_provider(came), came.result))
        case "never_left":
            return _again(view, came) or over(view, End("failed", endings.unavailable(came.message)))
        case "lost":
            if view.retry == "never" or forgotten(view):
                return End("unknown", endings.LOST)
            return _again(view, came) or unanswered(view, came.message)


def over(view: View, end: End) -> End:
    """`end`, unless an earlier attempt may have run: then nobody may say that nothing happened."""
    if view.execution.lost and not view.reads:
        return End("unknown", endings.LOST)
    return end


def forgotten(view: View) -> bool:
    """Whether a write that may have run did so too long ago to be repeated."""
    execution = view.execution
    since = execution.trouble_since if execution.lost else execution.deadline
    return not view.reads and since is not None and view.now - since > REPEATED_FOR


def unanswered(view: View, message: str) -> End:
    """A call was sent, its answer is lost, and it is not repeated any more."""
    if view.reads:
        hint = "It was a read: nothing was changed. Try again later."
        return End("failed", endings.unavailable(message or "The provider gave no answer.", hint))
    return End("unknown", endings.LOST)


def _again(view: View, came: Came) -> Wait | None:
    """The next try, 1 s, 2 s, 4 s ... at most 30 s from now; None where patience is at its end."""
    until = view.now + min(LONGEST_PAUSE, 1000 << min(view.execution.tries, 5))
    limit = _since(view) + RETRY_FOR if came.kind == "lost" or view.execution.lost else _patience(view)
    return Wait(until, after=came) if until <= limit else None


def _since(view: View) -> Millis:
    since = view.execution.trouble_since
    return view.now if since is None else since


def _patience(view: View) -> Millis:
    """Until when an outage is retried: 60 s, or, where people approved, as long as their approval may be used."""
    if view.decision.wants and view.execution.met is not None:
        return min(view.expires, view.late(view.execution.met))
    return min(view.expires, _since(view) + RETRY_FOR)
