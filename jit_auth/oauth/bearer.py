"""Put an access token where a provider wants it: one header or one query parameter of a request, purely."""

from __future__ import annotations

from urllib.parse import quote

from jit_auth.errors import Misconfigured
from jit_auth.model import Place, Provider, Request


def usable(token: object) -> bool:
    """Whether an access token can stand in a header or query: visible ASCII (no CR, LF or blank to break out with)."""
    if not isinstance(token, str) or not 0 < len(token) <= 16_384:
        return False
    return token.isascii() and token.isprintable() and " " not in token


def place(provider: Provider) -> Place:
    """Where `with_token` will write."""
    inject = provider.inject
    if inject.query is not None:
        return Place("query", inject.query)
    return Place("header", (inject.header or "authorization").lower())


def value(provider: Provider, access: str) -> str:
    """What is written there; a query parameter takes the token alone unless the data says otherwise."""
    if provider.inject.query is not None:
        return access
    return provider.inject.value.replace("{token}", access)


def with_token(provider: Provider, request: Request, access: str) -> Request:
    """The request with the token added, every other byte as it was.

    Raises Misconfigured where the place is taken already (a parameter may never stand in the credential's place,
    THREAT_MODEL 31) or the token is no header value.
    """
    if not usable(access):
        raise Misconfigured(f"The access token of {provider.id} cannot be sent.")
    where, text = place(provider), value(provider, access)
    if where.where == "header":
        if any(name.lower() == where.name for name, _ in request.headers):
            raise Misconfigured(f"The request already has the header {where.name}, which the credential fills.")
        return Request(request.method, request.url, (*request.headers, (where.name, text)), request.body)
    head, _, query = request.url.partition("?")
    name = quote(where.name, safe="")
    if any(part.split("=", 1)[0] == name for part in query.split("&")):
        raise Misconfigured(f"The request already has the query parameter {where.name}, which the credential fills.")
    # The URL is appended to, never parsed and rebuilt: what was hashed leaves as it was hashed.
    url = f"{head}?{query}{'&' if query else ''}{name}={quote(text, safe='')}"
    return Request(request.method, url, request.headers, request.body)
