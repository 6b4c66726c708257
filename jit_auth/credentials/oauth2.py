"""The kind `oauth2`: a user's access token, in a header or a query parameter (RFC 6750)."""

from __future__ import annotations

from jit_auth.credentials.kind import Kind, Secret
from jit_auth.errors import Misconfigured
from jit_auth.model import Millis, Place, Provider, Request, Token
from jit_auth.oauth import bearer
from jit_auth.oauth.freshness import due


def _adds(provider: Provider) -> frozenset[Place]:
    return frozenset({bearer.place(provider)})


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


OAUTH2 = Kind(name="oauth2", adds=_adds, due=due, open=_open, apply=_apply, traces=_traces, connects=True)
