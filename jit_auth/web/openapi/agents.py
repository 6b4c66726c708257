"""What agents may ask, and health."""

from __future__ import annotations

from jit_auth.catalog.formats import FORMATS
from jit_auth.core.position import PATTERN
from jit_auth.web.functions import LONGEST_TEXT
from jit_auth.web.openapi.parts import (
    EVERYWHERE,
    JSON,
    PROBLEM,
    Json,
    Refusals,
    answer,
    body,
    closed,
    header,
    in_header,
    in_path,
    in_query,
    listed,
    operation,
    ref,
    text,
    united,
)
from jit_auth.web.openapi.schemas import CURSOR, EXECUTION_ID, LIMIT, PERSON, STATES, TASK_ID, TIME
from jit_auth.web.stream import EVENT_ID

AGENT: Refusals = united(
    EVERYWHERE,
    {400: ("unknown_field", "bad_query"), 401: ("unauthenticated",), 429: ("too_many_waits",)},
)
_TOKEN = ("agentToken",)
_ID = in_path("id", "An execution's id.", {**EXECUTION_ID, "format": "jit-auth-execution"})
_CURSOR = in_query("cursor", "`next` of the page before.", CURSOR)
_ONE_OF = "|".join(STATES)
_EXECUTION = ref("Execution")
_LATER = {
    "Location": header("the execution", needed=True),
    "Retry-After": header("seconds", text(pattern="^[0-9]+$"), needed=True),
}
_LINKS: Json = {
    "again": {"operationId": "getExecution", "parameters": {"id": "$response.body#/id"}},
    "withdraw": {"operationId": "cancelExecution", "parameters": {"id": "$response.body#/id"}},
}
_OWN_NOT_FOUND = {404: ("not_found",)}
_EMPTY: Json = {"required": False, "content": {JSON: {"schema": closed({})}}}
_CLAIM = text("As it came when it was claimed.", minLength=1, maxLength=LONGEST_TEXT)
_DIGESTS = ["sha256:" + "0" * 64]
_DENIED: Json = {"description": "Denied, or not permitted", "content": {PROBLEM: {"schema": {}}}}


def _bare(of: str) -> Json:
    return {"type": "array", "items": ref(of)}


def _health(id: str, summary: str, codes: tuple[str, ...], *, refused: tuple[str, ...] = ()) -> Json:
    answers = {200: answer({"type": "string", "enum": list(codes)}, "It does", media="text/plain")}
    if refused:
        answers[503] = answer({"type": "string", "enum": list(refused)}, "It does not", media="text/plain")
    return operation(id, summary, tag="health", answers=answers, refusals={})


def _execute() -> Json:
    made = operation(
        "execute",
        "Ask for one action",
        tag="agents",
        security=_TOKEN,
        parameters=[
            in_header(
                "Idempotency-Key",
                "The same key and body: the same execution, whatever has changed since.",
                text(minLength=1, maxLength=255, format="jit-auth-visible"),
            ),
            in_header(
                "Prefer", "`wait=N` (at most 60) or `respond-async` (RFC 7240).", text(examples=["respond-async"])
            ),
        ],
        body=body(ref("Call")),
        answers={
            200: {
                **answer({"anyOf": [_EXECUTION, ref("Preview")]}, "It has ended; or it was a dry run"),
                "links": _LINKS,
            },
            202: {**answer(_EXECUTION, "It waits for somebody, or is being made", headers=_LATER), "links": _LINKS},
        },
        refusals=united(
            AGENT,
            {
                400: ("bad_json", "bad_user", "bad_key"),
                404: ("unknown_action",),
                413: ("too_large",),
                422: ("invalid_params", "unknown_account", "ambiguous_account", "idempotency_mismatch"),
                429: ("too_many_open", "too_many_dry_runs"),
                503: ("busy", "halted", "stale_bundle"),
            },
        ),
        description="Without `Prefer` a call that nobody must decide is waited for, until it ends.",
    )
    permitted = {
        "allOf": [
            ref("Problem"),
            {"properties": {"code": {"enum": ["action_not_permitted", "user_not_permitted"]}, "execution": False}},
        ]
    }
    denied = {"schema": {"oneOf": [ref("Denied"), permitted]}}
    made["responses"]["403"] = {**_DENIED, "content": {PROBLEM: denied}}
    return made


def _events() -> Json:
    stream = answer(ref("Event"), "The events from now on, each as these fields", media="text/event-stream")
    last = in_header("Last-Event-ID", "After this event.", text(pattern=f"^{EVENT_ID}$"))
    return operation(
        "executionEvents",
        "Server-sent events of one execution",
        tag="agents",
        security=_TOKEN,
        parameters=[_ID, last],
        answers={200: stream, 204: {"description": "There is nothing more to come"}},
        refusals=united(AGENT, _OWN_NOT_FOUND, {429: ("too_many_streams",)}),
    )


def _function(id: str, summary: str, takes: Json, gives: Json, refusals: Refusals) -> Json:
    return operation(
        id,
        summary,
        tag="agents",
        security=_TOKEN,
        parameters=[_ID],
        body=body(takes),
        answers={200: gives},
        refusals=united(
            AGENT,
            _OWN_NOT_FOUND,
            refusals,
            {400: ("bad_json",), 413: ("too_large",), 422: ("invalid_params",), 503: ("busy",)},
        ),
    )


