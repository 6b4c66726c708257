"""Judge whether an access token has to be refreshed before it is used, purely."""

from __future__ import annotations

from jit_auth.model import Grant, Millis

EARLY: Millis = 60_000
"""The most that is taken off a token's lifetime."""


def due(grant: Grant | None, now: Millis) -> bool:
    """Whether the access token has less than 10 % of its lifetime, at most 60 s, left (none, where it cannot be
    refreshed: it is used to its end)."""
    if grant is None or grant.expires is None:
        return False
    margin = EARLY if grant.lifetime is None else min(EARLY, grant.lifetime // 10)
    left = grant.expires - now
    return left <= 0 or (grant.refreshable and left < margin)
