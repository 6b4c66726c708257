"""Reads what headers of a refusal say: WWW-Authenticate (RFC 9110 11.6.1, RFC 6750 3) and Retry-After (10.2.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime

from jit_auth.model import Millis, Reply

LONGEST: Millis = 14 * 86_400_000
"""No execution lives longer, so no pause needs to be longer (THREAT_MODEL 36)."""
_PAST: Millis = 60_000
"""A date up to this long ago means now: clocks differ. An older one says nothing."""

_PIECE = re.compile(
    r"[ \t,]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)"  # a scheme's or a parameter's name
    r"(?:[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]*))"  # parameter
    r"|(?=[ \t]|,|$))"  # scheme
)
_OTHER = re.compile(r"[ \t,]*[^ \t,]*")


def bearer(reply: Reply) -> dict[str, str]:
    """The parameters of the first Bearer challenge that names an error, names in lower case; {} where none does."""
    for name, value in reply.headers:
        if name == "www-authenticate":
            for scheme, params in _challenges(value):
                if scheme == "bearer" and "error" in params:
                    return params
    return {}


def _challenges(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    scheme: str | None = None
    params: dict[str, str] = {}
    at = 0
    while at < len(text):
        fit = _PIECE.match(text, at)
        if fit is None:
            # A token68, or what is no challenge at all: go on behind it.
            other = _OTHER.match(text, at)
            at = other.end() if other is not None and other.end() > at else len(text)
            continue
        at = fit.end()
        name, quoted, plain = fit.groups()
        if quoted is None and plain is None:
            if scheme is not None:
                yield scheme, params
            scheme, params = name.lower(), {}
        elif scheme is not None:
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            params.setdefault(name.lower(), value)
    if scheme is not None:
        yield scheme, params


def retry_after(reply: Reply, now: Millis) -> Millis | None:
    """How long to wait, in milliseconds, at most LONGEST; None where the header is absent or senseless."""
    text = reply.header("retry-after")
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(int(text[:12]) * 1000, LONGEST)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    wait = int(date.timestamp() * 1000) - now
    if wait < -_PAST:
        return None
    return max(0, min(wait, LONGEST))
