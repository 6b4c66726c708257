"""Cursors of lists: opaque, and good for the list they came from alone: same asker, same filters.

A cursor only positions inside the asker's own list: it opens nothing, and so it is not signed. That it names its list
turns a mistake (the cursor of another question) into a refusal instead of a page that leaves things out.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

from jit_auth.core.digest import canonical
from jit_auth.errors import BadRequest

_MARK = 6
_LONGEST = 1_000


def cursor_of(position: str, *of: Any) -> str:
    """The cursor at a position of the list that `of` describes: plain JSON values, `None` for what is not asked."""
    return urlsafe_b64encode(_mark(of) + position.encode()).rstrip(b"=").decode()


def read_cursor(cursor: str, *of: Any) -> str:
    """The position. Raises BadRequest (`bad_query`): no cursor, or one of another list."""
    try:
        if len(cursor) > _LONGEST:
            raise ValueError
        found = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position = found[_MARK:].decode()
    except (binascii.Error, ValueError):
        found, position = b"", ""
    if not position or urlsafe_b64encode(found).rstrip(b"=") != cursor.encode("utf-8", "replace"):
        raise BadRequest("This is no cursor of a list.", code="bad_query", hint="Take `next` of the page before.")
    if found[:_MARK] != _mark(of):
        raise BadRequest(
            "This cursor is of another list.",
            code="bad_query",
            hint="Ask with the same filters as for the page before, or without a cursor.",
        )
    return position


def _mark(of: tuple[Any, ...]) -> bytes:
    return sha256(canonical(list(of))).digest()[:_MARK]
