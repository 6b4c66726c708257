"""The long run, `make chaos`: every scenario, one after the other; one line of figures each, exit 1 where any is wrong.

python -m tests.chaos --kills 500 --seed 1 --only kill
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.chaos import clocks, disks
from tests.chaos.deaths import database_killed, killed, told_to_stop
from tests.chaos.guards import guarded
from tests.chaos.ledger import Findings
from tests.chaos.server import Mortal
from tests.chaos.wires import MOODS, to_database, to_mail_server, to_provider

Scenario = tuple[str, Callable[[Path], Awaitable[Findings]]]


def scenarios(server: Mortal, kills: int, seed: int) -> Iterator[Scenario]:
    """Their names, and what plays each in a folder. Half of the kills are on each database, of guarded functions one in
    four on PostgreSQL."""
    half = kills // 2
    yield "kill -9, SQLite", lambda at: killed(at, kills=kills - half, seed=seed)
    yield (
        "kill -9, two replicas on PostgreSQL",
        lambda at: killed(at, server.database(), kills=half, seed=seed, replicas=2),
    )
    yield "guard, SQLite", lambda at: guarded(at, kills=kills - kills // 4, seed=seed)
    yield (
        "guard, two replicas on PostgreSQL",
        lambda at: guarded(at, server.database(), kills=kills // 4, seed=seed, replicas=2),
    )
    yield "SIGTERM, SQLite", lambda at: told_to_stop(at, times=10)
    yield "SIGTERM, two replicas on PostgreSQL", lambda at: told_to_stop(at, server.database(), times=5, replicas=2)
    yield "PostgreSQL killed", lambda at: database_killed(at, server, times=10)
    yield "disk full, by a limit", lambda at: disks.full(at, disks.limited, seconds=5, times=3)
    yield "disk full", _on_a_small_disk
    yield "disk turns read-only", disks.read_only
    yield "clock jumps, SQLite", lambda at: clocks.jumps(at, times=5)
    yield "clock apart, PostgreSQL", lambda at: clocks.apart(at, server.database(), times=4)
    yield "wire to PostgreSQL", lambda at: to_database(at, server, MOODS)
    yield "wire to PostgreSQL, two replicas", lambda at: to_database(at, server, MOODS, replicas=2)
    yield "wire to the provider", lambda at: to_provider(at, MOODS, short_tokens=False)
    yield "wire to the provider and its tokens", lambda at: to_provider(at, MOODS, short_tokens=True)
    yield "wire to the mail server", lambda at: to_mail_server(at, MOODS, asks=5)


async def _on_a_small_disk(at: Path) -> Findings:
    with disks.small(at):
        return await disks.full(at, disks.filled, seconds=5, times=3)


def main() -> int:
    """Play them; exit 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description="Every scenario of chaos, long.")
    parser.add_argument("--kills", type=int, default=int(os.environ.get("CHAOS_KILLS", "500")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CHAOS_SEED", "1")))
    parser.add_argument("--only", default=os.environ.get("CHAOS_ONLY", ""), help="scenarios whose names hold this")
    options = parser.parse_args()
    bad = 0
    with ExitStack() as stack:
        server = Mortal(Path(tempfile.mkdtemp(prefix="pg-")))
        stack.callback(server.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        for number, (name, play) in enumerate(scenarios(server, options.kills, options.seed)):
            if options.only in name:
                bad += _play(name, play, folder / str(number))
    return bad > 0


def _play(name: str, play: Callable[[Path], Awaitable[Findings]], folder: Path) -> bool:
    """Print its line; whether something was wrong."""
    begun = time.monotonic()
    try:
        found = asyncio.run(_run(play, folder))
    except disks.Unable as error:
        _say(f"{name}: skipped, {error}")
        return False
    except Exception as error:  # the scenarios after it are played all the same
        found = Findings(wrong=[f"{type(error).__name__}: {error}"])
    figures = {"calls": found.calls, **found.statuses, "sent again": found.repeated, "rows": found.rows, **found.notes}
    refused = {f"503 {code}": times for code, times in found.refusals.items()}
    _say(f"{name}: {json.dumps(figures | refused)[1:-1]}, {time.monotonic() - begun:.0f} s")
    for fault in found.wrong:
        _say(f"  WRONG {fault}")
    return bool(found.wrong)


async def _run(play: Callable[[Path], Awaitable[Findings]], folder: Path) -> Findings:
    return await play(folder)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
