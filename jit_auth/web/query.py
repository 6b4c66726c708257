"""Query parameters and headers of agents' routes: known names only, bounded values, the nearest name in the hint."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from aiohttp import web

from jit_auth.errors import BadRequest

LONGEST_WAIT = 60
_INTEGER = re.compile(r"\d{1,9}")


def only(names: Collection[str], known: Collection[str], what: str) -> None:
    """Raises BadRequest (`unknown_field`) for a name that is not known."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(sorted(known)) or 'none'}."
            raise BadRequest(f"Unknown {what} {name[:80]!r}.", code="unknown_field", hint=hint)


def parameters(request: web.Request, known: Collection[str]) -> dict[str, str]:
    """The query, each name known and given once at most."""
    query = request.query
    only(query.keys(), known, "query parameter")
    for name in set(query):
        if len(query.getall(name)) > 1:
            raise BadRequest(f"The query parameter {name!r} is given twice.", code="bad_query", hint="Give it once.")
    return dict(query)


def seconds(text: str | None, default: int = 0) -> int:
    """A `wait`: above 60 counts as 60; below 0 or no integer is a BadRequest."""
    if text is None:
        return default
    if not _INTEGER.fullmatch(text):
        raise BadRequest("`wait` is a number of seconds from 0 to 60.", code="bad_query", hint="For example wait=30.")
    return min(int(text), LONGEST_WAIT)


def limit(text: str | None) -> int:
    """A page's size: 50, at most 200."""
    if text is None:
        return 50
    if not _INTEGER.fullmatch(text) or int(text) < 1:
        raise BadRequest("`limit` is a number from 1 to 200.", code="bad_query", hint="For example limit=50.")
    return min(int(text), 200)


def prefer(request: web.Request) -> int | None:
    """How long `Prefer` (RFC 7240) lets the answer take: seconds, 0 for `respond-async`, None where it says nothing."""
    found: int | None = None
    for header in request.headers.getall("Prefer", ()):
        for part in header.split(","):
            token = part.split(";")[0].strip().lower()
            name, _, value = token.partition("=")
            if name.strip() == "respond-async":
                found = found or 0
            elif name.strip() == "wait":
                found = seconds(value.strip().strip('"'))
    return found
