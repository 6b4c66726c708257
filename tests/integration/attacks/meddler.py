"""Between the service and its database: something happens, or the database goes away, just before or after a commit.

A commit is named by the last fact that goes on record with it: `send`, `outcome`, `attempt`, `ask`, `vote`, ...
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from jit_auth.errors import StorageError
from jit_auth.model import Applied, Audit, Raise, Stale, Stop, Unit
from jit_auth.storage.store import Store

Act = Callable[[], Awaitable[Any]]
When = Literal["before", "after"]


class Meddler:
    """Stands in front of one store's `apply` for as long as the store lives."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.seen: Counter[str] = Counter()
        """Commits that were tried, by name."""
        self._acts: defaultdict[tuple[When, str], list[Act]] = defaultdict(list)
        self._real = store.apply
        self.store.apply = self._apply  # type: ignore[method-assign]  # that is its job

    def do(self, when: When, fact: str, *acts: Act) -> None:
        """At the next commits of that name, one act each."""
        self._acts[when, fact] += acts

    def fail(self, when: When, fact: str, times: int = 1) -> None:
        """The database goes away at the next commits: `before` nothing is written, `after` it is and nobody knows."""

        async def away() -> None:
            error = StorageError("The database went away.")
            error.unknown = when == "after"
            raise error

        self.do(when, fact, *[away] * times)

    async def stop(self, kind: str, id: str, *, active: bool = True) -> None:
        """Throw a kill switch, past this meddler."""
        stop = Stop(kind=kind, id=id, epoch=0, active=active, who="operator")
        await self._real(Unit(None, (Raise((stop,)),), Audit(actor="operator", what=({"do": "stop"},))))

    async def _apply(self, unit: Unit) -> Applied | Stale:
        fact = str(unit.audit.what[-1]["do"])
        self.seen[fact] += 1
        await self._act("before", fact)
        answer = await self._real(unit)
        if isinstance(answer, Applied):
            await self._act("after", fact)
        return answer

    async def _act(self, when: When, fact: str) -> None:
        acts = self._acts[when, fact]
        if acts:
            await acts.pop(0)()
