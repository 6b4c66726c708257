"""People's pages: by their links, by their session, and from where a provider or an issuer sends a browser back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jit_auth.web.openapi.parts import (
    EVERYWHERE,
    Json,
    Refusals,
    answer,
    body,
    closed,
    form,
    in_header,
    in_path,
    in_query,
    maybe,
    operation,
    page,
    redirect,
    text,
    united,
)
from jit_auth.web.openapi.schemas import DIGEST

PAGE: Refusals = united(EVERYWHERE, {404: ("not_found",)})
_POSTED: Refusals = united(
    PAGE,
    {400: ("bad_json", "bad_form", "bad_content_type", "unknown_field"), 403: ("foreign_origin",), 413: ("too_large",)},
)
_OVER: Refusals = {
    403: ("not_eligible", "other_person"),
    409: ("already_finished", "superseded"),
    410: ("expired", "cancelled", "revoked"),
}
_DECIDED: Refusals = united(
    _POSTED,
    _OVER,
    {
        400: ("bad_decision",),
        403: ("sign_in_required", "passkey_required"),
        409: ("already_decided", "digest_mismatch", "no_approver", "stale", "not_unknown"),
        422: ("invalid_params",),
        503: ("busy", "stale_bundle"),
    },
)
_PASSKEY: Refusals = {
    403: (
        "passkey_refused", "passkey_replayed", "passkey_unknown", "passkey_unverified", "passkey_expired",
        "passkey_too_young", "no_passkey", "no_passkeys_here", "sign_in_again",
    )
}  # fmt: skip
_SIGNED: Refusals = {401: ("unauthenticated",), 403: ("bad_form_token", "sign_in_required")}
_PROVIDER: Refusals = {500: ("provider_misconfigured",), 502: ("provider_unavailable", "provider")}
_TICKET = in_path("ticket", "The last part of the link.", text(minLength=1, format="jit-auth-ticket"))
_ROUND = in_path("ticket", "The last part of the link, or the id of a round.", text(minLength=1))
_ASK = in_path("ask", "The id of a round.", text(minLength=1))
_ANY_FORM: Json = {"type": "object", "additionalProperties": {"type": "string"}}
_FEEDBACK = maybe(text("A message to the agent.", maxLength=2_000))
_VOTE = {
    "decision": {"enum": ["approve", "deny"]},
    "feedback": _FEEDBACK,
    "digest": maybe(DIGEST),
    "for": maybe(text("Approve equal calls for so long.", maxLength=80, examples=["1h"])),
    "params": {"type": "object", "minProperties": 1, "description": "Parameters that the approver changes."},
}
_RESOLVED = {
    "outcome": {"enum": ["succeeded", "failed"]},
    "note": text("How it is known.", minLength=1, maxLength=2_000),
    "digest": DIGEST,
}
_POST: Json = {"anyOf": [closed(_VOTE, ["decision"]), closed(_RESOLVED, ["outcome", "note"])]}
_VOTED = closed(
    {
        "status": text(),
        "decision": {"enum": ["approve", "deny"]},
        "id": text(),
        "execution": text(),
        "edited": {"const": True},
    },
    ["status", "decision", "id", "execution"],
)
_TOLD: Json = {
    "anyOf": [_VOTED, closed({"status": text(), "outcome": text(), "id": text(), "execution": text()})]
}  # fmt: skip
_SEVERAL = closed(
    {
        "decisions": {
            "type": "array",
            "minItems": 1,
            "items": closed(
                {
                    "id": text(pattern="^(apr|unk)_[0-9a-z]{1,64}$"),
                    **{name: _VOTE[name] for name in ("decision", "feedback", "for")},
                    "digest": DIGEST,
                },
                ["id", "decision", "digest"],
            ),
        }
    }
)


def people(
    id: str,
    summary: str,
    answers: Mapping[int, Json],
    refusals: Refusals,
    *,
    parameters: Sequence[Json] = (),
    posts: Json | None = None,
) -> Json:
    """A page. Nobody is asked for a token: the link, or the browser's session, says who it is."""
    return operation(
        id, summary, tag="people", answers=answers, refusals=refusals, html=True, parameters=parameters, body=posts
    )


def _at_me(id: str, summary: str, *, fields: Sequence[str], back: bool) -> Json:
    """One of the forms about passkeys."""
    named = closed({"form_token": text(), **{name: text() for name in fields}})
    return people(
        id,
        summary,
        {303: redirect("Back to the page")} if back else {200: page("The next step")},
        united(_POSTED, _SIGNED, _PASSKEY),
        posts=form(named),
    )