def _claim() -> Json:
    made = _function(
        "claimExecution",
        "Take the turn: every check of a send, once",
        closed({"digest": text("As the execution says.", minLength=1, maxLength=LONGEST_TEXT, examples=_DIGESTS)}),
        answer(ref("Claimed"), "It is this agent's to run"),
        {
            400: ("bad_key",),
            409: ("not_released", "already_claimed", "already_finished", "digest_mismatch"),
            503: ("halted", "stale_bundle"),
        },
    )
    made["parameters"].append(
        in_header(
            "Idempotency-Key",
            "The same key: the same claim again, until its first use. Random, of one process, for one turn.",
            text(minLength=1, maxLength=255, format="jit-auth-visible"),
        )
    )
    made["responses"]["403"] = {**_DENIED, "content": {PROBLEM: {"schema": ref("Denied")}}}
    return made


def _all_events() -> Json:
    stream = answer(ref("Event"), "The events from now on, each as these fields", media="text/event-stream")
    last = in_header("Last-Event-ID", "After this event; an id is opaque.", text(pattern=f"^{PATTERN}$"))
    return operation(
        "events",
        "Server-sent events of all of the agent's own executions",
        tag="agents",
        security=_TOKEN,
        parameters=[last],
        answers={200: stream},
        refusals=united(AGENT, {429: ("too_many_streams",)}),
    )


OPERATIONS: dict[tuple[str, str], Json] = {
    ("GET", "/healthz"): _health("healthz", "Whether the process lives", ("ok",)),
    ("GET", "/readyz"): _health(
        "readyz",
        "Whether it can work",
        ("ok", "reload_failed"),
        refused=("starting", "draining", "clock_skew", "stale_bundle", "halted"),
    ),
    ("GET", "/openapi.json"): operation(
        "openapi",
        "This document",
        tag="health",
        answers={200: answer({"type": "object"}, "The routes of this service")},
        refusals={421: ("wrong_host",)},
    ),
    ("POST", "/execute"): _execute(),
    ("GET", "/executions"): operation(
        "listExecutions",
        "The agent's own executions, newest first",
        tag="agents",
        security=_TOKEN,
        parameters=[
            in_query("status", "One or several, with commas.", text(pattern=f"^({_ONE_OF})(,({_ONE_OF}))*$")),
            in_query("user", "Of this user.", PERSON),
            in_query("task", "Of this task.", TASK_ID),
            in_query("updated_since", "Changed at or after this time.", TIME),
            LIMIT,
            _CURSOR,
        ],
        answers={200: answer(listed("Execution"), "A page")},
        refusals=united(AGENT, {400: ("bad_user",)}),
    ),
    ("GET", "/executions/{id}"): operation(
        "getExecution",
        "One execution",
        tag="agents",
        security=_TOKEN,
        parameters=[
            _ID,
            in_query("wait", "Seconds to wait for its end: above 60 counts as 60.", {"type": "integer", "minimum": 0}),
        ],
        answers={200: answer(_EXECUTION, "As it is, whatever its status")},
        refusals=united(AGENT, _OWN_NOT_FOUND),
    ),
    ("POST", "/executions/{id}/cancel"): operation(
        "cancelExecution",
        "Withdraw a call that waits",
        tag="agents",
        security=(*_TOKEN, "adminToken"),
        description="An admin of role operator may withdraw any agent's.",
        parameters=[_ID],
        body=_EMPTY,
        answers={
            200: answer(
                {"anyOf": [_EXECUTION, closed({"id": EXECUTION_ID, "status": {"const": "cancelled"}})]},
                "It is cancelled; the short form where its agent is in the configuration no more",
            )
        },
        refusals=united(
            AGENT,
            _OWN_NOT_FOUND,
            {403: ("role_required",), 409: ("already_finished", "executing"), 413: ("too_large",), 503: ("busy",)},
        ),
    ),
    ("POST", "/executions/{id}/claim"): _claim(),
    ("POST", "/executions/{id}/heartbeat"): _function(
        "heartbeat",
        "Still at it: the claim lasts as long again",
        closed({"claim": _CLAIM}),
        answer(ref("Claim"), "It lasts longer"),
        {403: ("wrong_claim", "revoked"), 409: ("not_claimed", "claim_expired", "already_finished")},
    ),
    ("POST", "/executions/{id}/complete"): _function(
        "completeExecution",
        "What came of it",
        closed(
            {
                "claim": _CLAIM,
                "outcome": {"enum": ["succeeded", "failed"]},
                "result": {"description": "What the function gave: any JSON; kept as `result.body`."},
            },
            ["claim", "outcome"],
        ),
        answer(_EXECUTION, "It is settled"),
        {403: ("wrong_claim",), 409: ("not_claimed", "already_finished")},
    ),
    ("GET", "/executions/{id}/events"): _events(),
    ("GET", "/events"): _all_events(),
    ("GET", "/actions"): operation(
        "listActions",
        "The actions this agent may use, by name",
        tag="agents",
        security=_TOKEN,
        parameters=[
            in_query("q", "Words to look for: the best first.", text(maxLength=200, format="jit-auth-visible")),
            in_query("format", "For programs, or as tools of a model API.", {"enum": sorted(FORMATS)}),
            LIMIT,
            _CURSOR,
        ],
        answers={
            200: answer(
                {"anyOf": [listed("Action"), _bare("OpenAiTool"), _bare("AnthropicTool")]},
                "A page; in a model's format a bare array of all of them, or of the first `limit`",
            )
        },
        refusals=AGENT,
    ),
    ("GET", "/actions/{name}"): operation(
        "getAction",
        "One action this agent may use",
        tag="agents",
        security=_TOKEN,
        parameters=[in_path("name", "Its full name, or its tool_name.", text(minLength=1, format="jit-auth-action"))],
        answers={200: answer(ref("Action"), "The action")},
        refusals=united(AGENT, {404: ("unknown_action", "not_found")}),
    ),
}
