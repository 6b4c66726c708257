"""Pause and resume against LangGraph's savers and DBOS, interleaved in one run.

    python -m benchmarks.rivals [--database postgresql://... | --own-server] [--python PYTHON]

The unit is a call that pauses for a person, is decided at once, and is made: one POST to the same API each. All keep
their state on the same disk with the same durability (SQLite with `synchronous = FULL`, or a database each on one
PostgreSQL server with its defaults), with as many calls under way. LangGraph and DBOS are libraries, called within
their own process; ours is `jit-auth serve`, asked over HTTP by a load generator beside it, with sealed rows, an audit
record, and a link for each approver. They take turns (A B C, C B A, ...); the ratio of a round compares neighbours in
time, the median of the rounds is reported. One that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from benchmarks.machine import header, own_server, processor_seconds
from benchmarks.pausing import AT_ONCE, Pausing
from benchmarks.world import Service, started

OURS = "jit_auth"
TARGETS = {"LangGraph": 10.0, "DBOS": 30.0}
"""How many times faster than each ours has to be."""
ROOT = Path(__file__).parent.parent
BENCH = ROOT / ".venv-bench" / "bin" / "python"
"""Where `make bench` installs them."""


@dataclass(frozen=True)
class Turn:
    """What came of one order."""

    count: int
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        """A second."""
        return self.count / self.seconds


class Contestant(Protocol):
    """One that takes turns."""

    async def pause(self, seconds: float) -> Turn: ...

    async def resume(self) -> Turn: ...


class Ours:
    """`jit-auth serve`."""

    def __init__(self, service: Service, pausing: Pausing) -> None:
        self._service = service
        self._pausing = pausing

    async def pause(self, seconds: float) -> Turn:
        used = self._used()
        found = await self._pausing.pause(seconds=seconds)
        await self._pausing.shown()  # on nobody's time; its processor time counts
        return Turn(*found, self._used() - used)

    async def resume(self) -> Turn:
        used = self._used()
        return Turn(*await self._pausing.resume(), self._used() - used)

    def _used(self) -> float:
        return processor_seconds(self._service.process.pid)


class Process:
    """Another, in a process of its own (`benchmarks.rival`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def pause(self, seconds: float) -> Turn:
        return Turn(**await self._say({"do": "pause", "seconds": seconds}))

    async def resume(self) -> Turn:
        return Turn(**await self._say({"do": "resume"}))

    async def ready(self) -> Process:
        await self._hear()
        return self

    async def _say(self, order: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._hear()

    async def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 600)
        if not line:
            raise SystemExit("one of the others ended by itself")
        return json.loads(line)


@asynccontextmanager
async def process(python: Path, module: str, *words: str) -> AsyncIterator[Process]:
    """Started and ready; ended in order."""
    running = await asyncio.create_subprocess_exec(
        str(python), "-W", "ignore", "-m", f"benchmarks.{module}", *words, cwd=ROOT, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield await Process(running).ready()
    finally:
        if running.returncode is None:
            assert running.stdin is not None
            running.stdin.close()
            try:
                await asyncio.wait_for(running.wait(), 20)
            except TimeoutError:
                running.kill()
                await running.wait()


@contextmanager
def _ours(folder: Path, api_port: int, oauth_port: int, database: str) -> Iterator[Service]:
    service = Service(folder, api_port, oauth_port, database=database, rules=20, asks=True)
    try:
        service.connect()
        yield service
    finally:
        service.stop()


async def _databases(server: str | None, folder: Path) -> dict[str, str]:
    """One for each: on the server, or files."""
    names = ("jit_auth", "langgraph", "langgraph_exit", "dbos")
    if server is None:
        return {name: f"sqlite:///{folder}/{name}.db" if name == OURS else f"{folder}/{name}.db" for name in names}
    connection = await asyncpg.connect(server)
    found = {}
    for name in names:
        await connection.execute(f"CREATE DATABASE bench_{name}")
        found[name] = urlunsplit(urlsplit(server)._replace(path=f"/bench_{name}"))
    await connection.close()
    return found


def installed(python: Path) -> dict[str, str]:
    """Version by package, of those that this Python has."""
    code = (
        "import importlib.metadata as m, json\nfound = {}\n"
        "for name in ('langgraph', 'langgraph-checkpoint-sqlite', 'langgraph-checkpoint-postgres', 'dbos'):\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    ran = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(ran.stdout)
    return found


async def run(
    server: str | None, python: Path, *, rounds: int, seconds: float, at_once: int = AT_ONCE
) -> dict[str, list[tuple[Turn, Turn]]]:
    """By name the turns of each round: pauses, resumes."""
    found: dict[str, list[tuple[Turn, Turn]]] = defaultdict(list)
    here = installed(python)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jit-auth-bench-")))
        api, (api_port, oauth_port) = started("api")
        stack.callback(api.wait, 20)
        stack.callback(api.terminate)
        urls = await _databases(server, folder)
        service = stack.enter_context(_ours(folder / "ours", api_port, oauth_port, urls[OURS]))
        pausing = stack.enter_context(Pausing(service, at_once))
        contestants: dict[str, Contestant] = {OURS: Ours(service, pausing)}
        words = (str(api_port), str(at_once))
        savers = "langgraph-checkpoint-postgres" if server else "langgraph-checkpoint-sqlite"
        if savers in here:
            for name, durability in (("langgraph", "sync"), ("langgraph_exit", "exit")):
                shown = f"LangGraph {here['langgraph']}, durability={durability}"
                started_ = process(python, "rival_langgraph", *words, urls[name], durability)
                contestants[shown] = await stack.enter_async_context(started_)
        if "dbos" in here:
            started_ = process(python, "rival_dbos", *words, urls["dbos"])
            contestants[f"DBOS {here['dbos']}"] = await stack.enter_async_context(started_)
        for each in contestants.values():
            await each.pause(0.2)  # warm
            await each.resume()
        for number in range(rounds):
            for name, each in list(contestants.items())[:: 1 if number % 2 == 0 else -1]:
                pauses = await each.pause(seconds)
                found[name].append((pauses, await each.resume()))
                _progress(name, number, rounds, found[name][-1])
    return found


def _progress(name: str, number: int, rounds: int, turns: tuple[Turn, Turn]) -> None:
    if sys.stderr.isatty():
        print(f"{number + 1}/{rounds} {name}: {turns[0].rate:.0f} {turns[1].rate:.0f}", file=sys.stderr, flush=True)


def ratios(found: dict[str, list[tuple[Turn, Turn]]], name: str) -> tuple[float, float]:
    """How many times faster ours paused and resumed."""
    both = [
        statistics.median(
            mine[way].rate / other[way].rate for mine, other in zip(found[OURS], found[name], strict=True)
        )
        for way in (0, 1)
    ]
    return both[0], both[1]


def table(found: dict[str, list[tuple[Turn, Turn]]]) -> str:
    """As it stands in a document."""
    lines = [
        "| | pauses/s | resumes/s | ours is faster by (pause, resume) | CPU us (pause, resume) |",
        "|---|---|---|---|---|",
    ]
    for name, turns in found.items():
        pauses, resumes = (statistics.median(turn[way].rate for turn in turns) for way in (0, 1))
        cpu = [statistics.median(turn[way].processor / turn[way].count for turn in turns) * 1e6 for way in (0, 1)]
        by = "" if name == OURS else "**{:.1f}, {:.1f}**".format(*ratios(found, name))
        lines.append(f"| {name} | {pauses:.0f} | {resumes:.0f} | {by} | {cpu[0]:.0f}, {cpu[1]:.0f} |")
    return "\n".join(lines)


def main() -> int:
    """Exit 1 where --check is given and ours is not faster by as much as it should."""
    parser = argparse.ArgumentParser(description="Pause and resume against LangGraph's savers and DBOS.")
    parser.add_argument("--database", help="a PostgreSQL URL that may create databases (default: SQLite files)")
    parser.add_argument("--own-server", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--python", type=Path, default=BENCH if BENCH.exists() else Path(sys.executable),
                        help="the one where the others are installed (default: that of .venv-bench)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="for which calls are paused (default: 2)")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help=f"calls under way (default: {AT_ONCE})")
    parser.add_argument("--check", action="store_true", help="exit 1 below the targets")
    options = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(own_server()) if options.own_server else options.database
        found = asyncio.run(run(server, options.python, rounds=options.rounds, seconds=options.seconds,
                                at_once=options.at_once))  # fmt: skip
    print(f"{header()}\n\n{table(found)}\n\n{options.at_once} calls at once, "
          f"{'PostgreSQL' if server else 'SQLite, synchronous = FULL'}.")  # fmt: skip
    missing = [name for name in TARGETS if not any(each.startswith(name) for each in found)]
    if missing:
        print(f"Not installed, and so not measured: {', '.join(missing)}.")
    slow = [
        name for name in found for rival, least in TARGETS.items()
        if name.startswith(rival) and min(ratios(found, name)) < least
    ]  # fmt: skip
    return bool(options.check and (slow or missing))


if __name__ == "__main__":
    sys.exit(main())
