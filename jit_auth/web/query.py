"""Query parameters and headers of agents' routes: known names only, bounded values, the nearest name in the hint."""

from __future__ import annotations

import re
from collections.abc import Collection

from aiohttp import web

from jit_auth.core.toml import nearest
from jit_auth.errors import BadRequest

LONGEST_WAIT = 60
MOST = 200
"""Items of a page."""
_INTEGER = re.compile(r"0*([0-9]+)")


def only(names: Collection[str], known: Collection[str], what: str) -> None:
    """Raises BadRequest (`unknown_field`) for a name that is not known."""
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {near!r}?" if near else f"Known are: {', '.join(sorted(known)) or 'none'}."
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
    found = _number(text, LONGEST_WAIT)
    if found is None:
        raise BadRequest("`wait` is a number of seconds from 0 to 60.", code="bad_query", hint="For example wait=30.")
    return found


def limit(text: str | None) -> int:
    """A page's size: 50, at most 200."""
    if text is None:
        return 50
    found = _number(text, MOST)
    if not found:
        raise BadRequest("`limit` is a number from 1 to 200.", code="bad_query", hint="For example limit=50.")
    return found


def _number(text: str, most: int) -> int | None:
    """What the digits say, or `most` where that is more; None for what is no whole number."""
    fit = _INTEGER.fullmatch(text)
    if fit is None:
        return None
    return most if len(fit[1]) > 9 else min(int(fit[1]), most)


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
