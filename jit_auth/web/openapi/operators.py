"""What admins may ask."""

from __future__ import annotations

from jit_auth.web.admin import KINDS, LONGEST_REASON
from jit_auth.web.openapi.parts import (
    EVERYWHERE,
    Json,
    Refusals,
    answer,
    body,
    closed,
    in_path,
    in_query,
    listed,
    maybe,
    operation,
    ref,
    text,
    united,
)
from jit_auth.web.openapi.schemas import COUNT, EXECUTION_ID, LIMIT, PERSON, REASON, TIME, WORDS

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
_REASON = maybe(REASON)
_WHY = body(closed({"reason": _REASON}, []), needed=False)


_REPORT: Json = {
    "type": "object",
    "properties": {"agent": text(), "user": text(), "at": TIME},
    "required": ["at"],
    "oneOf": [{"required": ["agent"]}, {"required": ["user"]}],
}
_EXPLAINED: Json = {
    "type": "object",
    "properties": {
        "execution": EXECUTION_ID,
        "action": text(),
        "agent": text(),
        "chain": {"type": "array", "items": text()},
        "now": TIME,
        "decision": {"type": "object"},
        "recorded": {"type": ["object", "null"]},
        "with_shadow": {"type": ["object", "null"]},
        "labels": {"type": "array", "items": {"type": "object"}},
        "rules": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["execution", "action", "agent", "chain", "now", "decision", "recorded", "labels", "rules"],
}


def admin(id: str, summary: str, role: str, **parts: object) -> Json:
    """An operation that takes an admin of this role, or of a higher one."""
    told = {"tag": "operators", "security": ("adminToken",), "description": f"Takes an admin of role {role}."}
    return operation(id, summary, **(told | parts))  # type: ignore[arg-type]  # told and parts are what it takes


def _named(kind: str) -> Json:
    return in_path("id", f"The {kind}'s name.", text(minLength=1, format=f"jit-auth-{kind}"))


def _revoke() -> Json:
    one = [{**closed({kind: text(minLength=1, maxLength=1_000, format=f"jit-auth-{kind}"), "reason": _REASON}, [kind])}
           for kind in KINDS]  # fmt: skip
    return admin(
        "revoke",
        "The kill switch",
        "operator",
        body=body({"oneOf": one}),
        answers={200: answer(ref("Report"), "It is cut")},
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
                    "note": text("How it is known.", minLength=1, maxLength=2_000, pattern=WORDS),
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
    ("GET", "/metrics"): admin(
        "metrics",
        "Metrics in Prometheus' format",
        "viewer",
        answers={200: answer({"type": "string"}, "The metrics", media="text/plain")},
        refusals=ADMIN,
    ),
    ("GET", "/admin/access"): admin(
        "access",
        "The blast radius: what an agent, or everybody in a user's name, can reach now",
        "viewer",
        parameters=[
            in_query("agent", "Its name; exactly one of the two.", text(format="jit-auth-agent")),
            in_query("user", "Their id.", PERSON),
        ],
        answers={200: answer(_REPORT, "The report")},
        refusals=united(ADMIN, _MISSING, {400: ("bad_user",)}),
    ),
    ("GET", "/admin/audit"): admin(
        "audit",
        "The record, newest first",
        "viewer",
        parameters=[
            in_query("since", "At or after this time.", TIME),
            in_query("execution", "Of this execution.", {**EXECUTION_ID, "format": "jit-auth-execution"}),
            LIMIT,
            in_query("cursor", "`next` of the page before.", text(format="jit-auth-place")),
        ],
        answers={200: answer(listed("Record"), "A page")},
        refusals=united(ADMIN, _MISSING),
    ),
    ("GET", "/admin/explain"): admin(
        "explain",
        "A stored execution through today's rules",
        "viewer",
        parameters=[in_query("execution", "Its id.", {**EXECUTION_ID, "format": "jit-auth-execution"}, needed=True)],
        answers={200: answer(_EXPLAINED, "Every rule, with what it read")},
        refusals=united(ADMIN, {404: ("not_found", "unknown_action")}),
    ),
    ("DELETE", "/admin/users/{id}"): admin(
        "eraseUser",
        "Erase a person: cut them off, destroy their key and id",
        "security",
        parameters=[in_path("id", "Their id.", {**PERSON, "format": "jit-auth-user"})],
        body=body(closed({"reason": text(maxLength=LONGEST_REASON)}, []), needed=False),
        answers={
            200: answer(
                {
                    "allOf": [
                        ref("Report"),
                        {"properties": {"erased": {"const": True}}, "required": ["user", "erased"]},
                    ]
                },
                "They are erased",
            )
        },
        refusals=united(POSTED, _MISSING, {400: ("bad_user",)}),
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
        body=_WHY,
        answers={200: answer(closed({"halted": {"const": True}, "since": TIME}), "It is halted")},
        refusals=POSTED,
    ),
    ("POST", "/admin/resume"): admin(
        "resume",
        "Go on",
        "operator",
        body=_WHY,
        answers={
            200: answer(closed({"halted": {"const": False}, "seconds": {"type": "number", "minimum": 0}}), "It goes on")
        },
        refusals=POSTED,
    ),
}
