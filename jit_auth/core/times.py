"""Times as the wire has them: RFC 3339 in UTC with `Z`, from and to milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from jit_auth.model import Millis

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(at: Millis) -> str:
    """`2026-11-24T10:00:00.123Z`."""
    seconds, thousandths = divmod(at, 1000)
    return f"{_second(seconds)}.{thousandths:03d}Z"


@lru_cache(1024)  # most times of a moment fall into the same few seconds
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def from_rfc3339(text: str) -> Millis:
    """Milliseconds of an RFC 3339 time with an offset. Raises ValueError."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("a time needs an offset, such as Z")
    return round((when - _EPOCH) / timedelta(milliseconds=1))
