"""The durable hot path against a bare aiohttp JSON proxy, interleaved in one run.

    python -m benchmarks.hotpath

Both are loaded by the same client, one after the other in turns (A B B A ...), and both call the same API. The proxy
decides nothing and keeps nothing; `jit-auth serve` authenticates, decides by policy, commits an intent (SQLite,
synchronous=FULL), releases a sealed credential, sends, and commits the outcome. Reported per number of connections: the
median of the ratios of neighbouring slices.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import gc
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.load import Load, load
from benchmarks.machine import machine, processor_seconds
from benchmarks.world import Service, started

TARGETS = {16: 0.45, 128: 0.55}
"""What a release must reach on two cores and SQLite (docs/design/0005-egress-and-send.md)."""


def main() -> int:
    """Run; exit 1 where --check is given and a median is below its target."""
    parser = argparse.ArgumentParser(description="The durable hot path against a bare aiohttp JSON proxy.")
    parser.add_argument("--levels", default="16,128", help="connections (default: 16,128)")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of slices per level (default: 7)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a slice (default: 3)")
    parser.add_argument("--rules", type=int, default=20, help="further policy rules for the action (default: 20)")
    parser.add_argument("--folder", type=Path, help="where database and configuration go (default: a temporary one)")
    parser.add_argument("--database", default="sqlite:///bench.db", help="[storage] url (default: a SQLite file)")
    parser.add_argument("--check", action="store_true", help="exit 1 below the targets")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    levels = [int(level) for level in options.levels.split(",")]
    with tempfile.TemporaryDirectory(prefix="jit-auth-bench-", dir=options.folder) as folder:
        report = asyncio.run(_measure(Path(folder), levels, options))
    print(json.dumps(report) if options.json else _table(report))
    missed = [level for level in levels if report["levels"][str(level)]["ratio"] < TARGETS.get(level, 0.0)]
    return 1 if options.check and missed else 0


async def _measure(folder: Path, levels: list[int], options: argparse.Namespace) -> dict[str, Any]:
    processes: list[subprocess.Popen[str] | subprocess.Popen[bytes]] = []
    try:
        api, (api_port, oauth_port) = started("api")
        processes.append(api)
        proxy, (proxy_port,) = started("proxy", str(api_port))
        processes.append(proxy)
        service = Service(folder, api_port, oauth_port, database=options.database, rules=options.rules)
        processes.append(service.process)
        service.connect()
        call = service.call()
        pids = {proxy_port: proxy.pid, service.port: service.process.pid}

        async def one(port: int, level: int, seconds: float) -> Load:
            begun = processor_seconds(pids[port])
            found = await load(port, call, expect=b'"status":', connections=level, seconds=seconds)
            found.processor = processor_seconds(pids[port]) - begun
            return found

        gc.freeze()
        results = {}
        for level in levels:
            for port in (proxy_port, service.port):
                await one(port, level, 1.0)  # warm
            pairs = []
            for number in range(options.rounds):
                order = (proxy_port, service.port) if number % 2 == 0 else (service.port, proxy_port)
                loads = {port: await one(port, level, options.seconds) for port in order}
                pairs.append((loads[proxy_port], loads[service.port]))
                _progress(level, number, options.rounds, *pairs[-1])
            results[str(level)] = _summary(pairs)
        return {"levels": results, "machine": machine(folder), "command": shlex.join(sys.orig_argv[1:])}
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(20)


def _summary(pairs: list[tuple[Load, Load]]) -> dict[str, float]:
    ratios = [service.rate / bare.rate for bare, service in pairs]
    return {
        "bare": round(statistics.median(bare.rate for bare, _ in pairs), 1),
        "jit_auth": round(statistics.median(service.rate for _, service in pairs), 1),
        "ratio": round(statistics.median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
        "cpu_us": round(statistics.median(service.processor / len(service.times) for _, service in pairs) * 1e6),
        "bare_cpu_us": round(statistics.median(bare.processor / len(bare.times) for bare, _ in pairs) * 1e6),
        "p50_ms": round(statistics.median(service.quantile(0.5) for _, service in pairs), 2),
        "p99_ms": round(statistics.median(service.quantile(0.99) for _, service in pairs), 2),
        "bare_p50_ms": round(statistics.median(bare.quantile(0.5) for bare, _ in pairs), 2),
        "bare_p99_ms": round(statistics.median(bare.quantile(0.99) for bare, _ in pairs), 2),
    }


def _progress(level: int, number: int, rounds: int, bare: Load, service: Load) -> None:
    if sys.stderr.isatty():
        rates = f"{bare.rate:7.0f} {service.rate:7.0f} {service.rate / bare.rate:.3f}"
        print(f"\rc={level}: {number + 1}/{rounds} {rates}   ", end="", file=sys.stderr, flush=True)


def _table(report: dict[str, Any]) -> str:
    lines = [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {report['machine']}",
        f"$ {report['command']}",
        "",
        "| connections | bare /s | jit_auth /s | ratio (lowest-highest) | target "
        "| CPU us (bare) | p50 ms (bare) | p99 ms (bare) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for level, found in report["levels"].items():
        target = TARGETS.get(int(level))
        lines.append(
            f"| {level} | {found['bare']:.0f} | {found['jit_auth']:.0f} "
            f"| **{found['ratio']:.2f}** ({found['lowest']:.2f}-{found['highest']:.2f}) | {target or ''} "
            f"| {found['cpu_us']} ({found['bare_cpu_us']}) "
            f"| {found['p50_ms']:.1f} ({found['bare_p50_ms']:.1f}) "
            f"| {found['p99_ms']:.1f} ({found['bare_p99_ms']:.1f}) |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
