"""Schemas that several operations share: the execution and what is in it, an action, a problem, a report of a cut."""

from __future__ import annotations

from typing import get_args

from jit_auth.core.events import TYPES, Event
from jit_auth.model import State
from jit_auth.web.admin import KINDS, LONGEST_REASON
from jit_auth.web.openapi.parts import Json, closed, in_query, maybe, ref, text

_TAIL = "[0-7][0-9a-hjkmnp-tv-z]{25}"
"""Of an id: 48 bits of time, 80 of chance."""

EXECUTION_ID = text(pattern=f"^exe_{_TAIL}$")
DIGEST = text("SHA-256 of exactly what is sent and for whom.", pattern="^sha256:[0-9a-f]{64}$")
TIME = text(format="date-time")
TEXTS: Json = {"type": "array", "items": {"type": "string"}}
ANY_OBJECT: Json = {"type": "object"}
COUNT: Json = {"type": "integer", "minimum": 0}
WORDS = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
"""Says something, and has no NUL, which no body may hold (RFC 7493 lets it be refused)."""
REASON = text("Why: it goes on record.", minLength=1, maxLength=LONGEST_REASON, pattern=WORDS)
PERSON = text("An id of a person: an address, or a name.", minLength=1, maxLength=254, format="jit-auth-person")
CURSOR = text("`next` of the page before.", format="jit-auth-cursor")
LIMIT = in_query("limit", "How many at most: 50, above 200 counts as 200.", {"type": "integer", "minimum": 1})
RISK: Json = {"enum": ["low", "medium", "high", "critical"]}
STATES = get_args(State)
TOOL_NAME = text("What model APIs take it by.", pattern="^[A-Za-z0-9_-]{1,64}$")
TOLD = text("What a model is told: what it does, its risk, that people may come first.", maxLength=1_024)
TOOL_PARAMS: Json = {
    "type": "object",
    "description": "JSON Schema of the parameters.",
    "properties": {
        "type": {"const": "object"},
        "properties": {"type": "object", "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,64}$"}},
        "additionalProperties": {"const": False},
    },
    "required": ["type", "properties", "additionalProperties"],
}

_CONSENT = closed(
    {
        "kind": {"const": "consent"},
        "provider": text(),
        "missing_scopes": TEXTS,
        "new_agent": {"type": "boolean", "description": "Others of this user's agents have these scopes already."},
        "url": text("Where the user consents.", format="uri"),
        "expires_at": TIME,
        "last_error": text("What the provider answered when it was last tried."),
    },
    ["kind", "provider", "missing_scopes", "new_agent", "url", "expires_at"],
)
_APPROVAL = closed(
    {
        "kind": {"const": "approval"},
        "id": text(pattern=f"^apr_{_TAIL}$"),
        "from": TEXTS,
        "need": {"type": "integer", "minimum": 1},
        "approved_by": {"anyOf": [TEXTS, COUNT], "description": "A count where this agent is told no names."},
        "expires_at": TIME,
    }
)
TASK_ID = text("The agent's own name of it.", minLength=1, maxLength=128, format="jit-auth-task")
_TASK: dict[str, Json] = {"id": TASK_ID, "title": maybe(text(minLength=1, maxLength=200, pattern=r"\S"))}
_METADATA = {**ANY_OBJECT, "description": "The agent's own: told again, in events too; no rule reads it."}
_NOT_YET = ("id", "status", "result", "created_at", "updated_at", "expires_at")


def _without(schema: Json, name: str) -> Json:
    needed = [each for each in schema["required"] if each != name]
    return closed({each: says for each, says in schema["properties"].items() if each != name}, needed)


_EXECUTION = {
    "id": EXECUTION_ID,
    "action": text(),
    "user": maybe(text()),
    "agent": text(),
    "chain": {**TEXTS, "minItems": 1},
    "account": maybe(text()),
    "summary": text("One line for people."),
    "params": maybe(ANY_OBJECT),
    "edited_by": maybe(text()),
    "reason": maybe(text()),
    "task": maybe(closed(_TASK)),
    "metadata": maybe(_METADATA),
    "status": {"enum": list(STATES)},
    "digest": maybe(DIGEST),
    "labels": TEXTS,
    "decision": closed(
        {
            "effect": {"enum": ["allow", "require_approval", "deny"]},
            "rules": TEXTS,
            "reasons": TEXTS,
            "policy": text("Hash of the rules."),
        }
    ),
    "waiting_for": {"type": "array", "items": {"oneOf": [ref("Consent"), ref("Approval")]}},
    "result": maybe(ref("Result")),
    "error": maybe(ref("Error")),
    "created_at": TIME,
    "updated_at": TIME,
    "expires_at": TIME,
}

