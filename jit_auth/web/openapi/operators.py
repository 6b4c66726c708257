"""What admins may ask."""

from __future__ import annotations

from jit_auth.web.admin import KINDS
from jit_auth.web.openapi.parts import (
    EVERYWHERE,
    Json,
    Refusals,
    answer,
    body,
    closed,
    in_path,
    operation,
    ref,
    text,
    united,
)
from jit_auth.web.openapi.schemas import COUNT, EXECUTION_ID, REASON, TIME

ADMIN: Refusals = united(
    EVERYWHERE,
    {
        400: ("unknown_field", "bad_query"),
        401: ("unauthenticated",),
        403: ("role_required",),
    },
)
POSTED: Refusals = united(
    ADMIN, {400: ("bad_json",), 413: ("too_large",), 422: ("invalid_params",), 503: ("busy", "stale_bundle")}
)
"""Of those that read a body."""
_MISSING: Refusals = {404: ("not_found",)}
_WHY = body(closed({"reason": REASON}, []), needed=False)
_MUST_SAY_WHY = body(closed({"reason": REASON}))


def admin(id: str, summary: str, role: str, **parts: object) -> Json:
    """An operation that takes an admin of this role, or of a higher one."""
    told = {"tag": "operators", "security": ("adminToken",), "description": f"Takes an admin of role {role}."}
    return operation(id, summary, **(told | parts))  # type: ignore[arg-type]  # told and parts are what it takes


def _named(kind: str) -> Json:
    return in_path("id", f"The {kind}'s name.", text(minLength=1, format=f"jit-auth-{kind}"))


def _revoke() -> Json:
    one = [{**closed({kind: text(minLength=1, maxLength=1_000, format=f"jit-auth-{kind}"), "reason": REASON}, [kind])}
           for kind in KINDS]  # fmt: skip
    return admin(
        "revoke",
        "The kill switch",
        "operator",
        body=body({"oneOf": one}),
        answers={200: answer(ref("Cut"), "It is cut")},
        refusals=united(POSTED, _MISSING, {400: ("bad_user",)}),
    )


OPERATIONS: dict[tuple[str, str], Json] = {
    ("POST", "/executions/{id}/resolve"): admin(
        "resolveExecution",
        "Say what became of a call of unknown outcome",
        "operator",
        parameters=[in_path("id", "An execution's id.", {**EXECUTION_ID, "format": "jit-auth-execution"})],
        body=body(
            closed(
                {
                    "outcome": {"enum": ["succeeded", "failed"]},
                    "note": text("How it is known.", minLength=1, maxLength=2_000, pattern=r"\S"),
                }
            )
        ),
        answers={
            200: answer(
                {"anyOf": [ref("Execution"), closed({"id": EXECUTION_ID, "status": {"type": "string"}})]},
                "It is on record",
            )
        },
        refusals=united(POSTED, _MISSING, {409: ("not_unknown",)}),
    ),
    ("POST", "/admin/agents/{id}/suspend"): admin(
        "suspendAgent",
        "The agent does nothing until it is restored",
        "operator",
        parameters=[_named("agent")],
        body=_WHY,
        answers={
            200: answer(closed({"agent": text(), "suspended": {"const": True}, "executions": COUNT}), "It is suspended")
        },
        refusals=united(POSTED, _MISSING),
    ),
    ("POST", "/admin/agents/{id}/restore"): admin(
        "restoreAgent",
        "Lift an agent's suspension, and nothing else",
        "security",
        parameters=[_named("agent")],
        body=_WHY,
        answers={200: answer(closed({"agent": text(), "suspended": {"const": False}}), "It is restored")},
        refusals=united(POSTED, _MISSING),
    ),
    ("POST", "/admin/connectors/{id}/restore"): admin(
        "restoreConnector",
        "Lift a connector's stop, and nothing else",
        "security",
        parameters=[_named("connector")],
        body=_WHY,
        answers={200: answer(closed({"connector": text(), "stopped": {"const": False}}), "It is restored")},
        refusals=united(POSTED, _MISSING),
    ),
    ("POST", "/admin/revoke"): _revoke(),
    ("POST", "/admin/halt"): admin(
        "halt",
        "Nothing is sent anywhere until it is resumed",
        "operator",
        body=_MUST_SAY_WHY,
        answers={200: answer(closed({"halted": {"const": True}, "since": TIME}), "It is halted")},
        refusals=POSTED,
    ),
    ("POST", "/admin/resume"): admin(
        "resume",
        "Go on",
        "operator",
        body=_MUST_SAY_WHY,
        answers={
            200: answer(closed({"halted": {"const": False}, "seconds": {"type": "number", "minimum": 0}}), "It goes on")
        },
        refusals=POSTED,
    ),
}
