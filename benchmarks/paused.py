"""What paused executions cost: time to ready after a restart, and memory, with none and with many.

    python -m benchmarks.paused [--count 100000]

Makes a configuration in a temporary folder, writes the rows through the store, starts `jit-auth serve` and asks
/readyz. The time is from the start of the process, less what importing the service alone takes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from jit_auth.config.init import init
from jit_auth.config.load import load
from jit_auth.core.ids import new_id
from jit_auth.model import Ask, At, Audit, Card, Decision, Execution, Insert, Unit, Want
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

DAY = 86_400_000


def paused(number: int, now: int) -> Unit:
    """A call that waits for one person's approval."""
    execution = new_id("exe", now, os.urandom(10))
    ask = new_id("apr", now, os.urandom(10))
    want = Want(of=("user:me@example.com",))
    user = f"user{number % 1000}@example.com"
    rows = (
        Insert(Execution(
            id=execution, state="paused", agent="my-agent", chain=("my-agent",), user=user, verified=True,
            action="github.create_issue", params={"owner": "octo", "repo": "hello", "title": f"Number {number}"},
            digest="sha256:" + "0" * 64, decision=Decision("require_approval", ("r",), wants=(want,)),
            due=now + DAY, created=now, updated=now, expires=now + DAY,
        )),
        Insert(Ask(id=ask, execution=execution, kind="approval", agent="my-agent", user=user, wants=(want,),
                   created=now, expires=now + DAY)),
        Insert(Card(id=new_id("crd", now, os.urandom(10)), ask=ask, execution=execution, person="me@example.com",
                    via="terminal", shown=1, ref="printed", expires=now + DAY)),
    )  # fmt: skip
    audit = Audit(actor="agent:my-agent", what=({"do": "ask"},), user=user, agent="my-agent", execution=execution)
    return Unit(At(0, "", ()), rows, audit)


async def fill(config: Path, count: int) -> None:
    """Write the rows as the engine would."""
    settings = load(config)
    store = await Store.open(
        settings.storage.url, Vault(settings.vault.keys), clock=Clock(), base=settings.base, serve=False
    )
    for start in range(0, count, 500):
        now = store.now()
        await asyncio.gather(*(store.apply(paused(number, now)) for number in range(start, min(count, start + 500))))
    await store.close()


def serve(config: Path, url: str) -> tuple[float, float]:
    """Seconds until ready, and MiB in use a moment later."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "jit_auth", "serve", "-c", str(config)], stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{url}/readyz") as reply:  # noqa: S310 - loopback
                    if reply.status == 200:
                        break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    raise SystemExit("the service ended") from None
                time.sleep(0.005)
        ready = time.perf_counter() - began
        time.sleep(3)  # a few rounds of the worker
        return ready, psutil.Process(process.pid).memory_info().rss / 2**20
    finally:
        process.terminate()
        process.wait()


def imports() -> float:
    """Seconds to import the service and nothing else."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import jit_auth.app, jit_auth.cli.service"], check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=100_000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        base = Path(folder)
        init(base)
        config = base / "config.toml"
        config.write_text(config.read_text().replace(":8080", f":{port}"))
        url = f"http://127.0.0.1:{port}"
        serve(config, url)
        importing = min(imports() for _ in range(3))
        print("| paused | ready after imports | memory |")
        print("|---|---|---|")
        for filled in (0, count):
            if filled:
                asyncio.run(fill(config, filled))
            ready, memory = serve(config, url)
            print(f"| {filled:,} | {ready - importing:.2f} s | {memory:.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
