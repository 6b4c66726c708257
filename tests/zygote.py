"""Runs `jit-auth` commands, each in a process of its own, without loading Python anew for each.

`python -m tests.zygote`: one JSON object a line in, one out. {argv, cwd, env} gives {code, out, err};
{argv, cwd, env, out, err} (paths) gives {pid} at once, and {pid} then {code}, null while it runs. A child is a fork of
a process that has imported the package, compiled its pages and read what it ships, and done nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import tests.loaded  # noqa: F401  (what children find done)
from jit_auth.cli import main as entry


def child(told: dict[str, Any], files: list[int]) -> int:
    for target, source in enumerate(files):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(told["env"])
    if told["cwd"]:
        os.chdir(told["cwd"])
    sys.argv = ["jit-auth", *told["argv"]]
    try:
        code: int = entry.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return code


def start(told: dict[str, Any], out: Path, err: Path) -> int:
    with Path(os.devnull).open() as nothing, out.open("a") as stdout, err.open("a") as stderr:
        pid = os.fork()
        if pid == 0:
            # Nothing of the parent's may run in the child, its cleaning least of all.
            os._exit(child(told, [each.fileno() for each in (nothing, stdout, stderr)]))
        return pid


def run(told: dict[str, Any]) -> dict[str, Any]:
    if "pid" in told:
        pid, status = os.waitpid(told["pid"], os.WNOHANG)
        return {"code": os.waitstatus_to_exitcode(status) if pid else None}
    if "out" in told:
        return {"pid": start(told, Path(told["out"]), Path(told["err"]))}
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        _, status = os.waitpid(start(told, out, err), 0)
        return {"code": os.waitstatus_to_exitcode(status), "out": out.read_text(), "err": err.read_text()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)  # noqa: T201  (the caller waits for it)
