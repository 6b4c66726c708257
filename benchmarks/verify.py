"""`jit-auth audit verify` on many rows: seconds and memory.

    python -m benchmarks.verify [--count 1000000]

Rows are written through the store, as the engine writes them; then the command runs as an operator runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import header
from jit_auth.config.init import init
from jit_auth.config.load import load
from jit_auth.model import Audit, Unit
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

AT_ONCE = 1_000


async def fill(config: Path, count: int) -> None:
    """So many rows of a hundred users."""
    settings = load(config)
    vault = Vault(settings.vault.keys)
    store = await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)
    for start in range(0, count, AT_ONCE):
        await asyncio.gather(*(store.apply(_row(number)) for number in range(start, min(count, start + AT_ONCE))))
    await store.close()


def _row(number: int) -> Unit:
    facts = ({"do": "request", "action": "github.create_issue"}, {"do": "decision", "effect": "allow", "rules": ["r"]},
             {"do": "send", "attempt": 1, "digest": "sha256:" + "0" * 64})  # fmt: skip
    user = f"user{number % 100}@example.com"
    return Unit(None, (), Audit(actor="agent:my-agent", what=facts, user=user, agent="my-agent"))


def main() -> int:
    """Exit 1 where the record does not verify."""
    parser = argparse.ArgumentParser(description="audit verify on many rows.")
    parser.add_argument("--count", type=int, default=1_000_000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="jit-auth-bench-") as folder:
        init(Path(folder))
        config = Path(folder) / "config.toml"
        begun = time.perf_counter()
        asyncio.run(fill(config, count))
        filled = time.perf_counter() - begun
        command = [sys.executable, "-m", "jit_auth", "audit", "verify", "-c", str(config)]
        begun = time.perf_counter()
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        took = time.perf_counter() - begun
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(header(Path(folder)))
    print("\n| rows | written in | verified in | memory |\n|---|---|---|---|")
    print(f"| {count:,} | {filled:.0f} s | {took:.1f} s | {memory:.0f} MiB |")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
