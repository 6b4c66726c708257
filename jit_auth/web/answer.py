"""The execution as an agent sees it (docs/http-api.md), made from rows when the answer leaves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from jit_auth.config.settings import Agent
from jit_auth.core.ids import ERASED
from jit_auth.core.text import summary_of
from jit_auth.core.times import rfc3339
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.circle import Circle
from jit_auth.model import Ask, Execution, Opened, Trouble, Want

Json = dict[str, Any]

_ROLES = frozenset({"approver", "user", "policy", "admin", "agent"})
"""Who may be named to every agent. People are named only to those that see them (THREAT_MODEL 37)."""


def answer(opened: Opened, bundle: Bundle, agent: Agent, link: Callable[[Ask], str], *, joined: bool = False) -> Json:
    """One execution for the agent that owns it. `link` gives a consent's link; approvals have none for agents.

    `joined`: the call that is answered asked for the same as this one, which was paused already.
    """
    execution = opened.execution
    decision = execution.decision
    erased = execution.user is not None and execution.user.startswith(ERASED)
    found: Json = {
        "id": execution.id,
        "action": execution.action,
        "user": None if erased else execution.user,
        "agent": execution.agent,
        "chain": execution.chain,
        "account": execution.account_name or execution.account,
        "summary": _summary(execution, bundle),
        "params": execution.params if "params" not in execution.gone else None,
        "edited_by": _person(execution.edited_by[-1], agent) if execution.edited_by else None,
        "reason": execution.reason,
        "task": None if execution.task is None else {"id": execution.task.id, "title": execution.task.title},
        "metadata": (execution.metadata or {}) if "params" not in execution.gone else None,
        "status": execution.state,
        "digest": execution.digest or None,
        "labels": decision.labels,
        "decision": {
            "effect": decision.effect,
            "rules": decision.rules,
            "reasons": decision.reasons,
            "policy": decision.policy,
        },
        "waiting_for": _waiting(opened, bundle, agent, link),
        "result": _result(execution),
        "error": _error(execution.error, agent),
        "created_at": rfc3339(execution.created),
        "updated_at": rfc3339(execution.updated),
        "expires_at": rfc3339(execution.expires),
    }
    if joined:
        found["joined"] = True
    if execution.gone or erased:
        found["removed"] = [*(("user",) if erased else ()), *execution.gone]
    return found


def _summary(execution: Execution, bundle: Bundle) -> str:
    operation = bundle.operation(execution.action)
    if operation is None:
        return execution.action
    gone = "params" in execution.gone
    return operation.action.title if gone else summary_of(operation.action, execution.params)


def _waiting(opened: Opened, bundle: Bundle, agent: Agent, link: Callable[[Ask], str]) -> list[Json]:
    if opened.execution.state != "paused":
        return []
    open_asks = sorted((ask for ask in opened.asks if ask.state == "open"), key=lambda ask: ask.kind != "consent")
    found: list[Json] = []
    for ask in open_asks:
        if ask.kind == "consent":
            found.append(consent_item(ask, link(ask)))
        elif ask.kind == "approval":
            found += _approvals(ask, opened, bundle, agent)
    return found


def consent_item(ask: Ask, url: str) -> Json:
    """A consent that is needed, with its link."""
    item: Json = {
        "kind": "consent",
        "provider": ask.provider,
        "missing_scopes": ask.scopes,
        "new_agent": ask.new_agent,
        "url": url,
        "expires_at": rfc3339(ask.expires),
    }
    if ask.last_error is not None:
        item["last_error"] = ask.last_error
    return item


def _approvals(ask: Ask, opened: Opened, bundle: Bundle, agent: Agent) -> list[Json]:
    """One entry per requirement of a round, all with the round's id."""
    voters = [vote.person for vote in opened.votes if vote.ask == ask.id and vote.verdict == "approve"]
    who = Circle(bundle).eligible(opened.execution, ask.wants, ask.escalated)
    return [
        {
            "kind": "approval",
            "id": ask.id,
            "from": want.of if agent.sees_people else [_role(name) for name in want.of],
            "need": want.need,
            "approved_by": given if agent.sees_people else len(given),
            "expires_at": rfc3339(ask.expires),
        }
        for want, given in zip(ask.wants, _assigned(ask.wants, who, voters), strict=True)
    ]


def _assigned(wants: Sequence[Want], who: Sequence[Collection[str]], voters: Sequence[str]) -> list[list[str]]:
    """Which vote serves which requirement: each one alone, and as many of them as can be (augmenting paths)."""
    given: list[list[str]] = [[] for _ in wants]

    def serve(person: str, tried: set[int]) -> bool:
        for number, want in enumerate(wants):
            if person not in who[number] or number in tried:
                continue
            tried.add(number)
            if len(given[number]) < want.need:
                given[number].append(person)
                return True
            for other in given[number]:
                if serve(other, tried):
                    given[number].remove(other)
                    given[number].append(person)
                    return True
        return False

    for person in voters:
        serve(person, set())
    return given


def _role(name: str) -> str:
    return "user" if name.startswith("user:") else name


def _person(name: str, agent: Agent) -> str:
    """A person, or its role."""
    return name if name in _ROLES or agent.sees_people else "approver"


def _result(execution: Execution) -> Json | None:
    result = execution.result
    if result is None:
        return None
    found: Json = {"status": result.status, "headers": result.headers, "body": result.body, "untrusted": True}
    if result.truncated:
        found["truncated"] = True
    return found


def _error(error: Trouble | None, agent: Agent) -> Json | None:
    if error is None:
        return None
    by = _person(error.by, agent) if error.by is not None else None
    return {"code": error.code, "message": error.message, "hint": error.hint, "by": by, "feedback": error.feedback}
