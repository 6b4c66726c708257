"""`jit-auth serve` that dies on the spot: `JIT_AUTH_CRASH_AT=<point>:<n>` kills it at the n-th time of a point.

A point is `before.FACT` or `after.FACT`: the commit of a unit whose last audit fact is FACT (`send`, `outcome`, `ask`,
`vote`, `consent`, ...; of cards it says more: `card.showing`, `card.shown`, ...). `JIT_AUTH_TRACE=FILE` writes each
point as it passes; `JIT_AUTH_CLOCK=MS` moves the clock. The shipped service has no such switches: they hang on the hook
that `app.build` takes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from jit_auth.app import build
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.cli.service import listen
from jit_auth.config.load import load
from jit_auth.loading import load_bundle
from jit_auth.model import Applied, Op, Stale, Unit
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

    @property
    def outbox(self) -> Callable[[Unit], tuple[Op, ...]]:
        """What the service gives the store when it is made."""
        return self._store.outbox

    @outbox.setter
    def outbox(self, made: Callable[[Unit], tuple[Op, ...]]) -> None:
        self._store.outbox = made

    async def apply(self, unit: Unit) -> Applied | Stale:
        last = unit.audit.what[-1]
        fact = f"card.{last['did']}" if last["do"] == "card" else str(last["do"])
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


async def main(config: Path) -> None:
    """Serve until SIGTERM, or the point."""
    settings = load(config, channels=CHANNEL_TABLES)
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


def begin(config: Path, environment: Mapping[str, str], files: Sequence[Path]) -> None:
    """The whole life of a process that another one forked: these variables; what it prints, and its log, in `files`."""
    os.environ.update(environment)
    for stream, path in enumerate(files, 1):
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream)
    asyncio.run(main(config))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-c", required=True, type=Path)
    asyncio.run(main(parser.parse_args().c))
