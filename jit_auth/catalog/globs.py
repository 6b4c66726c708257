"""Which actions a list of names and globs covers (THREAT_MODEL 24)."""

from __future__ import annotations

from collections.abc import Iterable

from jit_auth.model import Risk
from jit_auth.policy.strings import glob


def match(globs: Iterable[str], name: str, risk: Risk) -> bool:
    """Whether one of `globs` covers the action `name`: `*` is any characters, case counts, the whole is compared.

    A glob never covers an action of risk critical: only its full name does.
    """
    return any(
        pattern == name if "*" not in pattern else risk != "critical" and glob(pattern, name) for pattern in globs
    )
