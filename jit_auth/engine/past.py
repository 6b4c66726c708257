"""Which earlier attempts count for an execution, by the rules in force; None where no rule reads `history`."""

from __future__ import annotations

from jit_auth.engine.bundle import Bundle
from jit_auth.model import Execution, History, Past


def past_of(execution: Execution, bundle: Bundle) -> Past | None:
    """For a new call all that are admitted; for an execution those before it (see `Past`)."""
    names = bundle.history.get(execution.action)
    if names is None:
        return None
    admitted = execution.version > 0
    return Past(
        agent=execution.chain[0],
        user=execution.user,
        action=execution.action,
        names=names,
        writes=bundle.writes if "agent_writes_1h" in names else (),
        id=execution.id if admitted else None,
        at=execution.created if admitted else None,
        least=execution.history or History(),
    )
