"""What paused executions cost: time to ready after a restart, memory, and the rates of pausing and resuming others.

    python -m benchmarks.paused [--counts 0,1000,100000,500000] [--database postgresql://... | --own-server]

Makes a configuration in a temporary folder and writes the rows through the store, as calls of 500 agents for 1,000
users that wait for 5,000 people. At each count `jit-auth serve` is started and asked for /readyz; the time is from the
start of the process; beside it stands what importing the service alone takes at that moment. Then further calls are
paused, and resumed, 16 at once (`benchmarks.pausing`). `--check` exits 1 where a rate at the most is below 0.8 of that
at the first count above 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks.machine import header, own_server
from benchmarks.pausing import Pausing
from benchmarks.world import Service, started
from jit_auth.config.load import load
from jit_auth.core.ids import new_id
from jit_auth.model import Ask, At, Audit, Card, Decision, Execution, Insert, Unit, Want
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

DAY = 86_400_000
AT_ONCE = 1_000
FLAT = 0.8
"""A rate is flat where it is not below this part of the first."""


def paused(number: int, now: int) -> Unit:
    """A call that waits for one person's approval."""
    execution = new_id("exe", now, os.urandom(10))
    ask = new_id("apr", now, os.urandom(10))
    user, person = f"user{number % 1_000}@example.com", f"boss{number % 5_000}@example.com"
    agent = f"agent{number % 500}"
    want = Want(of=(f"user:{person}",))
    rows = (
        Insert(Execution(
            id=execution, state="paused", agent=agent, chain=(agent,), user=user, verified=True,
            action="github.create_issue", params={"owner": "octo", "repo": "hello", "title": f"Number {number}"},
            digest="sha256:" + "0" * 64, decision=Decision("require_approval", ("r",), wants=(want,)),
            due=now + DAY, created=now, updated=now, expires=now + DAY,
        )),
        Insert(Ask(id=ask, execution=execution, kind="approval", agent=agent, user=user, wants=(want,),
                   created=now, expires=now + DAY)),
        Insert(Card(id=new_id("crd", now, os.urandom(10)), ask=ask, execution=execution, person=person,
                    via="terminal", shown=1, ref="printed", expires=now + DAY)),
    )  # fmt: skip
    audit = Audit(actor=f"agent:{agent}", what=({"do": "ask"},), user=user, agent=agent, execution=execution)
    return Unit(At(0, "", ()), rows, audit)


async def fill(config: Path, begin: int, end: int) -> None:
    """Write the rows as the engine would, from one number to another."""
    settings = load(config)
    store = await Store.open(
        settings.storage.url, Vault(settings.vault.keys), clock=Clock(), base=settings.base, serve=False
    )
    for start in range(begin, end, AT_ONCE):
        now = store.now()
        await asyncio.gather(*(store.apply(paused(number, now)) for number in range(start, min(end, start + AT_ONCE))))
    await store.close()


def ready(service: Service) -> tuple[float, float]:
    """Start it: seconds until ready, and MiB in use a moment later."""
    begun = time.perf_counter()
    service.start()
    took = time.perf_counter() - begun
    time.sleep(3)  # a few rounds of the worker
    return took, psutil.Process(service.process.pid).memory_info().rss / 2**20


def imports() -> float:
    """Seconds to import the service and nothing else."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import jit_auth.app, jit_auth.cli.service"], check=True)
    return time.perf_counter() - begun


async def rates(service: Service, calls: int) -> tuple[float, float]:
    """Pauses and resumes a second, of so many calls."""
    with Pausing(service) as pausing:
        for many in (16, calls):  # the first to warm
            paused_, pausing_for = await pausing.pause(count=many)
            await pausing.shown()
            resumed, resuming_for = await pausing.resume()
    return paused_ / pausing_for, resumed / resuming_for


def main() -> int:
    """Exit 1 where --check is given and a rate is not flat."""
    parser = argparse.ArgumentParser(description="What paused executions cost.")
    parser.add_argument("--counts", default="0,1000,100000,500000", help="paused (default: 0,1000,100000,500000)")
    parser.add_argument("--calls", type=int, default=1_000, help="paused and resumed at each (default: 1000)")
    parser.add_argument("--database", default="sqlite:///bench.db", help="[storage] url (default: a SQLite file)")
    parser.add_argument("--own-server", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--check", action="store_true", help=f"exit 1 where a rate falls below {FLAT} of the first")
    options = parser.parse_args()
    counts = [int(count) for count in options.counts.split(",")]
    found: dict[int, tuple[float, float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jit-auth-bench-")))
        database = stack.enter_context(own_server()) if options.own_server else options.database
        api, (api_port, oauth_port) = started("api")
        stack.callback(api.wait, 20)
        stack.callback(api.terminate)
        service = Service(folder, api_port, oauth_port, database=database, rules=20, asks=True)
        stack.callback(service.stop)
        service.connect()
        print(f"{header(folder)}\n\n| paused | ready (of it imports) | memory | pauses/s | resumes/s |")
        print("|---|---|---|---|---|")
        filled = 0
        for count in counts:
            service.stop()
            asyncio.run(fill(service.config, filled, count))
            filled = count
            importing = min(imports() for _ in range(2))  # at this moment: a machine's speed varies
            took, memory = ready(service)
            found[count] = asyncio.run(rates(service, options.calls))
            pauses, resumes = found[count]
            print(
                f"| {count:,} | {took:.2f} s ({importing:.2f} s) | {memory:.0f} MiB | {pauses:.0f} | {resumes:.0f} |",
                flush=True,
            )
    first, last = (found[each] for each in (next((count for count in counts if count), 0), counts[-1]))
    return bool(options.check and any(late < FLAT * soon for soon, late in zip(first, last, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
