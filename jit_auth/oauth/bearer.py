"""Put an access token where a provider wants it: one header or one query parameter of a request, purely."""

from __future__ import annotations

from jit_auth.core.inject import place, put
from jit_auth.errors import Misconfigured
from jit_auth.model import Provider, Request

BEARER = "Bearer {token}"
"""What a header holds, unless the provider's data says otherwise (RFC 6750 2.1)."""


def usable(token: object) -> bool:
    """Whether an access token can stand in a header or query: visible ASCII (no CR, LF or blank to break out with)."""
    if not isinstance(token, str) or not 0 < len(token) <= 16_384:
        return False
    return token.isascii() and token.isprintable() and " " not in token


def with_token(provider: Provider, request: Request, access: str) -> Request:
    """The request with the token added, every other byte as it was; a query parameter takes the token alone.

    Raises Misconfigured where the place is taken already or the token is no header value.
    """
    if not usable(access):
        raise Misconfigured(f"The access token of {provider.id} cannot be sent.")
    inject = provider.inject
    text = access if inject.query is not None else (inject.value or BEARER).replace("{token}", access)
    return put(request, place(inject), text)
