"""The kill switch under load: no send whose intent came after the revocation's commit, and how long the command takes.

    python -m benchmarks.killswitch --database postgresql://... [--rate 200] [--rounds 40]

Two `jit-auth serve` on one PostgreSQL database are called at a fixed rate. Again and again the connector is revoked, by
`jit-auth revoke` and by `POST /admin/revoke` in turns, and restored. What came first is PostgreSQL's own word: the
commit of every intent is compared with the commits of the cuts and of the restores. It has to run with
`track_commit_timestamp = on` (without --database one is started that does).
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from aiohttp import ClientError, ClientSession

from benchmarks.machine import header, own_server, quantile
from benchmarks.world import PARAMS, USER, Service, started

MOST_MS = 1_000.0
"""The command's p99 has to stay below."""
TELLING = """
what LIKE '%"do":"send"%' OR what LIKE '%"do":"connector.stopped"%' OR what LIKE '%"do":"connector.restored"%'
"""
"""Which rows of the record say what came first."""
COMMITS = f"SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at, what FROM audit WHERE {TELLING}"  # noqa: S608  # our own words


@dataclass
class Figures:
    """Of one run. `took`: milliseconds of each way to say it, from its start to its answer."""

    rate: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    took: dict[str, list[float]] = field(default_factory=dict)
    sends: int = 0
    cuts: int = 0
    late: int = 0
    """Sends whose intent was committed while the connector was cut."""


async def run(database: str, *, rate: int, rounds: int, between: float = 1.0, cli: bool = True) -> Figures:
    """So many cuts under this load."""
    found = Figures()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jit-auth-bench-")))
        api, (api_port, oauth_port) = started("api")
        stack.callback(_end, api)
        one = Service(folder / "one", api_port, oauth_port, database=database, rules=20)
        stack.callback(_end, one.process)
        await asyncio.to_thread(one.connect)
        two = Service(folder / "two", api_port, oauth_port, database=database, rules=20, beside=one)
        stack.callback(_end, two.process)
        await asyncio.to_thread(two.until_ready)
        async with ClientSession() as session:
            stop = asyncio.Event()
            caller = asyncio.create_task(_load(session, (one, two), rate, stop, found))
            try:
                await asyncio.sleep(between)
                for number in range(rounds):
                    way = "command" if cli and number % 2 == 0 else "HTTP"
                    begun = time.perf_counter()
                    await (_by_command(one) if way == "command" else _by_http(session, one))
                    found.took.setdefault(way, []).append((time.perf_counter() - begun) * 1000)
                    await asyncio.sleep(between / 2)
                    await _post(session, two, "/admin/connectors/mailhub/restore", {})
                    await asyncio.sleep(between / 2)
            finally:
                stop.set()
                await caller
        found.sends, found.cuts, found.late = await compare(database)
    return found


async def _load(session: ClientSession, services: tuple[Service, Service], rate: int, stop: asyncio.Event,
                found: Figures) -> None:  # fmt: skip
    """A call every 1/`rate` seconds, whatever has become of the ones before."""
    calls: set[asyncio.Task[None]] = set()
    begun, made = time.perf_counter(), 0
    while not stop.is_set():
        await asyncio.sleep(max(0.0, begun + made / rate - time.perf_counter()))
        call = asyncio.create_task(_call(session, services[made % 2], found))
        calls.add(call)
        call.add_done_callback(calls.discard)
        made += 1
    found.rate = made / (time.perf_counter() - begun)
    await asyncio.gather(*calls)


async def _call(session: ClientSession, service: Service, found: Figures) -> None:
    body = {"action": "mailhub.send_message", "user": USER, "params": PARAMS}
    headers = {"Authorization": f"Bearer {service.token}", "Prefer": "wait=0"}
    try:
        async with session.post(f"http://127.0.0.1:{service.port}/execute", json=body, headers=headers) as reply:
            told = await reply.json()
            found.answers[str((told.get("error") or {}).get("code") or told.get("code") or told["status"])] += 1
    except (ClientError, TimeoutError) as error:
        found.answers[type(error).__name__] += 1


async def _by_command(service: Service) -> None:
    words = (str(Path(sys.executable).with_name("jit-auth")), "revoke", "connector", "mailhub", "-c")
    process = await asyncio.create_subprocess_exec(*words, str(service.config), stdout=subprocess.DEVNULL)
    assert await process.wait() == 0


async def _by_http(session: ClientSession, service: Service) -> None:
    await _post(session, service, "/admin/revoke", {"connector": "mailhub"})


async def _post(session: ClientSession, service: Service, path: str, body: dict[str, str]) -> None:
    headers = {"Authorization": f"Bearer {service.admin}"}
    async with session.post(f"http://127.0.0.1:{service.port}{path}", json=body, headers=headers) as reply:
        assert reply.status in (200, 204), await reply.text()


async def compare(database: str) -> tuple[int, int, int]:
    """Sends, cuts, and sends whose intent was committed between a cut and its restore."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(COMMITS)
    finally:
        await connection.close()
    return judged((row["at"], row["what"]) for row in rows)


def judged(rows: Iterable[tuple[float, str]]) -> tuple[int, int, int]:
    """The same of rows by the moment of their commit (any number that grows), each with its facts as JSON."""
    sends: list[float] = []
    moves: list[tuple[float, bool]] = []
    for at, what in rows:
        if _is(what, "send"):
            sends.append(at)
        else:
            moves.append((at, _is(what, "connector.stopped")))
    moves.sort()
    late = 0
    for at in sends:
        place = bisect.bisect_right(moves, (at, True))
        late += place > 0 and moves[place - 1][1] and moves[place - 1][0] < at
    return len(sends), sum(cut for _, cut in moves), late


def _is(what: str, fact: str) -> bool:
    return f'"do":"{fact}"' in what


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(40)


def table(found: Figures) -> str:
    """As it stands in a document."""
    lines = ["| by | cuts | p50 ms | p99 ms | longest ms |", "|---|---|---|---|---|"]
    for way, took in found.took.items():
        p50, p99 = quantile(took, 0.5), quantile(took, 0.99)
        lines.append(f"| {way} | {len(took)} | {p50:.0f} | {p99:.0f} | {max(took):.0f} |")
    answers = ", ".join(f"{times} {name}" for name, times in found.answers.most_common())
    lines += ["", f"{found.rate:.0f} calls/s: {answers}. {found.sends} sends, **{found.late}** of them with an intent "
              f"that was committed after one of {found.cuts} cuts."]  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    """Exit 1 where a send came too late, or --check is given and the command is too slow."""
    parser = argparse.ArgumentParser(description="The kill switch under load, two processes on PostgreSQL.")
    parser.add_argument("--database", help="a PostgreSQL URL (default: a server of its own)")
    parser.add_argument("--rate", type=int, default=200, help="calls a second (default: 200)")
    parser.add_argument("--rounds", type=int, default=40, help="cuts (default: 40)")
    parser.add_argument("--check", action="store_true", help="exit 1 where p99 of the command is 1 s or more")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    with ExitStack() as stack:
        database = options.database or stack.enter_context(own_server())
        found = asyncio.run(run(database, rate=options.rate, rounds=options.rounds))
    print(json.dumps(vars(found)) if options.json else header() + "\n\n" + table(found))
    slow = any(quantile(took, 0.99) >= MOST_MS for took in found.took.values())
    return bool(found.late or (options.check and slow))


if __name__ == "__main__":
    sys.exit(main())
