"""The kind `oauth2`: a user's access token, in a header or a query parameter (RFC 6750)."""

from __future__ import annotations

from msgspec.structs import fields

from jit_auth.catalog.kinds import COMMON, Fault
from jit_auth.catalog.provider import scope_fault
from jit_auth.config.provider import ClientTable
from jit_auth.core.inject import place
from jit_auth.credentials.kind import Kind, Secret
from jit_auth.errors import Misconfigured
from jit_auth.model import Millis, Place, Provider, Request, Token
from jit_auth.oauth import bearer
from jit_auth.oauth.freshness import due

_RESERVED_PARAMS = frozenset({
    "client_id", "client_secret", "redirect_uri", "response_type", "state", "nonce", "code", "code_challenge",
    "code_challenge_method", "code_verifier", "grant_type", "refresh_token",
})  # fmt: skip


def _judge(provider: Provider, fault: Fault) -> None:
    for key in ("authorize_url", "token_url"):
        if getattr(provider, key) is None and provider.issuer is None:
            fault((), f"missing key {key!r} (or issuer, whose metadata names it)")
    if not provider.scope_separator:
        fault(("scope_separator",), "scope_separator: is empty")
    for key in ("token_path", "account_id", "account_name"):
        pointer = getattr(provider, key)
        if pointer and not pointer.startswith("/"):
            fault((key,), f"{key}: a JSON pointer begins with /")
    scopes = [*provider.base_scopes, *provider.implies, *(s for some in provider.implies.values() for s in some)]
    for scope in scopes:
        if why := scope_fault(scope):
            fault(("base_scopes" if scope in provider.base_scopes else "implies",), why)
    for key in ("authorize_params", "token_params"):
        for name in getattr(provider, key):
            if name in _RESERVED_PARAMS or name == provider.scope_param:
                fault((key,), f"{key}: {name} is set by the protocol itself")
    if provider.client_id is not None and provider.client_secret is None and provider.token_auth != "none":
        fault(("client_id",), 'a client needs client_secret, or token_auth = "none" where the provider gave it none')


def _adds(provider: Provider) -> frozenset[Place]:
    return frozenset({place(provider.inject)})


def _open(provider: Provider, token: Token | None) -> Secret:
    if token is None:
        raise Misconfigured(f"There is no token for {provider.id}.")
    return Secret(token=token)


def _apply(provider: Provider, request: Request, secret: Secret, _now: Millis) -> Request:
    if secret.token is None:
        raise Misconfigured(f"There is no token for {provider.id}.")
    return bearer.with_token(provider, request, secret.token.access)


def _traces(secret: Secret) -> tuple[bytes, ...]:
    if secret.token is None:
        return ()
    # The value around the token ("Bearer ...") needs no trace of its own: wherever it shows, the token in it goes.
    return tuple(value.encode() for value in (secret.token.access, secret.token.refresh) if value)


OAUTH2 = Kind(
    name="oauth2",
    connects=True,
    keys=frozenset(field.name for field in fields(ClientTable)) - COMMON - {"secret", "username"},
    placeholder="{token}",
    judge=_judge,
    adds=_adds,
    due=due,
    open=_open,
    apply=_apply,
    traces=_traces,
)
