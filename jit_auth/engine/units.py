"""What each step writes: pure functions from a judgement and its step to one `Unit`, and the row as it is then.

Checks every state change against `core.step.ALLOWED`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from jit_auth.core.digest import canonical
from jit_auth.core.nudge import next_nudge
from jit_auth.core.step import ALLOWED
from jit_auth.core.view import Asking, End, Nudge, Send, Wait
from jit_auth.engine import questions
from jit_auth.engine.copies import Copies
from jit_auth.engine.judge import Judged, tally_key
from jit_auth.engine.past import admitted_with
from jit_auth.engine.record import admission
from jit_auth.model import (
    Ask,
    At,
    Audit,
    Change,
    Committed,
    Execution,
    Idem,
    Insert,
    Millis,
    Op,
    Pass,
    Tally,
    Touch,
    Unit,
)

SLACK: Millis = 15_000
"""What an attempt may take beyond the action's own timeout: connecting, refreshing, waiting for the database."""
TALLY_KEPT: Millis = 7 * 86_400_000
"""How long it is remembered how often a request was put to people."""


class Written(Struct, frozen=True):
    """A unit, and the execution's row as it stands once the unit is applied."""

    unit: Unit
    execution: Execution
    asks: tuple[Ask, ...] = ()
    """What it asks people anew."""


