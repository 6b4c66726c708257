"""What exists to be called: providers, connectors and their actions, as the catalog hands them out (all frozen)."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Risk = Literal["low", "medium", "high", "critical"]
Effect = Literal["read", "create", "update", "delete"]
Exposes = Literal["private", "untrusted", "external"]
In = Literal["path", "query", "header", "body"]
Body = Literal["json", "rfc822-base64url"]
Shown = Literal["text", "html", "base64", "rfc822", "opaque"]
Run = Literal["engine", "agent"]
"""Who makes the call once it may be made."""


class Inject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the credential goes: a header with a value, or one query parameter."""

    header: str | None = None
    value: str = ""
    """With the credential's placeholder; "": as the kind has it by default (`Bearer {token}`)."""
    query: str | None = None


class Provider(Struct, frozen=True, kw_only=True):
    """One authorization server (or none, or a key for all users), as data.

    URLs are absolute; `hosts` are the only ones its secrets reach.

    Sources of the terms: RFC 6749 (endpoints), RFC 9207 (`issuer` as expected `iss`), RFC 7009 (revocation).
    """

    id: str
    kind: str = "oauth2"
    issuer: str | None = None
    authorize_url: str | None = None
    token_url: str | None = None
    refresh_url: str | None = None
    revoke_url: str | None = None
    userinfo_url: str | None = None
    manage_url: str | None = None
    hosts: tuple[str, ...] = ()
    scope_separator: str = " "
    scope_param: str = "scope"
    token_auth: str = "client_secret_basic"
    token_path: str = ""
    """JSON pointer of the object in the token reply that holds the token ("/authed_user" at Slack)."""
    authorize_params: dict[str, str] = {}
    token_params: dict[str, str] = {}
    pkce: bool = True
    base_scopes: tuple[str, ...] = ()
    implies: dict[str, tuple[str, ...]] = {}
    scope_titles: dict[str, str] = {}
    account_id: str = ""
    """JSON pointer of the account's stable id in userinfo (or, without userinfo_url, in the token reply); "": guess."""
    account_name: str = ""
    broken_errors: tuple[str, ...] = ("invalid_grant",)
    """Error codes of the token endpoint that end a grant, also in a 200 (GitHub: bad_refresh_token)."""
    inject: Inject = Inject(header="Authorization")
    client_id: str | None = None
    client_secret: str | None = None
    secret: str | None = None
    """What this deployment proves itself with, for all users (`api_key`, `basic`)."""
    username: str | None = None
    ca: str = ""
    """PEM of the authorities that may vouch for its hosts, beside the system's."""
    connectors: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Provider({self.id!r})"  # it holds secrets

    __str__ = __repr__


class Param(Struct, frozen=True, kw_only=True):
    """One parameter: its JSON Schema (without our own keys), where it goes, and how people see it."""

    name: str
    schema: dict[str, Any]
    required: bool = False
    where: In = "body"
    sensitive: bool = False
    shown: Shown = "text"
    integer: bool = False
    """Taken as a decimal string (`format = "int64"`), sent as a JSON integer."""


class Action(Struct, frozen=True, kw_only=True):
    """One thing an agent may ask for. `name` is `connector.action`."""

    name: str
    connector: str
    provider: str
    title: str
    summary: str
    show: tuple[str, ...]
    method: str
    path: str
    risk: Risk
    effect: Effect
    retry: str
    """safe | idempotent | key:HEADER | never"""
    scopes: tuple[str, ...] = ()
    any_scopes: tuple[str, ...] = ()
    params: tuple[Param, ...] = ()
    body: Body = "json"
    """What the parameters of the body become: a JSON object of them, or one that holds a message made of them."""
    timeout: int = 30_000
    """Milliseconds from the first byte written to the whole answer."""
    expose_headers: tuple[str, ...] = ()
    secret_fields: tuple[str, ...] = ()
    unauthorized_is_unexecuted: bool = False
    run: Run = "engine"
    """`agent`: a function of the agent's own. It has no request: `method` and `path` are empty, `retry` is never."""
    claim_timeout: int = 0
    """Milliseconds from a claim, or its last heartbeat, until its outcome counts as unknown (`run` agent)."""
    exposes: tuple[Exposes, ...] = ()
    """What using it touches: `private` (it returns private data), `untrusted` (it returns text that others wrote),
    `external` (others see its effect). Sorted as named here."""
    reads: tuple[str, ...] = ()
    """Channels whose messages its result can hold: whoever may call it may read what approvers are sent."""


class Connector(Struct, frozen=True, kw_only=True):
    """A folder under connectors/: a base URL, the provider behind it, and its actions."""

    id: str
    name: str
    provider: Provider
    actions: tuple[Action, ...]
    docs: str | None = None
    base_url: str | None = None
