"""Sentences of cards and pages: what became of a call, whom it is for, who may decide, and what is unusual about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from jit_auth.core import endings
from jit_auth.core.ids import ERASED
from jit_auth.core.text import Part, hidden, summary_parts, visible
from jit_auth.model import Action, Ask, AskState, Effect, Escalate, Execution, Millis, State, Want

CONSEQUENCE: Mapping[Effect, str] = {
    "read": "Reads only: nothing changes at {provider}.",
    "create": "Creates something new at {provider}. It cannot be taken back from here.",
    "update": "Changes something that exists at {provider}. What it was before is not kept here.",
    "delete": "Deletes something at {provider}. It may be gone for good.",
}

OUTCOME: Mapping[State, str] = {
    "paused": "Nothing is done yet. The call goes on by itself as soon as nothing is missing.",
    "released": "Nothing is done yet. It is the agent's turn to run it.",
    "executing": "The call is on its way to {provider}.",
    "succeeded": "Sent. {provider} answered {status}.",
    "failed": "The call failed. {trouble}",
    "denied": "Denied. Nothing is sent. {trouble}",
    "expired": "Time ran out before everybody had decided. Nothing was sent.",
    "cancelled": "Withdrawn. Nothing is sent.",
    "unknown": "Sent, but the answer was lost: nobody knows yet whether it happened.",
}

_GONE: Mapping[State, str] = {
    "succeeded": "It happened. What {provider} answered is removed.",
    "failed": "The call failed. Why is removed.",
    "denied": "Denied. Nothing was sent.",
}
"""Where what was told is removed after its time, or erased."""

BY_AGENT = "The agent itself: it is a function of the agent's own. Nothing is sent from here."
"""Who runs such an action."""
_OF_AGENT: Mapping[State, str] = {
    "executing": "The agent has begun to run it, and has not said yet what came of it.",
    "succeeded": "Done, says the agent.",
    "failed": "It failed, says the agent.",
    "unknown": "The agent began to run it and said no more: nobody knows yet whether it happened.",
}
CONNECTION: Mapping[AskState, str] = {
    "open": "Nothing is connected yet.",
    "met": "Connected. Nothing is done with it before the agent asks for something.",
    "denied": "Not allowed. Nothing was connected.",
    "expired": "This was not answered in time. Nothing was connected.",
    "superseded": "This was asked again in another form.",
    "closed": "This is over. Nothing was connected.",
}

SILENCE = {
    "decide": "If nobody decides by then, nothing is sent and the call expires; that does not count as a denial.",
    "consent": "If you do not answer by then, nothing is connected and the call expires.",
    "connection": "If you do not answer by then, nothing is connected.",
    "resolve": "Until somebody says what became of it, the call stays as it is. Nothing is sent again.",
    "notice": "Nothing is asked of you.",
    "gather": "What nobody decides runs out by itself, and is not sent.",
}

MASK = "\u27e8masked: open the page to read it\u27e9"
LEFT_OUT = "\u27e8left out here: open the page to read it\u27e9"
OPAQUE = "opaque"
"""The label of a call that holds what people cannot read (THREAT_MODEL 18)."""

_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1000, "second"))
_OFFERED: tuple[Millis, ...] = (900_000, 3_600_000)


def line(action: Action, execution: Execution) -> tuple[Part, ...]:
    """The call in one line; what it is of where what was asked for is removed."""
    if "params" in execution.gone:
        return (Part(f"{visible(action.title, one_line=True)} (what was asked for is removed)"),)
    return summary_parts(action.summary, execution.params, sensitive=hidden(action))


def removed(execution: Execution) -> str:
    """Why there is nothing to read of what was asked for, where it is removed; "" where it is there."""
    if "params" not in execution.gone:
        return ""
    if execution.user is not None and execution.user.startswith(ERASED):
        return "What was asked for is removed: the person for whom the agent acted was erased here, with all of it."
    ended = moment(execution.updated)
    return f"What was asked for, and said about it, is removed: its time of keeping is over. The call ended on {ended}."


def outcome(execution: Execution, provider_name: str) -> str:
    """What became of the call, in one or two sentences."""
    if _agents_word(execution):
        return _OF_AGENT[execution.state]
    if "result" in execution.gone:
        return _GONE.get(execution.state, OUTCOME[execution.state]).format(
            provider=visible(provider_name, one_line=True), trouble=""
        ).strip()  # fmt: skip
    if execution.state == "succeeded" and execution.result is None:
        return "It happened, as a person found out. The answer itself was lost."
    trouble = visible(execution.error.message) if execution.error else ""
    status = str(execution.result.status) if execution.result else "without a status"
    provider = visible(provider_name, one_line=True)
    return OUTCOME[execution.state].format(provider=provider, status=status, trouble=trouble).strip()


def _agents_word(execution: Execution) -> bool:
    """Whether what is known of it is what the agent itself did or said."""
    said = execution.result is not None and execution.result.status is None
    return execution.claimed or execution.error == endings.UNREPORTED or said


def connection(ask: Ask) -> str:
    """What became of a consent that was asked for before any call."""
    return CONNECTION[ask.state]


def moment(at: Millis) -> str:
    """A time for people: `25 Nov 2026, 10:00:00 UTC`."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%d %b %Y, %H:%M:%S UTC")


