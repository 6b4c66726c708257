"""[retention] judged: for how long content and the record are kept."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import fields

from jit_auth.config.settings import Retention
from jit_auth.config.tables import RetentionTable
from jit_auth.model import Millis
from jit_auth.policy.strings import milliseconds

NEVER = "never"
_YEARS = re.compile("([1-9][0-9]{0,2})y")
_YEAR: Millis = 365 * 86_400_000


def judge_retention(table: RetentionTable, fault: Callable[[str, str], None]) -> Retention:
    """The times in milliseconds, None for what is kept for ever. `fault` takes (key, message) of each mistake."""

    def kept(key: str) -> Millis | None:
        given = getattr(table, key)
        if given == NEVER:
            return None
        years = _YEARS.fullmatch(given)
        value = int(years[1]) * _YEAR if years else milliseconds(given)
        if not value:
            (example,) = (field.default for field in fields(RetentionTable) if field.name == key)
            fault(key, f'retention.{key}: expected a duration such as "{example}", or "{NEVER}"')
        return value or None

    return Retention(params=kept("params"), results=kept("results"), audit=kept("audit"))
