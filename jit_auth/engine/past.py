"""Which earlier attempts count for an execution; none where no rule reads `history`."""

from __future__ import annotations

from collections.abc import Callable

from jit_auth.model import Execution, History, Past


def past_of(execution: Execution, names: tuple[str, ...], writes: Callable[[], tuple[str, ...]]) -> Past | None:
    """For a new call all that are admitted, for an execution those before it (see `Past`). `names`: what the rules for
    its action read; `writes` gives the actions that count as writes."""
    if not names:
        return None
    admitted = execution.version > 0
    return Past(
        agent=execution.chain[0],
        user=execution.user,
        action=execution.action,
        names=names,
        writes=writes() if "agent_writes_1h" in names else (),
        id=execution.id if admitted else None,
        at=execution.created if admitted else None,
        least=execution.history or History(),
    )
