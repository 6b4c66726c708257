"""What waits for people as data and as lines of a terminal: foreign text made visible, sensitive values masked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jit_auth.config.settings import Settings
from jit_auth.core.text import MASKED, hidden, summary_of, visible
from jit_auth.core.times import rfc3339
from jit_auth.credentials.catalog import catalog_of
from jit_auth.errors import Faults
from jit_auth.model import Action, Ask, Execution, Pass, Vote

LONGEST = 2_000
"""Characters of one value on a terminal; `--json` and the approval page have all."""


@dataclass(frozen=True)
class Titles:
    """The actions that are known now: what says which of a call's values people may see on a terminal."""

    actions: Mapping[str, Action]

    @classmethod
    def of(cls, settings: Settings) -> Titles:
        """From the connectors that the configuration names. Faulty ones are told on stderr, and known by no name."""
        try:
            catalog = catalog_of(settings)
        except Faults as wrong:
            print(f"warning: the connectors are faulty, so calls are not described: {wrong}", file=sys.stderr)
            return cls({})
        return cls({name: operation.action for name, operation in catalog.actions.items()})

    def summary(self, execution: Execution) -> str:
        """One line about a call, made visible."""
        action = self.actions.get(execution.action)
        return summary_of(action, execution.params) if action is not None else ""

    def params(self, execution: Execution) -> dict[str, Any]:
        """Its parameters; those that only the approval page shows are masked, and all of an unknown action."""
        action = self.actions.get(execution.action)
        masked = hidden(action) if action is not None else frozenset(execution.params)
        return {name: MASKED if name in masked else value for name, value in execution.params.items()}

    def risk(self, execution: Execution) -> str | None:
        """Of the action, where it is known."""
        action = self.actions.get(execution.action)
        return action.risk if action is not None else None


def ask_data(ask: Ask, execution: Execution, titles: Titles, votes: Sequence[Vote] | None = None) -> dict[str, Any]:
    """A question as JSON; with `votes` also who has decided it."""
    data: dict[str, Any] = {
        "id": ask.id,
        "kind": ask.kind,
        "state": ask.state,
        "execution": execution.id,
        "status": execution.state,
        "action": execution.action,
        "risk": titles.risk(execution),
        "summary": titles.summary(execution),
        "agent": execution.agent,
        "user": execution.user,
        "requirements": [{"from": list(want.of), "need": want.need, "rules": list(want.rules)} for want in ask.wants],
        "escalated": sorted({name for step in ask.escalated for name in step.to}),
        "why": ask.why,
        "created": rfc3339(ask.created),
        "expires": rfc3339(ask.expires),
    }
    if votes is not None:
        data["votes"] = [_vote_data(vote) for vote in votes if vote.ask == ask.id]
    return data


def execution_data(execution: Execution, titles: Titles) -> dict[str, Any]:
    """A call as JSON, without results."""
    decision = execution.decision
    return {
        "id": execution.id,
        "status": execution.state,
        "action": execution.action,
        "risk": titles.risk(execution),
        "summary": titles.summary(execution),
        "params": titles.params(execution),
        "agent": execution.agent,
        "chain": list(execution.chain),
        "user": execution.user,
        "user_verified": execution.verified,
        "account": execution.account_name or execution.account,
        "reason": execution.reason,
        "decision": {
            "effect": decision.effect,
            "rules": list(decision.rules),
            "labels": list(decision.labels),
            "via": list(decision.via),
        },
        "edited_by": list(execution.edited_by),
        "digest": execution.digest,
        "error": execution.error.code if execution.error is not None else None,
        "created": rfc3339(execution.created),
        "expires": rfc3339(execution.expires),
    }


def pass_data(one: Pass) -> dict[str, Any]:
    """An "approve for a while" as JSON."""
    return {
        "id": one.id,
        "action": one.action,
        "summary": one.summary,
        "agent": one.agent,
        "chain": list(one.chain),
        "user": one.user,
        "account": one.account,
        "voters": list(one.voters),
        "approval": one.ask,
        "uses_left": one.uses,
        "until": rfc3339(one.until),
        "created": rfc3339(one.created),
    }


def ask_row(ask: Ask, execution: Execution, titles: Titles) -> tuple[str, ...]:
    """An open question in one line."""
    told = titles.summary(execution)
    whom = "; ".join(_want(want.need, want.of) for want in ask.wants)
    return (
        ask.id,
        execution.action,
        f"{execution.agent} for {execution.user or '-'}",
        whom or "-",
        f"until {rfc3339(ask.expires)}",
        told,
    )


def pass_row(one: Pass) -> tuple[str, ...]:
    """An "approve for a while" in one line."""
    return (
        one.id,
        one.action,
        f"{one.agent} for {one.user or '-'}",
        f"by {', '.join(one.voters)}",
        f"{one.uses} left until {rfc3339(one.until)}",
        visible(one.summary, one_line=True),
    )


def lines(execution: Execution, asks: Sequence[Ask], votes: Sequence[Vote], titles: Titles) -> Iterator[str]:
    """A call and its questions for a terminal."""
    risk = titles.risk(execution)
    verified = "verified" if execution.verified else "as the agent says"
    facts = [
        ("execution", f"{execution.id} is {execution.state}"),
        ("action", execution.action + (f", risk {risk}" if risk else "")),
        ("summary", titles.summary(execution)),
        ("agent", " > ".join(execution.chain)),
        ("user", f"{execution.user} ({verified})" if execution.user else ""),
        ("rules", ", ".join(execution.decision.rules)),
        ("labels", ", ".join(execution.decision.labels)),
        ("edited by", ", ".join(execution.edited_by)),
        ("agent's words", visible(execution.reason or "", one_line=True)),
    ]
    yield from (f"{name}: {text}" for name, text in facts if text)
    for name, value in titles.params(execution).items():
        # JSON in one line: a value cannot look like a line of ours.
        text = json.dumps(value, ensure_ascii=False)
        more = f"\u27e8{len(text) - LONGEST} more characters\u27e9" if len(text) > LONGEST else ""
        told = MASKED if value == MASKED else visible(text[:LONGEST], one_line=True) + more
        yield f"  {visible(name, one_line=True)} = {told}"
    for ask in asks:
        yield ""
        yield f"{ask.id}: {ask.state}, {ask.kind}, asked {rfc3339(ask.created)}, runs out {rfc3339(ask.expires)}"
        yield from (f"  {_want(want.need, want.of)}" for want in ask.wants)
        for step in ask.escalated:
            yield f"  also asked: {', '.join(step.to)}{'' if step.counts else ' (their votes do not count)'}"
        if ask.why:
            yield f"  asked again: {visible(ask.why, one_line=True)}"
        yield from (_vote_line(vote) for vote in votes if vote.ask == ask.id)


def _want(need: int, of: Sequence[str]) -> str:
    return f"{need} of {', '.join(of)}"


def _vote_data(vote: Vote) -> dict[str, Any]:
    return {
        "person": vote.person,
        "decision": vote.verdict,
        "at": rfc3339(vote.at),
        "how": vote.how,
        "feedback": vote.feedback,
        "for_seconds": vote.hold // 1000 if vote.hold is not None else None,
    }


def _vote_line(vote: Vote) -> str:
    hold = f" for {vote.hold // 1000} s" if vote.hold is not None else ""
    words = f": {visible(vote.feedback, one_line=True)}" if vote.feedback else ""
    return f"  {vote.verdict}{hold} by {vote.person} at {rfc3339(vote.at)} ({vote.how}){words}"
