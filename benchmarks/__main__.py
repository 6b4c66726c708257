"""`make bench`: every benchmark in a row; its tables go between the marks in README.md, the plot to docs/images.

    python -m benchmarks [--brief]

`--brief` (or BENCH_BRIEF=1) runs each for a moment, to see that it works, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import header, own_server
from benchmarks.plot import svg

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
PLOT = "docs/images/throughput.svg"
LEVELS = (1, 4, 16, 64, 128)


def main() -> int:
    """Exit 1 where one of them failed; then nothing is written."""
    parser = argparse.ArgumentParser(description="Every benchmark in a row.")
    parser.add_argument("--brief", action="store_true", default=bool(os.environ.get("BENCH_BRIEF")))
    brief = parser.parse_args().brief
    try:
        parts, plot = measure(brief)
    except subprocess.CalledProcessError as error:
        print(f"failed: {error.cmd}\n{error.stdout}{error.stderr}", file=sys.stderr)
        return 1
    text = "\n\n".join((header().replace("\n$", "  \n`make bench`:"), *parts))
    if brief:
        print(text)
        return 0
    (ROOT / PLOT).write_text(plot)
    write(ROOT / "README.md", f"{text}\n\n![calls a second against connections]({PLOT})")
    return 0


def measure(brief: bool) -> tuple[list[str], str]:
    """The sections, and the plot."""
    short = ("--rounds", "1", "--seconds", "0.5") if brief else ()
    levels = ",".join(map(str, LEVELS[:2] if brief else LEVELS))
    with own_server() as database:
        reports = {
            "SQLite": _hotpath("--levels", levels, *short),
            "PostgreSQL": _hotpath("--levels", levels, "--database", database, *short),
        }
    kill = _run("killswitch", *(("--rate", "50", "--rounds", "2") if brief else ()))
    parts = [f"**Hot path, {name}**\n\n{_table(report)}" for name, report in reports.items()]
    parts.append("**Kill switch under load, two processes on PostgreSQL**\n\n" + _body(kill))
    parts.append("**Policy**\n\n" + _body(_run("policy")))
    parts.append("**Paused executions**\n\n" + _run("paused", "--count", "1000" if brief else "500000").strip())
    parts.append("**audit verify**\n\n" + _body(_run("verify", "--count", "1000" if brief else "1000000")))
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, report in reports.items():
        found = report["levels"].items()
        lines[f"jit_auth, {name}"] = [(float(level), one["jit_auth"]) for level, one in found]
        lines.setdefault("bare proxy", [(float(level), one["bare"]) for level, one in found])
    return parts, svg("Calls a second", "connections", "calls/s", lines)


def write(file: Path, text: str) -> None:
    """Replace what stands between the marks. Raises ValueError where they are not there."""
    whole = file.read_text()
    begin, end = whole.index(BEGIN) + len(BEGIN), whole.index(END)
    new = f"{whole[:begin]}\n\n{text}\n\n{whole[end:]}"
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as part:
        part.write(new)
    os.chmod(part.name, file.stat().st_mode & 0o777)
    os.replace(part.name, file)


def _hotpath(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run("hotpath", "--json", *words))
    return found


def _table(report: dict[str, Any]) -> str:
    lines = [
        "| connections | bare /s | jit_auth /s | ratio (lowest-highest) | p50 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for level, one in report["levels"].items():
        lines.append(
            f"| {level} | {one['bare']:.0f} | {one['jit_auth']:.0f} | **{one['ratio']:.2f}** "
            f"({one['lowest']:.2f}-{one['highest']:.2f}) | {one['p50_ms']:.1f} | {one['p99_ms']:.1f} |"
        )
    return "\n".join(lines)


def _body(printed: str) -> str:
    """Without its header: the date and the machine stand above all of them."""
    return printed.partition("\n\n")[2].strip()


def _run(name: str, *words: str) -> str:
    _progress(" ".join((name, *words)))
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}", *words]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _progress(name: str) -> None:
    if sys.stderr.isatty():
        print(name, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
