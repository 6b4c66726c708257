"""[limits] judged: what wears people down, and how long things may take."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import fields

from jit_auth.config.settings import Limits
from jit_auth.config.tables import LimitsTable
from jit_auth.model import Millis
from jit_auth.policy.strings import milliseconds

MOST_OPEN = 100_000
MOST_ASKS = 1_000
"""What a person was shown within the hour is counted no further."""
LONGEST_COOLDOWN: Millis = 14 * 86_400_000
LONGEST_WINDOW: Millis = 30_000
"""Another process takes a send over a minute after its intent at the latest."""


def judge_limits(table: LimitsTable, fault: Callable[[str, str], None]) -> Limits:
    """The limits with durations in milliseconds. `fault` takes (key, message) of each mistake."""
    for key, value, most in (
        ("open_per_agent", table.open_per_agent, MOST_OPEN),
        ("asks_per_person_hour", table.asks_per_person_hour, MOST_ASKS),
    ):
        if not 1 <= value <= most:
            fault(key, f"limits.{key}: expected 1 to {most}")

    def duration(key: str, least: Millis, most: Millis | None = None, more: str = "") -> Millis:
        given = getattr(table, key)
        value = milliseconds(given) if isinstance(given, str) else None
        if value is None or value < least or (most is not None and value > most):
            (example,) = (field.default for field in fields(LimitsTable) if field.name == key)
            limit = "" if most is None else f", at most {most // 1000} s"
            fault(key, f'limits.{key}: expected a duration such as "{example}"{limit}{more}')
        return value or 0

    return Limits(
        open_per_agent=table.open_per_agent,
        asks_per_person_hour=table.asks_per_person_hour,
        deny_cooldown=0 if table.deny_cooldown == 0 else duration("deny_cooldown", 0, LONGEST_COOLDOWN, ', or "0s"'),
        approved_send_within=duration("approved_send_within", 1),
        send_window=duration("send_window", 1, LONGEST_WINDOW),
    )