SCHEMAS: dict[str, Json] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `code` is what programs read; `hint` says what to do.",
        "properties": {
            "type": {"const": "about:blank"},
            "title": text(),
            "status": {"type": "integer"},
            "code": text(pattern="^[a-z][a-z_]*$"),
            "detail": text(),
            "hint": text(),
            "faults": {"type": "array", "items": ref("Fault")},
        },
        "required": ["type", "title", "status", "code", "detail", "hint"],
    },
    "Fault": closed({"pointer": text("A JSON pointer into the body."), "message": text()}),
    "Call": closed(
        {
            "action": text("Its full name, or its tool_name.", examples=["mailhub.send_message"]),
            "user": maybe(PERSON),
            "params": {**ANY_OBJECT, "description": "As `GET /actions/{name}` says."},
            "account": maybe(text("Where the user connected several.", maxLength=254)),
            "reason": maybe(text("Why, in the agent's words.", maxLength=2_000)),
            "task": maybe(closed(_TASK, ["id"])),
            "metadata": maybe({**_METADATA, "description": "At most 2 KiB; told again, in events too."}),
            "dry_run": {"type": "boolean", "description": "Only tell what would become of it."},
            "expires_in": {"type": "integer", "minimum": 60, "maximum": 1_209_600, "description": "Seconds."},
            "callback_url": maybe(text("Under one of the agent's `callback_urls`.", maxLength=2_000)),
            "return_url": maybe(text("Under one of the agent's `return_urls`.", maxLength=2_000)),
        },
        ["action"],
    ),
    "Execution": closed(
        {
            **_EXECUTION,
            "joined": {"const": True, "description": "An equal call was paused: this is that one."},
            "removed": {**TEXTS, "description": "What was kept no longer, by retention or erasure."},
        },
        list(_EXECUTION),
    ),
    "Claimed": closed(
        {**_EXECUTION, "claim": text("Completes it. A secret.", pattern="^jat_clm_"), "claim_expires_at": TIME},
    ),
    "Claim": closed({**_EXECUTION, "claim_expires_at": TIME}),
    "Preview": closed(
        {
            **_EXECUTION,
            **{name: {"type": "null"} for name in _NOT_YET},
            "waiting_for": {
                "type": "array",
                "items": {"oneOf": [_without(_CONSENT, "url"), _without(_APPROVAL, "id")]},
            },
        }
    ),
    "Event": {
        "type": "object",
        "description": "Of a stream of server-sent events; `data` is JSON, as webhooks carry it.",
        "properties": {
            "id": text("Opaque: for `Last-Event-ID`."),
            "event": {"enum": [kind for kind in TYPES if Event(kind).own]},
            "data": text(contentMediaType="application/json", contentSchema=ref("Told")),
        },
        "required": ["id", "event", "data"],
    },
    "Told": closed(
        {
            "type": text(),
            "timestamp": TIME,
            "data": {"type": "object", "properties": {"execution": EXECUTION_ID, "status": {"enum": list(STATES)}}},
        }
    ),
    "Consent": _CONSENT,
    "Approval": _APPROVAL,
    "Connection": closed(
        {
            "id": text(pattern=f"^grt_{_TAIL}$"),
            "user": text(),
            "provider": text(),
            "account": maybe(text("The provider's id of the account: what `account` of a call may name.")),
            "account_name": maybe(text("As people know it: `account` may name it too, where it is the only such.")),
            "scopes": {**TEXTS, "description": "What this agent may use of it."},
            "status": {"enum": ["live", "broken"], "description": "broken: the provider takes it no longer."},
            "created_at": TIME,
            "updated_at": TIME,
            "last_used_at": maybe({**TIME, "description": "By this agent, among the user's last calls."}),
        }
    ),
    "Result": closed(
        {
            "status": maybe({"type": "integer", "description": "Null: what an agent says of its own function."}),
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "body": {"description": "Parsed for JSON, a string for text, else `{base64}`."},
            "untrusted": {"const": True},
            "truncated": {"const": True},
        },
        ["status", "headers", "body", "untrusted"],
    ),
    "Error": closed(
        {"code": text(), "message": text(), "hint": text(), "by": maybe(text()), "feedback": maybe(text())}
    ),
    "Denied": {
        "allOf": [
            ref("Problem"),
            {"type": "object", "properties": {"execution": ref("Execution")}, "required": ["execution"]},
        ]
    },
    "Action": closed(
        {
            "name": text(),
            "tool_name": TOOL_NAME,
            "title": text(),
            "summary": text(),
            "connector": text(),
            "provider": text(),
            "risk": RISK,
            "effect": {"enum": ["read", "create", "update", "delete"]},
            "run": {"enum": ["engine", "agent"], "description": "Who makes it: this service, or the agent itself."},
            "exposes": {"type": "array", "items": {"enum": ["private", "untrusted", "external"]}},
            "scopes": TEXTS,
            "any_scopes": TEXTS,
            "params": {**ANY_OBJECT, "description": "JSON Schema of the parameters."},
        }
    ),
    "OpenAiTool": closed(
        {
            "type": {"const": "function"},
            "function": closed({"name": TOOL_NAME, "description": TOLD, "parameters": TOOL_PARAMS}),
        }
    ),
    "AnthropicTool": closed({"name": TOOL_NAME, "description": TOLD, "input_schema": TOOL_PARAMS}),
    "Report": {
        "type": "object",
        "description": "What was cut, of whatever is named.",
        "properties": {
            **{kind: text() for kind in KINDS},
            "cut": closed(dict.fromkeys(("grants", "consents", "sessions", "executions", "passes"), COUNT)),
            "revoked": COUNT,
            "pending": COUNT,
            "unrevocable": {**TEXTS, "description": "Providers that take nothing back."},
        },
        "required": ["cut", "revoked", "pending", "unrevocable"],
        "oneOf": [{"required": [kind]} for kind in KINDS],
    },
    "Record": closed(
        {
            "id": text(),
            "at": TIME,
            "actor": text(),
            "user": maybe(text("A pseudonym, once they are erased.")),
            "agent": maybe(text()),
            "execution": maybe(text()),
            "what": {"type": "array", "items": {"type": "object", "required": ["do"]}},
        }
    ),
}

SECURITY: dict[str, Json] = {
    "agentToken": {"type": "http", "scheme": "bearer", "description": "An agent's own token ([agents.X])."},
    "adminToken": {"type": "http", "scheme": "bearer", "description": "An admin's token ([admins.X])."},
    "appSecret": {"type": "http", "scheme": "bearer", "description": "`[users] app_secret`."},
    "slackSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Slack-Signature",
        "description": "v0, over X-Slack-Request-Timestamp and the body as it came.",
    },
}
