"""Scenarios in which processes die: kill -9 at random under load, SIGTERM, the database server's own death."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from jit_auth.engine.advance import DRAIN
from tests.chaos.ledger import Findings
from tests.chaos.server import Mortal
from tests.chaos.stage import LATER, SQLITE, Stage, stage
from tests.crash.nursery import Life, living

POINTS = ("before.send", "after.send", "before.outcome", "after.outcome")
"""Commits at which a process dies by itself; the other deaths come at any moment."""


async def killed(folder: Path, storage: str = SQLITE, *, kills: int, seed: int = 1, replicas: int = 1) -> Findings:
    """kill -9, again and again, while agents call: each replica dies and is started again by itself."""
    async with stage(folder, storage, seed=seed, replicas=replicas, pause=0.01) as at:
        async with at.alive():
            await at.connected()
        at.load.start()
        left = [kills // replicas] * replicas
        left[0] += kills % replicas
        await asyncio.gather(*(_die(at, number, times) for number, times in enumerate(left)))
        at.offset += LATER
        async with at.alive():
            found = await at.judged(may=("unknown",))
        found.notes["kills"] = kills
        return found


async def _die(at: Stage, number: int, times: int) -> None:
    """So many lives of one replica."""
    chance = at.load.chance
    for _ in range(times):
        point = chance.choice((*POINTS, "", "", "", ""))
        variables = {"JIT_AUTH_CRASH_AT": f"{point}:{chance.randint(1, 40)}"} if point else {}
        if len(at.kits) == 1:
            at.offset += chance.choice((0, LATER))  # what the dead had begun has run out, or is respected
        async with living(at.kits[number], at.offset, **variables) as life:
            try:
                async with asyncio.timeout(chance.uniform(0.05, 0.8)):
                    await life.wait()
            except TimeoutError:
                life.kill()
                await life.wait()
            at.troubles.now()


async def told_to_stop(folder: Path, storage: str = SQLITE, *, times: int, replicas: int = 1) -> Findings:
    """SIGTERM while calls are under way (the API is slow): each ends, and the process exits 0 in time."""
    async with stage(folder, storage, replicas=replicas) as at:
        async with at.alive():
            await at.connected()
        at.api.be("slow")
        at.load.start()
        slowest, wrong = 0.0, []
        for number in range(times):
            async with at.alive() as lives:
                await at.load.progress(5)
                took = await _stop(lives)
                slowest = max(slowest, took)
                ends = [life.exit for life in lives]
                if took > DRAIN or any(ends):
                    wrong.append(f"stop {number}: exit {ends} after {took:.1f} s")
        async with at.alive():
            found = await at.judged()
        found.wrong += wrong
        found.notes |= {"stops": times, "slowest stop (s)": round(slowest, 2)}
        return found


async def _stop(lives: Sequence[Life]) -> float:
    begun = time.monotonic()
    for life in lives:
        life.end()
    await asyncio.gather(*(life.wait() for life in lives))
    return time.monotonic() - begun


async def database_killed(folder: Path, server: Mortal, *, times: int, replicas: int = 2) -> Findings:
    """kill -9 of the PostgreSQL server, and its start again: calls are 503 meanwhile, and none is lost."""
    async with stage(folder, server.database(), replicas=replicas, pause=0.01) as at, at.alive():
        await at.connected()
        at.load.start()
        slowest = 0.0
        for _ in range(times):
            await at.load.progress(10)
            async with at.troubles.lasting():
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(at.load.chance.uniform(0.1, 1.0))
                await asyncio.to_thread(server.start)
                begun = time.monotonic()
                await at.load.progress(10)
                slowest = max(slowest, time.monotonic() - begun)
        found = await at.judged()
        if not found.refusals["storage_unavailable"]:
            found.wrong.append("nobody was told that the database is away")
        found.notes |= {"deaths": times, "slowest recovery (s)": round(slowest, 2)}
        return found