class Writer:
    """Makes units; knows which process writes, how ids are made, and who gets copies; nothing else."""

    def __init__(self, process: str, make_id: Callable[[str], str], copies: Copies) -> None:
        self._process = process
        self._make_id = make_id
        self._copies = copies

    def prepare(self, judged: Judged, idem: Idem | None) -> Written:
        """Executing, without an intent: a refresh must come first."""
        deadline = judged.view.now + _time(judged)
        to = {
            "state": "executing",
            "process": self._process,
            "deadline": deadline,
            "due": deadline,
            "decision": judged.view.decision,
            "digest": judged.view.digest or "",
            "open_key": None,
        }
        return self.write(judged, judged.at, to, [*admission(judged), {"do": "prepare"}], idem=idem)

    def intent(self, judged: Judged, send: Send, idem: Idem | None) -> Written:
        """The point of no return: after this unit the call may have happened."""
        execution, view = judged.execution, judged.view
        deadline = view.now + _time(judged)
        to = {
            "state": "executing",
            "intent": True,
            "attempt": execution.attempt + 1,
            "process": self._process,
            "deadline": deadline,
            "due": deadline,
            "not_after": send.not_after,
            "decision": view.decision,
            "digest": view.digest or "",
            "grant": judged.grant.id if judged.grant else None,
            "open_key": None,
        }
        if judged.grant is not None and execution.account_name is None:
            to["account_name"] = judged.grant.account_name
        facts = admission(judged)
        if judged.grant is not None:
            facts.append({"do": "token", "grant": judged.grant.id, "provider": judged.grant.provider})
        facts.append({"do": "send", "attempt": execution.attempt + 1, "digest": view.digest})
        ops: list[Op] = []
        if send.spends is not None:
            ops += spent(execution, send.spends, to, facts)
        at = msgspec.structs.replace(judged.at, not_after=send.not_after, send=True)
        return self.write(judged, at, to, facts, ops=ops, settled=send.settled, idem=idem)

    def asking(self, judged: Judged, step: Asking, idem: Idem | None) -> Written:
        """Paused, with its questions and a card for each approver."""
        view, execution = judged.view, judged.execution
        ops: list[Op] = [Change(ask, {"state": "superseded"}) for ask in step.old]
        facts = admission(judged)
        deadlines = [view.expires]
        asks = self.asks(judged, step)
        if step.round:
            ops.append(self._tallied(judged))
        told = {ask.provider for ask in view.asks if ask.kind == "consent"}
        for ask in asks:
            ops.append(Insert(ask))
            deadlines.append(view.ends(ask))
            facts.append(
                {
                    "do": "ask",
                    "ask": ask.id,
                    "kind": ask.kind,
                    "scopes": ask.scopes,
                    "why": ask.why,
                    "digest": ask.digest,
                }
            )
            if ask.kind == "approval":
                ops += self._copies.round(judged.bundle, execution, ask, view.decision.via, view.now)
            elif ask.provider not in told:
                ops += self._copies.consent(judged.bundle, ask, view.now)
        deadlines += [view.ends(ask) for ask in view.asks if ask.state == "open" and ask not in step.old]
        rounds = [ask for ask in (*view.asks, *asks) if ask.kind == "approval" and ask not in step.old]
        nudges = [next_nudge(ask, view.decision.remind) for ask in rounds if ask.state == "open"]
        deadlines += [at for at in nudges if at is not None]
        ops += [Touch(ask.id, view.now) for ask in step.old]
        to: dict[str, Any] = {
            "state": "paused",
            "intent": False,
            "process": None,
            "deadline": None,
            "due": min(deadlines),
            "decision": view.decision,
            "digest": view.digest or "",
            "trouble_since": None,
            "tries": 0,
        }
        if not execution.version:
            to["open_key"] = open_key(execution, view.digest)
        at = msgspec.structs.replace(judged.at, not_after=view.expires)
        return msgspec.structs.replace(self.write(judged, at, to, facts, ops=ops, idem=idem), asks=tuple(asks))

    def asks(self, judged: Judged, step: Asking) -> list[Ask]:
        """The new questions of a step."""
        asks = [questions.consent(judged, lack, self._make_id("cns")) for lack in step.consents]
        return [*asks, questions.approval(judged, step, self._make_id("apr"))] if step.round else asks

    def nudging(self, judged: Judged, step: Nudge) -> Written:
        """Those who were asked are reminded or warned, or more people are asked: their copies become due."""
        view, execution, ask = judged.view, judged.execution, step.ask
        to = {"reminded": step.reminded, "warned": step.warned, "escalated": (*ask.escalated, *step.escalate)}
        new = msgspec.structs.replace(ask, version=ask.version + 1, **to)
        facts: list[dict[str, Any]] = []
        if step.reminded > ask.reminded:
            facts.append({"do": "remind", "ask": ask.id, "times": step.reminded})
        if step.warned and not ask.warned:
            facts.append({"do": "expiring", "ask": ask.id})
        if step.escalate:
            facts.append({"do": "escalate", "ask": ask.id, "to": [name for more in step.escalate for name in more.to]})
        more = self._copies.escalated(judged.bundle, execution, ask, step.escalate, view.decision.via, view.now)
        ops: list[Op] = [Change(ask, to), *more, Touch(ask.id, view.now)]
        deadlines = [view.expires, *(view.ends(one) for one in view.asks if one.state == "open")]
        again = next_nudge(new, view.decision.remind)
        due = min([*deadlines, again]) if again is not None else min(deadlines)
        return self.write(judged, judged.at, {"due": due}, facts, ops=ops)

    def waiting(self, judged: Judged, step: Wait, idem: Idem | None) -> Written | None:
        """An attempt that did not happen is put down, or the next look is moved; None: nothing to write."""
        view, execution, came = judged.view, judged.execution, step.after
        if came is None:
            if not execution.version or (not step.settled and execution.due == step.until):
                return None
            return self.write(judged, judged.at, {"due": step.until}, [{"do": "wait"}], settled=step.settled)
        to: dict[str, Any] = {"intent": False, "process": None, "deadline": None, "due": step.until}
        match came.kind:
            case "unauthorized":
                to["refreshed"] = True
            case "insufficient_scope":
                to["rescoped"] = True
                to["extra"] = tuple(dict.fromkeys((*execution.extra, *came.scopes)))
            case _:
                since = execution.trouble_since
                to |= {"trouble_since": view.now if since is None else since, "tries": execution.tries + 1}
                to["lost"] = execution.lost or came.kind == "lost"
        fact = {"do": "attempt", "attempt": execution.attempt, "came": came.kind, "again": step.until}
        if execution.version:
            return self.write(judged, None, to, [fact])
        # A call that could not even be begun: admitted, and tried again when it is due.
        to |= {"decision": view.decision, "digest": view.digest or ""}
        return self.write(judged, judged.at, to, [*admission(judged), fact], idem=idem)

    def end(self, judged: Judged, step: End, idem: Idem | None) -> Written:
        """A terminal state (or `unknown`): every open question is closed with it."""
        view, execution, came = judged.view, judged.execution, judged.view.came
        closed = "expired" if step.state == "expired" else "closed"
        ops: list[Op] = [Change(ask, {"state": closed}) for ask in view.asks if ask.state == "open"]
        ops += [Touch(ask.id, view.now) for ask in view.asks]
        to: dict[str, Any] = {
            "state": step.state,
            "intent": False,
            "process": None,
            "deadline": None,
            "due": None,
            "open_key": None,
            "result": step.result,
            "error": step.error,
        }
        if not execution.version:
            to |= {"decision": view.decision, "digest": view.digest or ""}
        elif came is None and view.barred is None and not execution.intent:
            to["decision"] = view.decision  # it was decided anew: what denies is what is answered
        fact: dict[str, Any] = {"do": "outcome", "state": step.state}
        if step.error is not None:
            fact["code"] = step.error.code
        if step.result is not None:
            fact |= {"status": step.result.status, "result": Committed(step.result)}
        if step.state == "expired":
            fact["asks"] = [ask.id for ask in view.asks if ask.kind == "approval" and ask.state == "open"]
        if step.state == "unknown" and judged.bundle.policy.unknown_to:
            ask = questions.outcome(judged, self._make_id("unk"))
            ops += [Insert(ask), *self._copies.outcome(judged.bundle, execution, ask, view.now)]
            fact["ask"] = ask.id
        records_only = came is not None or execution.intent
        facts = [fact] if execution.version else [*admission(judged), fact]
        return self.write(judged, None if records_only else judged.at, to, facts, ops=ops, idem=idem)

    def _tallied(self, judged: Judged) -> Op:
        tally, until = judged.view.crowd.tally, judged.view.now + TALLY_KEPT
        if tally is None:
            return Insert(Tally(key=tally_key(judged.execution), times=1, until=until))
        return Change(tally, {"times": tally.times + 1, "until": until})

    def write(
        self,
        judged: Judged,
        at: At | None,
        to: dict[str, Any],
        facts: list[dict[str, Any]],
        *,
        ops: list[Op] | None = None,
        settled: tuple[Ask, ...] = (),
        idem: Idem | None = None,
        actor: str = "engine",
    ) -> Written:
        """The unit of one change, for `handover` too. `at`: None records what happened already; `actor`: of a new
        execution it is its agent."""
        execution = judged.execution
        state = to.get("state", execution.state)
        came_from = execution.state if execution.version else "new"
        if state != came_from and state not in ALLOWED[came_from]:
            raise AssertionError(f"no transition from {came_from} to {state}")
        to["updated"] = judged.view.now
        if not execution.version and judged.history is not None:
            to["history"] = admitted_with(judged.at.past, judged.history)
        new = msgspec.structs.replace(execution, version=execution.version + 1, **to)
        rows: list[Op] = [Change(execution, to)] if execution.version else [Insert(new)]
        if idem is not None:
            rows.append(Insert(idem))
        rows += ops or ()
        rows += [Change(ask, {"state": "met" if ask.kind == "approval" else "closed"}) for ask in settled]
        audit = Audit(
            actor=f"agent:{execution.agent}" if not execution.version else actor,
            what=tuple(facts),
            user=execution.user,
            agent=execution.chain[0],
            execution=execution.id,
        )
        return Written(Unit(at, tuple(rows), audit), new)


def spent(execution: Execution, standing: Pass, to: dict[str, Any], facts: list[dict[str, Any]]) -> list[Op]:
    """A use of a pass, taken in the intent's own transaction: of two calls for the last one, one is judged anew. Who
    has a use already takes none, but holds the row to what was judged: the pass may have been ended since."""
    if execution.standing == standing.id:
        return [Change(standing, {"uses": standing.uses})]
    to["standing"] = standing.id
    facts.append({"do": "pass.used", "pass": standing.id, "left": standing.uses - 1})
    return [Change(standing, {"uses": standing.uses - 1})]


def open_key(execution: Execution, digest: str | None) -> str:
    """What an equal call would have while this one is paused: it joins (agent, user, account, task, digest)."""
    what = execution.params if digest is None else digest
    same = [execution.agent, list(execution.chain), execution.user, execution.asked_account, execution.action, what]
    if execution.task is not None:
        same.append(execution.task.id)
    return canonical(same).decode()


def _time(judged: Judged) -> Millis:
    return SLACK + (judged.operation.action.timeout if judged.operation is not None else 30_000)
