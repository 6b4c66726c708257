"""Why an execution ended, in words: the `error` member of an answer, one function or value per ending."""

from __future__ import annotations

from jit_auth.core.view import Came
from jit_auth.model import Decision, Trouble, Vote

EXPIRED = Trouble("expired", "Nobody decided in time.", "Ask again if it is still wanted; nothing was sent.")
LOST = Trouble(
    "outcome_unknown",
    "The call was sent and its answer was lost; it may not be repeated safely.",
    "A person has to find out what happened and resolve it.",
)


UNCLAIMED = Trouble(
    "expired", "The agent did not claim it in time.", "Ask again if it is still wanted; nothing was run under it."
)
UNREPORTED = Trouble(
    "outcome_unknown",
    "The agent claimed it and did not say in time what became of it.",
    "If it was run after all, complete it with its claim; else a person has to find out and resolve it.",
)
CHANGED = Trouble(
    "revoked",
    "The action is no longer one that the agent runs itself.",
    "Ask again: what it does now is decided anew.",
    by="policy",
)
REPORTED_FAILED = Trouble(
    "function_failed", "The agent says that its function failed.", "What it said of it is in `result`."
)


def denied_by_policy(decision: Decision) -> Trouble:
    reason = "; ".join(decision.reasons)
    if any("not verified" in error for error in decision.errors):
        return Trouble(
            "user_not_verified",
            reason or "The rules need a user whose identity is proven.",
            "Call with a proof of who the user is.",
            by="policy",
        )
    return Trouble(
        "policy_denied",
        reason or "The policies do not allow this action.",
        "Do not repeat the call unchanged.",
        by="policy",
    )


def no_approver(*, nobody: bool) -> Trouble:
    """`nobody`: the rules ask the user, and the call names none."""
    return Trouble(
        "no_approver",
        "Nobody is left who could approve this.",
        "The rules ask the user, and the call names none: name one."
        if nobody
        else "An operator has to name more approvers.",
        by="policy",
    )


def refused_by_provider(came: Came) -> Trouble:
    status = came.result.status if came.result is not None else None
    code = {
        "unauthorized": "unauthorized",
        "rate_limited": "rate_limited",
        "insufficient_scope": "insufficient_scope",
    }.get(came.kind, "provider_error")
    return Trouble(code, came.message or f"The provider answered {status}.", "The provider's answer is in `result`.")


RECENTLY_DENIED = Trouble(
    "recently_denied",
    "A person denied exactly this a moment ago; nobody is asked again so soon.",
    "Do not repeat it. Change what is asked for, or ask the person directly.",
    by="policy",
)
CONSENT_REFUSED = Trouble(
    "consent_refused",
    "The user refused the access that this action needs.",
    "Do not ask again unless the user wants it.",
    by="user",
)


def denied_by(vote: Vote | None) -> Trouble:
    """A person said no."""
    return Trouble(
        "approval_denied",
        "A person denied this action.",
        "Do not repeat it; read the feedback, if there is any.",
        by=vote.person if vote is not None else None,
        feedback=vote.feedback if vote is not None else None,
    )


def request_refused(came: Came) -> Trouble:
    if came.code == "request_refused":
        return Trouble(came.code, came.message, "The connector makes a request that cannot be sent as it is.")
    return Trouble("address_refused", came.message, "The host is not one that this service may call.")


def misconfigured(message: str) -> Trouble:
    return Trouble(
        "provider_misconfigured", message, "An operator must correct the provider's client or secret in config.toml."
    )


def unavailable(message: str, hint: str = "Nothing was sent. Try again later.") -> Trouble:
    return Trouble("provider_unavailable", message or "The provider could not be reached.", hint)
