"""The execution as an agent sees it (docs/http-api.md), made from rows when the answer leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jit_auth.config.settings import Agent
from jit_auth.core.text import summary_of
from jit_auth.core.times import rfc3339
from jit_auth.engine.bundle import Bundle
from jit_auth.model import Ask, Execution, Opened, Trouble, Vote

Json = dict[str, Any]


def answer(opened: Opened, bundle: Bundle, agent: Agent, link: Callable[[Ask], str]) -> Json:
    """One execution for the agent that owns it. `link` gives a consent's link; approvals have none for agents."""
    execution = opened.execution
    operation = bundle.operation(execution.action)
    decision = execution.decision
    return {
        "id": execution.id,
        "action": execution.action,
        "user": execution.user,
        "agent": execution.agent,
        "chain": execution.chain,
        "account": execution.account_name or execution.account,
        "summary": summary_of(operation.action, execution.params) if operation is not None else execution.action,
        "params": execution.params,
        "reason": execution.reason,
        "status": execution.state,
        "digest": execution.digest or None,
        "decision": {
            "effect": decision.effect,
            "rules": decision.rules,
            "reasons": decision.reasons,
            "policy": decision.policy,
        },
        "waiting_for": _waiting(opened, agent, link),
        "result": _result(execution),
        "error": _error(execution.error, agent),
        "created_at": rfc3339(execution.created),
        "updated_at": rfc3339(execution.updated),
        "expires_at": rfc3339(execution.expires),
    }


def _waiting(opened: Opened, agent: Agent, link: Callable[[Ask], str]) -> list[Json]:
    if opened.execution.state != "paused":
        return []
    open_asks = sorted((ask for ask in opened.asks if ask.state == "open"), key=lambda ask: ask.kind != "consent")
    found: list[Json] = []
    for ask in open_asks:
        if ask.kind == "consent":
            item: Json = {
                "kind": "consent",
                "provider": ask.provider,
                "missing_scopes": ask.scopes,
                "new_agent": ask.new_agent,
                "url": link(ask),
                "expires_at": rfc3339(ask.expires),
            }
            if ask.last_error is not None:
                item["last_error"] = ask.last_error
            found.append(item)
        else:
            votes = [vote for vote in opened.votes if vote.ask == ask.id and vote.verdict == "approve"]
            found += [_approval(ask, number, votes, agent) for number in range(len(ask.wants))]
    return found


def _approval(ask: Ask, number: int, votes: Sequence[Vote], agent: Agent) -> Json:
    want = ask.wants[number]
    people = [vote.person for vote in votes]
    return {
        "kind": "approval",
        "id": ask.id,
        "from": want.of if agent.sees_people else [_role(name) for name in want.of],
        "need": want.need,
        "approved_by": people if agent.sees_people else len(people),
        "expires_at": rfc3339(ask.expires),
    }


def _role(name: str) -> str:
    return "user" if name.startswith("user:") else name


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
    by = error.by
    if by is not None and by not in ("policy", "user", "admin", "agent") and not agent.sees_people:
        by = "approver"
    return {"code": error.code, "message": error.message, "hint": error.hint, "by": by, "feedback": error.feedback}