def span(duration: Millis) -> str:
    """A duration for people, in its largest unit of which there are two: `43 minutes`; never negative."""
    for size, unit in _UNITS[:3]:
        if duration >= 2 * size or (unit == "minute" and duration >= size):
            return _count(duration // size, unit)
    return _count(max(0, duration // 1000), "second")


def exactly(duration: Millis) -> str:
    """A duration that something is given for, never rounded: `1 hour`, `90 minutes`."""
    size, unit = next(((size, unit) for size, unit in _UNITS if duration % size == 0), (1, "millisecond"))
    return _count(duration // size, unit)


def short(duration: Millis) -> str:
    """A duration as it is written in configuration and posts: `90s`, `15m`, `4h`, `1d`."""
    for size, unit in _UNITS:
        if duration % size == 0:
            return f"{duration // size}{unit[0]}"
    raise ValueError("durations are whole seconds")


def offered(longest: Millis | None) -> tuple[Millis, ...]:
    """The durations that "approve for a while" is offered for, up to the longest that the rules allow."""
    return () if not longest else (*(some for some in _OFFERED if some < longest), longest)


def account(execution: Execution, *, connects: bool, shared: bool) -> str:
    """The account that the call goes to. `shared`: no user's, but one that the deployment has for all."""
    if shared:
        return "No user's: it is done with a credential that this service holds for everybody."
    if not connects:
        return "None: this provider knows no accounts of users."
    if execution.account is None:
        user = visible(execution.user or "", one_line=True)
        return f"The account that {user} connects. None is connected yet."
    name = visible(execution.account_name or "", one_line=True)
    number = visible(execution.account, one_line=True)
    return f"{name} (id {number})" if name and name != number else number


def user(execution: Execution) -> str:
    """For whom the agent acts, and how that is known."""
    if execution.user is None:
        return "nobody in particular"
    if execution.user.startswith(ERASED):
        return "a person who was erased here"
    proof = "verified" if execution.verified else f"claimed by {visible(execution.agent, one_line=True)}"
    return f"{visible(execution.user, one_line=True)} ({proof})"


def want(wanted: Want, ask: Ask, execution: Execution) -> str:
    """One requirement: how many approvals, and whose. Escalations that count are named with it."""
    wider = [name for step in ask.escalated if step.counts and step in wanted.escalate for name in step.to]
    people = " or ".join(_named(name, execution) for name in dict.fromkeys((*wanted.of, *wider)))
    if ask.kind == "outcome":
        return f"The word of {people}"
    return f"{wanted.need} approval{'s' if wanted.need > 1 else ''} of {people}"


def escalation(step: Escalate, execution: Execution) -> str:
    """Who was asked as well because nobody had decided for a while."""
    people = ", ".join(_named(name, execution) for name in step.to)
    counts = "may decide too" if step.counts else "were told; they do not decide"
    return f"After {exactly(step.after)} without a decision, more people were asked: {people}. They {counts}."


def unusual(execution: Execution, *, known: bool, asked: int, denied: int) -> tuple[str, ...]:
    """What is unusual about a call, in sentences. `known`: an earlier one of this agent and action is on record."""
    found = []
    if asked:
        before = f"Exactly this was asked {_times(asked)} before"
        found.append(f"{before}, and denied {_times(denied)}." if denied else f"{before}.")
    if not known:
        found.append(f"No earlier call of this kind by {visible(execution.chain[0], one_line=True)} is on record.")
    if OPAQUE in execution.decision.labels:
        found.append("A part of it is encoded or very long: read it on the page before you decide.")
    doubtful = [label.removesuffix("?") for label in execution.decision.labels if label.endswith("?")]
    if doubtful:
        found.append(f"Could not be told, so taken as the worse: {visible(', '.join(doubtful), one_line=True)}.")
    return tuple(found)


def noted(execution: Execution, ask: Ask, editors: Sequence[str], names: Sequence[str]) -> str:
    """What somebody should know who is asked for nothing."""
    if editors and ask.state == "open":
        return f"{', '.join(editors)} changed {', '.join(names) or 'parameters'}. It is asked again with the change."
    if ask.kind == "outcome":
        return "It was not known what became of this call."
    return "This is for your information." if execution.state == "paused" else "This is how it ended."


def _named(name: str, execution: Execution) -> str:
    if name == "requester":
        return f"{visible(execution.user or '', one_line=True)} (for whom it is done)"
    if name.startswith("group:"):
        return f"the group {visible(name.removeprefix('group:'), one_line=True)}"
    return visible(name.removeprefix("user:"), one_line=True)


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