_GONE = united(PAGE, _OVER, {403: ("sign_in_required",)})
_NOTICE: Json = {**page("Nobody's link: how to get one of one's own"), "headers": {}}

OPERATIONS: dict[tuple[str, str], Json] = {
    ("GET", "/connect/{ticket}"): people(
        "showConsent", "Who asks, for which action, which scopes; changes nothing", {200: page("The page")}, _GONE,
        parameters=[_TICKET],
    ),
    ("POST", "/connect/{ticket}"): people(
        "answerConsent", "Go on to the provider, or refuse",
        {200: page("A page that goes on to the provider (Refresh), or the end")},
        united(_POSTED, _GONE, _PROVIDER, {400: ("bad_decision",), 503: ("busy",)}),
        parameters=[_TICKET],
        posts=body(
            closed({"decision": {"enum": ["allow", "refuse"]}}, []),
            form=closed({"decision": {"enum": ["allow", "refuse"]}, "form_token": text()}, []),
            needed=False,
        ),
    ),
    ("GET", "/connect/{ticket}/code"): people(
        "showCode", "Where a mailed code is typed; changes nothing",
        {200: page("The page"), 303: redirect("No code is needed")}, _GONE, parameters=[_TICKET],
    ),
    ("POST", "/connect/{ticket}/code"): people(
        "enterCode", "With a code: take it; without: mail one", {303: redirect("Back to the page")},
        united(
            _POSTED, _GONE,
            {
                403: ("wrong_code", "code_expired", "code_spent", "no_code"),
                429: ("too_many_mails",),
                503: ("mail_unavailable",),
            },
        ),
        parameters=[_TICKET], posts=form(closed({"code": text()}, []), needed=False),
    ),
    ("POST", "/connect/{ticket}/confirm"): operation(
        "confirmConsent", "The calling application says whose browser it sent", tag="people", security=("appSecret",),
        parameters=[_TICKET], body=body(closed({"nonce": text(), "user": text()})),
        answers={
            200: answer(
                closed(
                    {
                        "status": {"enum": ["connected", "partly", "refused", "error"]},
                        "return_url": maybe(text()),
                    }
                ),
                "It counts",
            )
        },
        refusals=united(
            _POSTED, _OVER, _PROVIDER,
            {400: ("bad_user",), 401: ("unauthenticated",), 403: ("unknown_nonce", "expired"), 503: ("busy",)},
        ),
    ),
    ("GET", "/connect/{ticket}/undo"): people(
        "showUndo", "What was connected; changes nothing", {200: page("The page")}, _GONE, parameters=[_TICKET]
    ),
    ("POST", "/connect/{ticket}/undo"): people(
        "undoConsent", "Take the consent back, once", {200: page("It is taken back")},
        united(_POSTED, _OVER, {503: ("busy",)}), parameters=[_TICKET], posts=form(closed({}), needed=False),
    ),
    ("GET", "/oauth/callback/{provider}"): people(
        "providerCallback", "Where the provider sends the browser back",
        {200: page("What became of it"), 303: redirect("The call's return_url, or the application")},
        united(
            PAGE, _OVER, _PROVIDER,
            {
                400: ("bad_query",), 403: ("flow_refused", "prefetch", "sign_in_required"), 404: ("wrong_path",),
                503: ("busy",),
            },
        ),
        parameters=[
            in_path("provider", "As in the redirect URI.", text(minLength=1)),
            *(in_query(name, "RFC 6749, 4.1.2 and RFC 9207.") for name in ("state", "code", "error", "iss")),
        ],
    ),
    ("GET", "/approvals"): people(
        "listApprovals", "Where what waits for one is found",
        {303: redirect("Sign-in, or one's own page"), 401: _NOTICE},
        united(EVERYWHERE, {401: ("unauthenticated",)}),
    ),
    ("GET", "/approvals/{ticket}"): people(
        "showApproval", "Exactly what will be sent, to whom, why; decides nothing",
        {200: page("The page"), 303: redirect("The list, or the sign-in"), 401: _NOTICE},
        united(_GONE, {401: ("unauthenticated",)}), parameters=[_ROUND],
    ),
    ("POST", "/approvals/{ticket}"): people(
        "decide", "One vote, or what became of a call of unknown outcome",
        {200: page("It counts", json=_TOLD), 401: _NOTICE},
        united(_DECIDED, _PASSKEY, {401: ("unauthenticated",), 403: ("bad_form_token",)}),
        parameters=[_ROUND], posts=body(_POST, form=_ANY_FORM),
    ),
    ("GET", "/approvals/{ticket}/all"): people(
        "showAll", "All that waits for the person whose link it is", {200: page("The page")}, _GONE,
        parameters=[_TICKET],
    ),
    ("POST", "/approvals/{ticket}/all"): people(
        "decideSeveral", "Several votes: all or nothing",
        {200: page("They count", json=closed({"decided": {"type": "array", "items": _VOTED}}))}, _DECIDED,
        parameters=[_TICKET], posts=body(_SEVERAL, form=_ANY_FORM),
    ),
    ("GET", "/approvals/{ticket}/all/{ask}"): people(
        "showOneOfAll", "One of them, whole", {200: page("The page")}, _GONE, parameters=[_TICKET, _ASK]
    ),
    ("POST", "/approvals/{ticket}/all/{ask}"): people(
        "decideOneOfAll", "One vote on one of them", {200: page("It counts", json=_VOTED)}, _DECIDED,
        parameters=[_TICKET, _ASK],
        posts=body(closed({k: v for k, v in _VOTE.items() if k != "params"}, ["decision"]), form=_ANY_FORM),
    ),
    ("POST", "/approvals/{ticket}/passkey"): people(
        "confirmDecision", "The page that asks for the passkey; decides nothing", {200: page("The page")},
        united(_DECIDED, _PASSKEY, {403: ("bad_form_token",)}), parameters=[_ROUND], posts=form(_ANY_FORM),
    ),
    ("GET", "/signin"): people(
        "signIn", "Off to an issuer, or the choice of one", {200: page("The choice"), 303: redirect("The issuer")},
        united(EVERYWHERE, {404: ("not_found",), 503: ("issuer_unavailable",)}),
        parameters=[
            in_query("to", "A path of this service."),
            in_query("issuer", "Its name."),
            in_query("fresh", "Prove yourself there once more."),
        ],
    ),
    ("GET", "/signin/callback/{issuer}"): people(
        "issuerCallback", "Where the issuer sends the browser back", {303: redirect("Signed in")},
        united(
            PAGE,
            {
                400: ("bad_query",),
                403: (
                    "prefetch", "bad_callback", "unknown_state", "foreign_browser", "expired", "wrong_issuer",
                    "signin_refused", "bad_id_token", "unverified_email", "foreign_domain", "other_subject", "left",
                ),
                503: ("issuer_unavailable", "busy"),
            },
        ),
        parameters=[in_path("issuer", "Its name.", text(minLength=1))],
    ),
    ("POST", "/signout"): people(
        "signOut", "End this session, or all of this person's", {200: page("Signed out")}, united(_POSTED, _SIGNED),
        posts=form(closed({"form_token": text(), "everywhere": {"const": "yes"}}, ["form_token"])),
    ),
    ("GET", "/me"): people(
        "showMe", "The signed-in person's own page", {200: page("The page"), 303: redirect("The sign-in")},
        united(EVERYWHERE, {400: ("bad_query",), 401: ("unauthenticated",)}),
        parameters=[in_query("cursor", "Of an older page.")],
    ),
    ("POST", "/me"): people(
        "changeMine", "A form of that page", {303: redirect("Back to the page")},
        united(_POSTED, _SIGNED, {409: ("already_finished",), 503: ("busy",)}), posts=form(_ANY_FORM),
    ),
    ("GET", "/me/passkeys"): people(
        "showPasskeys", "One's passkeys", {200: page("The page"), 303: redirect("The sign-in")}, EVERYWHERE
    ),
    ("POST", "/me/passkeys/add"): _at_me("addPasskey", "The first step", fields=["name"], back=False),
    ("POST", "/me/passkeys/agree"): _at_me(
        "agreeToPasskey", "An existing one says yes", fields=["name", "challenge", "passkey"], back=False
    ),
    ("POST", "/me/passkeys/new"): _at_me(
        "enrolPasskey", "The new one", fields=["name", "challenge", "passkey"], back=True
    ),
    ("POST", "/me/passkeys/remove"): _at_me("removePasskey", "Take one away", fields=["passkey"], back=True),
    ("POST", "/slack/interactions"): operation(
        "slackInteraction", "A press in Slack, signed by it", tag="people", security=("slackSignature",),
        parameters=[in_header("X-Slack-Request-Timestamp", "Seconds since the epoch.", needed=True)],
        body=form(closed({"payload": text("JSON")})),
        answers={200: {"description": "It was taken; what comes of it is told in Slack"}},
        refusals=united(EVERYWHERE, {400: ("bad_request",), 401: ("unauthenticated",), 413: ("too_large",)}),
    ),
}  # fmt: skip
