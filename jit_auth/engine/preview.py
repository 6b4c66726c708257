"""Dry runs: what a call would come to now, by the checks of a real one. Nothing is created, asked, counted or bound.

Attacks: an agent feels for the edges of the rules without leaving a trace or troubling anybody. A dry run tells nothing
that the call's own answer would not, refuses what it would refuse, is on record with what was tried, and there are few
of them; history and labels count attempts, and this is none, so that it cannot be used to hide among them either.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from jit_auth.core.step import next_step
from jit_auth.core.view import Asking, End, Step, Wait
from jit_auth.engine.advance import Joined
from jit_auth.engine.judge import Judge, Judged
from jit_auth.engine.memory import Memory
from jit_auth.engine.stale import MOST_STALE
from jit_auth.engine.submit import Call, Submit
from jit_auth.engine.units import Writer
from jit_auth.errors import TooMany, Unavailable
from jit_auth.model import Ask, Audit, Committed, Execution, Millis, Stale, Unit
from jit_auth.storage.store import Store

MOST = 60
"""Dry runs of an agent within `PER`, at each process; they come back one by one."""
PER: Millis = 60_000


class Preview(Struct, frozen=True):
    """What a call would be: an execution that does not exist, and what people would be asked."""

    execution: Execution
    asks: tuple[Ask, ...] = ()


@dataclass
class Previews:
    """The dry runs of one process."""

    store: Store
    memory: Memory
    judge: Judge
    submitter: Submit
    writer: Writer
    _left: dict[str, tuple[float, Millis]] = field(default_factory=dict)

    async def preview(self, call: Call) -> Preview:
        """What would become of this call. Raises what a real one would where it is not admitted; TooMany
        (`too_many_dry_runs`)."""
        self._spend(call.agent.name)
        draft = await self.submitter.draft(call)
        for _ in range(MOST_STALE + 1):
            judged = await self.judge.judge(draft)
            await self._room(judged)
            step = next_step(judged.view)
            if isinstance(step, Wait):
                raise Unavailable("Nothing is sent at present.", code="halted", hint="Try again when it is resumed.")
            # What it rests on is compared as for a call, so that an answer never comes from what is no longer true.
            # (But not its history: nothing is spent of it.)
            at = replace(judged.at, past=None, send=False, not_after=None)
            stale = await self.store.apply(Unit(at, (), _audit(judged, step)))
            if not isinstance(stale, Stale):
                return self._seen(judged, step)
            await self.memory.reread()
            if stale.which == "bundle":
                await self.judge.current.settled()
        raise Unavailable("What this decision rests on keeps changing.", headers={"Retry-After": "1"})

    def _spend(self, agent: str) -> None:
        now = self.store.now()
        left, since = self._left.get(agent, (float(MOST), now))
        left = min(float(MOST), left + max(0, now - since) * MOST / PER)
        if left < 1:
            raise TooMany(
                f"This agent has made {MOST} dry runs within a minute.",
                code="too_many_dry_runs",
                hint="Ask for the action itself, or wait.",
                headers={"Retry-After": str(max(1, math.ceil((1 - left) * PER / MOST / 1_000)))},
            )
        self._left[agent] = (left - 1, now)

    async def _room(self, judged: Judged) -> None:
        if judged.view.crowd.paused >= self.judge.most_open:
            with contextlib.suppress(Joined):  # an equal one is paused: the call would be answered with that
                await self.submitter.room(judged)

    def _seen(self, judged: Judged, step: Step) -> Preview:
        view = judged.view
        execution = replace(judged.execution, decision=view.decision, digest=view.digest or "")
        if isinstance(step, Asking):
            return Preview(replace(execution, state="paused"), tuple(self.writer.asks(judged, step)))
        return Preview(replace(execution, error=step.error) if isinstance(step, End) else execution)


def _audit(judged: Judged, step: Step) -> Audit:
    execution, decision = judged.execution, judged.view.decision
    fact: dict[str, Any] = {
        "do": "preview",
        "action": execution.action,
        "chain": execution.chain,
        "verified": execution.verified,
        "params": Committed(execution.params),
        "effect": decision.effect,
        "rules": decision.rules,
        "policy": decision.policy,
        "bundle": judged.at.bundle,
        "epoch": judged.at.epoch,
    }
    if isinstance(step, End) and step.error is not None:
        fact["code"] = step.error.code
    return Audit(actor=f"agent:{execution.agent}", what=(fact,), user=execution.user, agent=execution.chain[0])
