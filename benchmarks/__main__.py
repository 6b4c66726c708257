"""`make bench`: every benchmark in a row; its tables go between the marks in README.md, the plot to docs/images.

    python -m benchmarks [--brief] [--only NAME,NAME]

`--brief` (or BENCH_BRIEF=1) runs each for a moment, to see that it works, and writes nothing; `--only` runs some of
them and writes nothing either.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import header, own_server
from benchmarks.plot import svg

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
PLOT = "docs/images/throughput.svg"
LEVELS = (1, 4, 16, 64, 128)


PARTS = ("hotpath", "rivals", "decision", "killswitch", "policy", "paused", "access", "verify")


def main() -> int:
    """Exit 1 where one of them failed; then nothing is written."""
    parser = argparse.ArgumentParser(description="Every benchmark in a row.")
    parser.add_argument("--brief", action="store_true", default=bool(os.environ.get("BENCH_BRIEF")))
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {', '.join(PARTS)}")
    options = parser.parse_args()
    only = options.only.split(",")
    if wrong := set(only) - set(PARTS):
        parser.error(f"no such benchmark: {', '.join(sorted(wrong))}")
    try:
        parts, plot = measure(options.brief, only)
    except subprocess.CalledProcessError as error:
        print(f"failed: {error.cmd}\n{error.stdout}{error.stderr}", file=sys.stderr)
        return 1
    text = "\n\n".join((header().replace("\n$", "  \n`make bench`:"), *parts))
    if options.brief or set(only) != set(PARTS):
        print(text)
        return 0
    (ROOT / PLOT).write_text(plot)
    write(ROOT / "README.md", f"{text}\n\n![calls a second against connections]({PLOT})")
    return 0


def measure(brief: bool, only: Sequence[str] = PARTS) -> tuple[list[str], str]:
    """The sections, and the plot (empty without the hot path)."""
    parts: list[str] = []
    plot = ""
    for name in (name for name in PARTS if name in only):
        if name == "hotpath":
            sections, plot = _hot(brief)
            parts += sections
        else:
            for title, words in _rest(name, brief):
                parts.append(f"**{title}**\n\n{_body(_run(name, *words))}")
    return parts, plot


def _hot(brief: bool) -> tuple[list[str], str]:
    """The hot path on both databases, and its plot."""
    short = ("--rounds", "1", "--seconds", "0.5") if brief else ()
    levels = ",".join(map(str, LEVELS[:2] if brief else LEVELS))
    with own_server() as database:
        reports = {
            "SQLite": _hotpath("--levels", levels, *short),
            "PostgreSQL": _hotpath("--levels", levels, "--database", database, *short),
        }
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, report in reports.items():
        found = report["levels"].items()
        lines[f"jit_auth, {name}"] = [(float(level), one["jit_auth"]) for level, one in found]
        lines.setdefault("bare proxy", [(float(level), one["bare"]) for level, one in found])
    sections = [f"**Hot path, {name}**\n\n{_table(report)}" for name, report in reports.items()]
    return sections, svg("Calls a second", "connections", "calls/s", lines)


def _rest(name: str, brief: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Title and words of each run of a benchmark."""
    both = (("SQLite", ()), ("PostgreSQL", ("--own-server",)))
    if name == "rivals":
        short = ("--rounds", "1", "--seconds", "0.3") if brief else ()
        return [(f"Pause and resume beside others, {where}", (*words, *short)) for where, words in both]
    if name == "decision":
        short = ("--count", "32") if brief else ()
        return [(f"From a decision to its send, {where}", (*words, *short)) for where, words in both]
    if name == "killswitch":
        words = ("--rate", "50", "--rounds", "2") if brief else ()
        return [("Kill switch under load, two processes on PostgreSQL", words)]
    if name == "paused":
        return [("Paused executions", ("--counts", "0,500,1000", "--calls", "50") if brief else ())]
    if name == "access":
        short = ("--count", "2000", "--users", "20", "--times", "2") if brief else ()
        return [("Blast radius, PostgreSQL", ("--own-server", *short))]
    if name == "verify":
        return [("audit verify", ("--count", "1000" if brief else "1000000"))]
    return [("Policy", ())]


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
