"""What happens next with an execution: the one place where its state is judged.

`next_step` is a pure function of a `View`; the engine loads the view, performs the one step it is told by
compare-and-set, and asks again. Nobody else branches on an execution's state.
"""

from __future__ import annotations

from collections.abc import Mapping

from jit_auth.core import endings
from jit_auth.core.nudge import next_nudge, nudge
from jit_auth.core.outcome import after, forgotten, over, unanswered
from jit_auth.core.quorum import enough
from jit_auth.core.scopes import Lack
from jit_auth.core.standstill import until
from jit_auth.core.view import Asking, Came, End, Release, Send, Step, View, Wait
from jit_auth.model import OPEN, Ask, Want

ALLOWED: Mapping[str, frozenset[str]] = {
    "new": frozenset({"paused", "released", "executing", "denied", "failed"}),
    "paused": frozenset({"paused", "released", "executing", "denied", "expired", "cancelled", "failed"}),
    "released": frozenset({"released", "paused", "executing", "denied", "expired", "cancelled"}),
    "executing": frozenset({"executing", "released", "paused", "succeeded", "failed", "denied", "expired", "unknown"}),
    "unknown": frozenset({"succeeded", "failed"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "denied": frozenset(),
    "expired": frozenset(),
    "cancelled": frozenset(),
}
"""Every transition there is; each unit that changes a state is checked against it, and the docs are drawn from it."""

_GONE = Came("lost", message="The process that made the call is gone; its answer is lost.")


def next_step(view: View) -> Step:
    """The one step that an execution takes next. Pure; never raises."""
    execution = view.execution
    if execution.state not in OPEN:
        return Wait(None)
    if view.came is not None:
        return after(view, view.came)
    if view.held:
        return Wait(execution.deadline)
    if execution.claimed:
        # (Until everybody goes on again after a halt, it is looked at again and again: its row stays as it is.)
        return Wait(execution.due) if view.now < view.claim_ends else End("unknown", endings.UNREPORTED)
    if execution.intent:
        return after(view, _GONE)
    ended = _ended(view)
    if ended is not None:
        return ended
    step = _owed(view)
    if isinstance(step, Asking) and step.round and not execution.version and _cooling(view):
        return End("denied", endings.RECENTLY_DENIED)
    return _nudged(view, step) if isinstance(step, Wait) and not step.settled else step


def _cooling(view: View) -> bool:
    """Whether a person denied just this a moment ago: nobody is worn down by repeats (THREAT_MODEL 22)."""
    tally = view.crowd.tally
    return tally is not None and tally.denied_at is not None and view.now < tally.denied_at + view.cooldown


def _nudged(view: View, step: Wait) -> Step:
    """Waiting for people goes on, but for what is to be said meanwhile."""
    ask = next((ask for ask in view.asks if ask.kind == "approval" and ask.state == "open"), None)
    if ask is None:
        return step
    due = nudge(ask, view.decision.remind, view.now)
    if due is not None:
        return due
    times = [at for at in (step.until, next_nudge(ask, view.decision.remind)) if at is not None]
    return Wait(min(times, default=None))


def _ended(view: View) -> Step | None:
    """Whether it may not run any more: stopped, out of time, denied by rules or people."""
    execution = view.execution
    if view.barred is not None:
        return over(view, End("denied", view.barred))
    if view.now >= view.expires:
        mine = execution.state == "released"
        return over(view, End("expired", endings.UNCLAIMED if mine else endings.EXPIRED))
    if execution.state == "released" and not view.by_agent:
        return End("denied", endings.CHANGED)
    if view.decision.effect == "deny":
        return over(view, End("denied", endings.denied_by_policy(view.decision)))
    no = _no_approver(view) or _answered_no(view)
    if no is not None:
        return over(view, no)
    return Wait(execution.due) if view.halted else None


def _no_approver(view: View) -> End | None:
    """The rules want more approvers than there are: nobody could ever say yes."""
    wants = view.decision.wants
    who = view.eligible if view.reached is None else view.reached
    if not wants or enough(wants, who, frozenset().union(*who)):
        return None
    nobody = view.execution.user is None and any("requester" in want.of for want in wants)
    return End("denied", endings.no_approver(nobody=nobody))


def _answered_no(view: View) -> End | None:
    """Somebody said no, or nobody said anything in time."""
    for ask in view.asks:
        if ask.state == "denied" and ask.kind == "consent":
            return End("denied", endings.CONSENT_REFUSED)
        if ask.state == "denied":
            vote = next((v for v in view.votes if v.ask == ask.id and v.verdict == "deny"), None)
            return End("denied", endings.denied_by(vote))
        if ask.state == "open" and view.now >= view.ends(ask):
            return End("expired", endings.EXPIRED)
    return None


def _owed(view: View) -> Step:
    """What people still owe; nothing: send."""
    open_asks = [ask for ask in view.asks if ask.state == "open"]
    kept = [ask for ask in open_asks if ask.kind == "consent" and any(_asks_for(ask, lack) for lack in view.lacks)]
    consents = tuple(lack for lack in view.lacks if not any(_asks_for(ask, lack) for ask in kept))
    old = [ask for ask in open_asks if ask.kind == "consent" and ask not in kept]

    current = next((ask for ask in view.asks if ask.kind == "approval" and ask.state in ("open", "met")), None)
    met, why = _approval(view, current)
    if current is not None and (why is not None or not view.decision.wants) and current.state == "open":
        old.append(current)
    if current is not None and why is not None and current.state == "met":
        old.append(current)
    approval = view.decision.wants if why is not None else ()
    if consents or approval:
        if view.execution.lost:
            return unanswered(view, "People would have to be asked before it may be repeated.")
        return Asking(consents, approval, tuple(old), why or "")
    if kept or not met:
        waiting = [view.ends(ask) for ask in open_asks if ask not in old]
        return Wait(min([view.expires, *waiting]), tuple(old))
    if met and current is not None and current.state == "open" and current not in old:
        old.append(current)
    return _send(view, current, tuple(old))


def _approval(view: View, current: Ask | None) -> tuple[bool, str | None]:
    """Whether approvals are met, and, where a (new) round must be asked, why (`""`: it is the first)."""
    wants = view.decision.wants
    if not wants:
        return True, None
    if view.digest is None:
        return False, None
    if current is None:
        if view.standing is not None:
            return True, None
        edited = bool(view.execution.edited_by) and any(ask.kind == "approval" for ask in view.asks)
        return False, "An approver changed what will be sent." if edited else ""
    if current.digest != view.digest:
        return False, "What would be sent has changed since it was asked."
    votes = {v.person for v in view.votes if v.ask == current.id and v.verdict == "approve"}
    met = enough(wants, view.eligible, votes)
    if current.state == "open":
        if met or _shape(current.wants) == _shape(wants):
            return met, None
        return False, "The rules ask for other approvals than before."
    if not met:
        return False, "The votes that were given no longer meet the rules."
    if view.lacks:
        # Asked again only when all else is met: until then nobody is bothered twice.
        return True, None
    late = view.execution.met is not None and view.now >= view.late(view.execution.met)
    if view.now >= _runs_out(view, current, wants) or (late and view.execution.trouble_since is None):
        return False, "The approval ran out before the call could be made."
    return True, None


def _runs_out(view: View, current: Ask, wants: tuple[Want, ...]) -> int:
    """When a round's votes are too old: by what was promised then, or by the present rules, if they are stricter."""
    promised = min(current.expires, current.created + min(want.expires for want in wants))
    return until(promised, current.created, view.spans)


def _send(view: View, current: Ask | None, settled: tuple[Ask, ...]) -> Step:
    execution = view.execution
    if execution.lost and forgotten(view):
        return unanswered(view, "")
    # (While it is being prepared `due` is its deadline, and no pause.)
    pausing = execution.trouble_since is not None and execution.deadline is None
    if pausing and execution.due is not None and execution.due > view.now:
        return Wait(execution.due, settled)
    not_after = view.expires
    if current is not None and view.decision.wants:
        met = view.now if execution.met is None else execution.met
        not_after = min(not_after, _runs_out(view, current, view.decision.wants), view.late(met))
    spends = view.standing if current is None and view.decision.wants else None
    if spends is not None:
        not_after = min(not_after, spends.until)
    if execution.trouble_since is not None and view.now >= not_after:
        return over(view, End("failed", endings.unavailable("The approval ran out while the provider was away.")))
    if view.by_agent:
        return _turn(view, Send(not_after, settled, spends))
    return Send(not_after, settled, spends)


def _turn(view: View, send: Send) -> Step:
    """A function of the agent's own: released to it, until it claims it."""
    execution = view.execution
    if execution.lost:
        return unanswered(view, "The action has changed: it is no call of ours any more.")
    if view.claiming:
        return send
    if execution.state == "released" and execution.digest == view.digest:
        return Wait(send.not_after, send.settled)
    return Release(send.not_after, send.settled)


def _asks_for(ask: Ask, lack: Lack) -> bool:
    have = (ask.provider, frozenset(ask.scopes), ask.new_agent)
    return have == (lack.provider, frozenset(lack.scopes), lack.new_agent)


def _shape(wants: tuple[Want, ...]) -> frozenset[tuple[frozenset[str], int]]:
    return frozenset((frozenset(want.of), want.need) for want in wants)
