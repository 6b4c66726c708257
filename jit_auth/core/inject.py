"""Where a credential goes, and how it is put there: one header or one query parameter, every other byte as it was."""

from __future__ import annotations

from urllib.parse import quote

from jit_auth.errors import Misconfigured
from jit_auth.model import Inject, Place, Request


def place(inject: Inject) -> Place:
    """Where `put` will write."""
    if inject.query is not None:
        return Place("query", inject.query)
    return Place("header", (inject.header or "authorization").lower())


def put(request: Request, where: Place, text: str) -> Request:
    """The request with `text` in its place.

    Raises Misconfigured where the place is taken already: a parameter may never stand in the credential's place
    (THREAT_MODEL 31).
    """
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
