"""What an agent does with its own executions: read, list, wait, cancel (as an operator may too)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from jit_auth.core.ids import is_id
from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.stale import MOST_STALE
from jit_auth.engine.waits import Waits
from jit_auth.errors import Conflict, NotFound, Unavailable
from jit_auth.model import Audit, Change, Execution, Op, Opened, Page, Stale, Touch, Trouble, Unit
from jit_auth.storage.store import Store

OURS = frozenset({"paused", "executing"})
"""What an agent waits for; once it is its own turn, there is nothing to wait for."""
IN_FLIGHT = frozenset({"executing"})


@dataclass(frozen=True)
class Own:
    """Executions as their agent sees them: others do not exist."""

    store: Store
    waits: Waits
    dispatcher: Dispatcher

    async def get(self, agent: str | None, execution_id: str) -> Opened:
        """One execution with what people owe it. Raises NotFound, also for another agent's (None: any agent's)."""
        opened = await self.store.opened(execution_id) if is_id(execution_id, "exe") else None
        if opened is None or agent not in (None, opened.execution.agent):
            raise NotFound("There is no such execution.", hint="An agent sees its own executions only.")
        return opened

    async def list(
        self,
        agent: str,
        *,
        states: Collection[str],
        user: str | None,
        task: str | None,
        updated_since: int | None,
        limit: int,
        cursor: str | None,
    ) -> Page:
        """Newest first, as `Opened`; what people owe is read for those that are paused."""
        page = await self.store.lists.executions(
            agent, states=tuple(states), user=user, task=task, updated_since=updated_since, limit=limit, cursor=cursor
        )
        items = [
            await self.store.opened(row.id) or Opened(row) if row.state == "paused" else Opened(row)
            for row in page.items
        ]
        return Page(tuple(items), page.next)

    async def wait(self, agent: str, execution_id: str, seconds: float, *, paused: bool = True) -> Opened:
        """The execution when it is over, or as it is after `seconds`. `paused`: also wait while people decide.

        Raises TooMany beyond the waits that an agent may have.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        wait = self.waits.enter(execution_id, OURS if paused else IN_FLIGHT)
        counted = stopped = False
        try:
            while True:
                opened = await self.get(agent, execution_id)
                left = until - loop.time()
                if left <= 0 or self.waits.ended or not _open(opened.execution, paused):
                    return opened
                # A call in flight is no wait: it ends by itself, and counts against nothing.
                if opened.execution.state == "paused" and not counted:
                    self.waits.count(agent, wait)
                    counted = True
                if opened.execution.state == "paused" and self.waits.stopped(agent):
                    if stopped:
                        return opened
                    stopped = True  # its calls end now, and its waits with them
                    await self.dispatcher.advance(execution_id)
                    if _open((await self.get(agent, execution_id)).execution, paused):
                        await self.waits.pause(wait, left)  # another task is at it
                    continue
                await self.waits.pause(wait, left)
                if wait.row is not None and wait.row.state != "paused":
                    return Opened(wait.row)  # as it was written just now: people owe it nothing
        finally:
            self.waits.leave(execution_id, wait)

    async def cancel(self, agent: str | None, execution_id: str, *, admin: str = "") -> Opened:
        """Withdraw a call that waits, for people or for its agent. A cancelled one stays so. `admin`: who does it
        where its agent does not (`agent` None: whoseever it is). Raises NotFound; Conflict: already_finished,
        executing."""
        for _ in range(MOST_STALE):
            opened = await self.get(agent, execution_id)
            execution = opened.execution
            if execution.state == "cancelled":
                return opened
            if execution.state == "executing":
                raise Conflict(
                    "The call is being made and can no longer be withdrawn.",
                    code="executing",
                    hint="Wait for its outcome.",
                )
            if execution.state not in ("paused", "released"):
                raise Conflict(
                    f"The execution has {execution.state} already.",
                    code="already_finished",
                    hint="There is nothing left to cancel.",
                )
            now = self.store.now()
            to = {
                "state": "cancelled",
                "due": None,
                "open_key": None,
                "process": None,
                "updated": now,
                "error": _withdrawn(by_admin=bool(admin)),
            }
            ops: list[Op] = [Change(execution, to)]
            ops += [Change(ask, {"state": "closed"}) for ask in opened.asks if ask.state == "open"]
            ops += [Touch(ask.id, now) for ask in opened.asks]
            audit = Audit(
                actor=admin or f"agent:{agent}",
                what=({"do": "cancel"},),
                user=execution.user,
                agent=execution.chain[0],
                execution=execution.id,
            )
            if not isinstance(await self.store.apply(Unit(None, tuple(ops), audit)), Stale):
                self.dispatcher.tell(execution)
                return await self.get(agent, execution_id)
        raise Unavailable("Others are changing this execution.", hint="Try again.")


def _withdrawn(*, by_admin: bool) -> Trouble:
    who, by = ("An operator", "admin") if by_admin else ("The agent", "agent")
    return Trouble("cancelled", f"{who} withdrew the call.", "Nothing was sent.", by=by)


def _open(execution: Execution, paused: bool) -> bool:
    return execution.state in (OURS if paused else IN_FLIGHT)
