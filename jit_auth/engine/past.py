"""Which earlier attempts count for an execution; none where no rule reads `history`."""

from __future__ import annotations

from collections.abc import Callable

from jit_auth.model import Execution, History, Past

_ATTEMPTS = ("same_action_1h", "same_action_24h", "agent_action_1h", "agent_writes_1h")


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
        known=execution.history or {},
    )


def admitted_with(past: Past | None, history: History | None) -> dict[str, int] | None:
    """What a new execution keeps of the history that it is admitted with."""
    if past is None or history is None:
        return None
    return {name: getattr(history, name) for name in past.names if name in _ATTEMPTS} or None
