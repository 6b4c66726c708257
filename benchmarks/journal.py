"""Commits per second of the journal: units as the hot path makes them, many callers, one store.

`python benchmarks/journal.py [--url URL] [--seconds N] [--at 1,16,64]`. Each caller repeats an intent (new execution,
audit row) and its outcome (changed execution with a sealed result, audit row). The loop's own cost is measured by
building the same jobs without writing them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from jit_auth.core.ids import new_id
from jit_auth.model import (
    Applied,
    At,
    Audit,
    Change,
    Committed,
    Decision,
    Execution,
    Insert,
    Op,
    Result,
    Unit,
)
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

DIGEST = "sha256:" + "0" * 64
PARAMS = {"to": ["x@example.com"], "subject": "Numbers for November", "body": "As discussed. " * 12}
SUBJECTS = (("agent", "mailbot"), ("user", "alice@example.com"), ("provider", "mailhub"), ("connector", "mailhub"))


def intent(store: Store) -> tuple[Unit, Execution]:
    """What a call that needs nobody writes before it is sent."""
    now = store.now()
    execution = Execution(
        id=new_id("exe", now, os.urandom(10)), state="executing", agent="mailbot", chain=("mailbot",),
        user="alice@example.com", verified=True, action="mailhub.send_message", params=PARAMS, account="1234",
        account_name="alice@mailhub.example", grant="grt_x", digest=DIGEST, decision=Decision("allow", ("send",)),
        intent=True, attempt=1, process=store.process, deadline=now + 45_000, due=now + 45_000,
        not_after=now + 86_400_000, created=now, updated=now, expires=now + 86_400_000,
    )  # fmt: skip
    at = At(store.epoch, store.bundle, SUBJECTS, now + 86_400_000, True)
    facts: tuple[dict[str, Any], ...] = (
        {"do": "request", "action": execution.action, "chain": ["mailbot"], "verified": True,
         "params": Committed(PARAMS)},
        {"do": "decision", "effect": "allow", "rules": ["send"], "policy": DIGEST, "bundle": at.bundle,
         "epoch": at.epoch},
        {"do": "token", "grant": "grt_x", "provider": "mailhub"},
        {"do": "send", "attempt": 1, "digest": DIGEST},
    )  # fmt: skip
    audit = Audit(actor="agent:mailbot", what=facts, user=execution.user, agent="mailbot", execution=execution.id)
    return Unit(at, (Insert(execution),), audit), execution


def outcome(store: Store, execution: Execution) -> Unit:
    """What it writes once the answer is there."""
    result = Result(201, {"content-type": "application/json"}, {"id": "msg_1", "labels": ["sent"] * 6})
    to = {"state": "succeeded", "intent": False, "process": None, "deadline": None, "due": None, "result": result,
          "error": None, "open_key": None, "updated": store.now()}  # fmt: skip
    fact = {"do": "outcome", "state": "succeeded", "status": 201, "result": Committed({"id": "msg_1"})}
    ops: tuple[Op, ...] = (Change(execution, to),)
    return Unit(None, ops, Audit(actor="engine", what=(fact,), user=execution.user, agent="mailbot",
                                 execution=execution.id))  # fmt: skip


async def caller(store: Store, until: float, took: list[float]) -> None:
    while (begun := time.perf_counter()) < until:
        unit, execution = intent(store)
        assert isinstance(await store.apply(unit), Applied)
        between = time.perf_counter()
        assert isinstance(await store.apply(outcome(store, execution)), Applied)
        took += (between - begun, time.perf_counter() - between)


async def rate(store: Store, callers: int, seconds: float) -> None:
    took: list[float] = []
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(store, begun + seconds, took) for _ in range(callers)))
    elapsed = time.perf_counter() - begun
    busy = (time.process_time() - cpu) / len(took)
    quantiles = statistics.quantiles(took, n=100)
    print(f"c={callers:<4} {len(took) / elapsed:8.0f} commits/s   p50 {quantiles[49] * 1e3:6.2f} ms   "
          f"p99 {quantiles[98] * 1e3:6.2f} ms   {busy * 1e6:5.1f} us CPU a commit")  # fmt: skip


def loop_side(store: Store) -> None:
    """What `apply` costs the event loop before the journal has the job."""
    builder = store._builder  # the measured part has no public door of its own
    made = [intent(store) for _ in range(2_000)]
    ends = [outcome(store, execution) for _, execution in made]
    for name, units in (("intent", [unit for unit, _ in made]), ("outcome", ends)):
        best = min(_time(builder.job, units) for _ in range(5))
        print(f"loop side of an {name}: {best * 1e6:.1f} us")


def _time(make: Any, units: list[Unit]) -> float:
    begun = time.perf_counter()
    for unit in units:
        make(unit)
    return (time.perf_counter() - begun) / len(units)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="sqlite:///journal.db")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--at", default="1,16,64,128")
    args = parser.parse_args()
    gc.set_threshold(20_000, 20, 50)
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        vault = Vault([("bench", os.urandom(32))])
        store = await Store.open(args.url, vault, clock=Clock(), base=Path(folder), serve=True, bundle=DIGEST)
        await rate(store, 1, 0.2)
        loop_side(store)
        renewing = asyncio.create_task(renew(store))
        for callers in args.at.split(","):
            await rate(store, int(callers), args.seconds)
        renewing.cancel()
        await store.close()


async def renew(store: Store) -> None:
    while True:
        await store.renew()
        await asyncio.sleep(5)


if __name__ == "__main__":
    asyncio.run(main())
