"""What is written where the agent runs a function of its own: it is released to it, and it claims it. Pure."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from jit_auth.core.view import Release, Send
from jit_auth.engine.judge import Judged
from jit_auth.engine.record import admission
from jit_auth.engine.units import Writer, Written, spent
from jit_auth.model import Execution, Idem, Millis, Op


def release(writer: Writer, judged: Judged, step: Release, idem: Idem | None) -> Written:
    """All that people owed is there: the agent's turn. Nothing is spent by it; a claim is judged anew."""
    view = judged.view
    to: dict[str, Any] = {
        "state": "released",
        "process": None,
        "deadline": None,
        "due": step.not_after,
        "decision": view.decision,
        "digest": view.digest or "",
        "open_key": None,
        "trouble_since": None,
        "tries": 0,
    }
    facts = [*admission(judged), {"do": "release", "digest": view.digest, "until": step.not_after}]
    at = replace(judged.at, not_after=step.not_after)
    return writer.write(judged, at, to, facts, settled=step.settled, idem=idem)


def claim(writer: Writer, judged: Judged, send: Send, until: Millis, hands: str) -> Written:
    """The point of no return: after this unit the function may have run. The same checks in the same transaction as
    the intent of a call that we make (THREAT_MODEL 9). `hands`: whose it is in, as `Execution.process`."""
    execution, view = judged.execution, judged.view
    to: dict[str, Any] = {
        "state": "executing",
        "intent": True,
        "attempt": execution.attempt + 1,
        "process": hands,
        "deadline": until,
        "due": until,
        "not_after": send.not_after,
        "decision": view.decision,
        "digest": view.digest or "",
    }
    facts = admission(judged)
    facts.append({"do": "claim", "attempt": execution.attempt + 1, "digest": view.digest, "until": until})
    ops: list[Op] = []
    if send.spends is not None:
        ops += spent(execution, send.spends, to, facts)
    at = replace(judged.at, not_after=send.not_after, send=True)
    actor = f"agent:{execution.agent}"
    return writer.write(judged, at, to, facts, ops=ops, settled=send.settled, actor=actor)


def unclaimed(execution: Execution) -> Execution:
    """The row as it was before its claim: whether that would be given now too is judged of it."""
    return replace(execution, state="released", intent=False, process=None, deadline=None, due=None)


def again(writer: Writer, judged: Judged, send: Send, until: Millis) -> Written:
    """The same claim for the same key: its answer was lost, so nothing has run yet, and it is stopped by all that would
    stop a claim, in this transaction (THREAT_MODEL 9)."""
    to: dict[str, Any] = {"deadline": until, "due": until}
    facts: list[dict[str, Any]] = []
    ops = spent(judged.execution, send.spends, to, facts) if send.spends is not None else []
    facts.append({"do": "claim.again", "attempt": judged.execution.attempt, "until": until})
    at = replace(judged.at, not_after=send.not_after, send=True)
    actor = f"agent:{judged.execution.agent}"
    return writer.write(judged, at, to, facts, ops=ops, actor=actor)
