"""What people are asked, as rows: a consent, a round of approval, what became of a call. Pure."""

from __future__ import annotations

from jit_auth.core.scopes import Lack
from jit_auth.core.view import Asking
from jit_auth.engine.judge import Judged
from jit_auth.model import Ask, Millis, Want

OUTCOME_OPEN: Millis = 30 * 86_400_000
"""How long people are asked what became of a call of unknown outcome."""


def consent(judged: Judged, lack: Lack, id: str) -> Ask:
    """What is missing at one provider, asked of the user."""
    execution = judged.execution
    return Ask(
        id=id,
        execution=execution.id,
        kind="consent",
        agent=execution.chain[0],
        user=execution.user,
        provider=lack.provider,
        scopes=lack.scopes,
        new_agent=lack.new_agent,
        account=execution.account_name or execution.account,
        created=judged.view.now,
        expires=execution.expires,
    )


def approval(judged: Judged, step: Asking, id: str) -> Ask:
    """A round of approval, for one digest."""
    execution, now = judged.execution, judged.view.now
    expires = min([execution.expires, *(now + want.expires for want in step.round)])
    return Ask(
        id=id,
        execution=execution.id,
        kind="approval",
        agent=execution.chain[0],
        user=execution.user,
        digest=judged.view.digest or "",
        wants=step.round,
        why=step.why,
        created=now,
        expires=expires,
    )


def outcome(judged: Judged, id: str) -> Ask:
    """People are asked what became of a call whose answer was lost."""
    execution, now = judged.execution, judged.view.now
    return Ask(
        id=id,
        execution=execution.id,
        kind="outcome",
        agent=execution.chain[0],
        user=execution.user,
        digest=execution.digest,
        wants=(Want(judged.bundle.policy.unknown_to),),
        created=now,
        expires=now + OUTCOME_OPEN,
    )
