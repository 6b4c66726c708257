"""Which earlier attempts count for an execution; none where no rule reads `history` or `task`."""

from __future__ import annotations

from collections.abc import Callable

from jit_auth.engine.bundle import Kinds
from jit_auth.model import Execution, History, Past

_ATTEMPTS = ("same_action_1h", "same_action_24h", "agent_action_1h", "agent_writes_1h", "task_count")
_TOUCHED = ("task_private", "task_untrusted", "task_external")
"""Kept to explain what was decided. A send counts what its task has touched until then."""


def past_of(
    execution: Execution, names: tuple[str, ...], kinds: Callable[[], Kinds], *, then: bool = False
) -> Past | None:
    """For a new call all that are admitted, for an execution those before it (see `Past`). `names`: what the rules for
    its action read; `kinds` gives the actions by what they do. Of a call without a task no task is counted. `then`: as
    it was admitted, to explain it."""
    task = execution.task
    if names and task is None:
        names = tuple([name for name in names if not name.startswith("task_")])
    if not names:
        return None
    admitted = execution.version > 0
    known = execution.history or {}
    if known and not then:
        known = {name: value for name, value in known.items() if name not in _TOUCHED}
    return Past(
        agent=execution.chain[0],
        user=execution.user,
        action=execution.action,
        names=names,
        writes=kinds().writes if "agent_writes_1h" in names else (),
        task=task.id if task is not None else None,
        exposes=kinds().exposes if task is not None else {},
        id=execution.id if admitted else None,
        at=execution.created if admitted else None,
        known=known,
        then=then,
    )


def admitted_with(past: Past | None, history: History | None) -> dict[str, int | bool] | None:
    """What a new execution keeps of the history that it is admitted with."""
    if past is None or history is None:
        return None
    return {name: getattr(history, name) for name in past.names if name in (*_ATTEMPTS, *_TOUCHED)} or None
