"""`jit-auth serve` that dies on the spot: `JIT_AUTH_CRASH_AT=<point>:<n>` kills it at the n-th time of a point.

A point is `before.FACT` or `after.FACT`: the commit of a unit whose last audit fact is FACT (`send`, `outcome`, `ask`,
`vote`, `consent`, ...). `JIT_AUTH_TRACE=FILE` writes each point as it passes; `JIT_AUTH_CLOCK=MS` moves the clock. The
shipped service has no such switches: they hang on the hook that `app.build` takes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any, cast

from jit_auth.app import build, load_bundle
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.cli.service import listen
from jit_auth.config.load import load
from jit_auth.model import Applied, Stale, Unit
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store


class Crashing:
    """A store that passes everything on and, at its point, ends the process as `kill -9` does."""

    def __init__(self, store: Store, point: str, times: int, trace: Path | None) -> None:
        self._store = store
        self._point = point
        self._times = times
        self._trace = trace
        self._seen: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def apply(self, unit: Unit) -> Applied | Stale:
        fact = str(unit.audit.what[-1]["do"])
        self._pass(f"before.{fact}")
        applied = await self._store.apply(unit)
        if isinstance(applied, Applied):
            self._pass(f"after.{fact}")
        return applied

    def _pass(self, point: str) -> None:
        self._seen[point] += 1
        if self._trace is not None:
            with self._trace.open("a") as file:
                file.write(f"{point}:{self._seen[point]}\n")
        if point == self._point and self._seen[point] == self._times:
            os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-c", required=True, type=Path)
    settings = load(parser.parse_args().c, channels=CHANNEL_TABLES)
    point, _, times = os.environ.get("JIT_AUTH_CRASH_AT", "").partition(":")
    trace = os.environ.get("JIT_AUTH_TRACE")
    clock = Clock()
    clock.offset = int(os.environ.get("JIT_AUTH_CLOCK", "0"))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def opened(store: Store) -> Store:
        return cast(Store, Crashing(store, point, int(times or "1"), Path(trace) if trace else None))

    async with build(settings, load_bundle(settings), clock=clock, opened=opened) as service:
        await listen(service, settings, stop)


if __name__ == "__main__":
    asyncio.run(main())
