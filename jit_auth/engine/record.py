"""What goes on record of a decision: what was asked, what the rules said, and what they could read."""

from __future__ import annotations

from typing import Any

from jit_auth.engine.judge import Judged
from jit_auth.model import Committed


def admission(judged: Judged) -> list[dict[str, Any]]:
    """The facts of a decision: for a new call the request too."""
    execution, decision = judged.execution, judged.view.decision
    facts: list[dict[str, Any]] = []
    if not execution.version:
        facts.append(
            {
                "do": "request",
                "action": execution.action,
                "chain": execution.chain,
                "verified": execution.verified,
                "params": Committed(execution.params),
            }
        )
        if execution.reason is not None:
            facts[-1]["reason"] = Committed(execution.reason)
        if execution.task is not None:
            facts[-1]["task"] = Committed([execution.task.id, execution.task.title])
        if execution.metadata is not None:
            facts[-1]["metadata"] = Committed(execution.metadata)
    fact: dict[str, Any] = {
        "do": "decision",
        "effect": decision.effect,
        "rules": decision.rules,
        "policy": decision.policy,
        "bundle": judged.at.bundle,
        "epoch": judged.at.epoch,
    }
    if judged.reads:
        # The parameters' values are committed to by the request; the other facts here.
        fact["reads"] = judged.reads
    if judged.at.past is not None and judged.history is not None:
        fact["history"] = {name: getattr(judged.history, name) for name in judged.at.past.names}
    if judged.groups is not None:
        fact["facts"] = Committed([sorted(judged.groups), execution.account, judged.view.now])
    if decision.errors:
        fact["errors"] = decision.errors
    if judged.shadow:
        fact["shadow"] = judged.shadow
    facts.append(fact)
    return facts
