"""What agents with `connections = true` may ask: /connections."""

from __future__ import annotations

from jit_auth.web.connections import LONGEST_NAME, MOST_ACTIONS
from jit_auth.web.openapi.agents import AGENT
from jit_auth.web.openapi.parts import (
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
from jit_auth.web.openapi.schemas import CURSOR, LIMIT, PERSON, TEXTS

_TOKEN = ("agentToken",)
_CONNECTS: Refusals = united(AGENT, {403: ("connections_not_permitted", "revoked"), 413: ("too_large",)})
_WISH = closed(
    {
        "user": PERSON,
        "actions": {
            "type": "array",
            "items": text(maxLength=LONGEST_NAME, format="jit-auth-action"),
            "minItems": 1,
            "maxItems": MOST_ACTIONS,
        },
        "account": maybe(text("The connected account that is to serve them.", maxLength=254)),
        "another_account": {"type": "boolean", "description": "One more account, whatever is connected."},
        "return_url": maybe(text("Under one of the agent's `return_urls`.", maxLength=2_000)),
    },
    ["user", "actions"],
)
_ASKED = closed(
    {
        "user": text(),
        "agent": text(),
        "actions": TEXTS,
        "status": {"enum": ["open", "connected"], "description": "connected: nothing is missing, nobody is asked."},
        "url": maybe(text("The first link; null where nothing is missing.", format="uri")),
        "waiting_for": {"type": "array", "items": ref("Consent"), "description": "One per provider."},
    }
)
_ENDED = closed(
    {
        "id": text(),
        "status": {"enum": ["revoked", "withdrawn"], "description": "withdrawn: other agents still use the account."},
        "at_provider": {
            "enum": ["revoked", "pending", "unsupported", None],
            "description": "Whether the provider has taken its tokens back. Null: they are still used.",
        },
    }
)

OPERATIONS: dict[tuple[str, str], Json] = {
    ("POST", "/connections"): operation(
        "askConnections",
        "Links by which a user connects what is missing, before a call needs it",
        tag="agents",
        security=_TOKEN,
        body=body(_WISH),
        answers={201: answer(_ASKED, "What is missing, with a link each; an equal request has the same links")},
        refusals=united(
            _CONNECTS,
            {
                400: ("bad_json", "bad_user"),
                403: ("action_not_permitted", "user_not_permitted", "recently_denied"),
                404: ("unknown_action",),
                422: ("invalid_params", "unknown_account", "ambiguous_account"),
                429: ("too_many_connections", "too_many_open"),
                503: ("busy", "halted"),
            },
        ),
    ),
    ("GET", "/connections"): operation(
        "listConnections",
        "A user's accounts that this agent may use, newest first",
        tag="agents",
        security=_TOKEN,
        parameters=[
            in_query("user", "Whose.", PERSON, needed=True),
            LIMIT,
            in_query("cursor", "`next` of the page before.", CURSOR),
        ],
        answers={200: answer(listed("Connection"), "A page")},
        refusals=united(_CONNECTS, {400: ("bad_user",), 403: ("user_not_permitted",)}),
    ),
    ("DELETE", "/connections/{id}"): operation(
        "endConnection",
        "Use the account no longer; where no other agent does, it is revoked at its provider",
        tag="agents",
        security=_TOKEN,
        parameters=[in_path("id", "A connection's id.", text(pattern="^grt_[0-9a-z]{1,64}$"))],
        answers={200: answer(_ENDED, "What came of it")},
        refusals=united(_CONNECTS, {404: ("not_found",), 503: ("busy",)}),
    ),
}
