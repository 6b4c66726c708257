"""Runs `jit-auth` commands, each in a process of its own, without loading Python anew for each.

`python -m tests.acceptance.zygote`: one JSON object a line in (argv, cwd, env, stdin), one out (code, out, err). The
child is a fork of a process that has imported the commands and done nothing else.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from jit_auth.cli import main as entry

for _name in dict.fromkeys(entry.COMMANDS.values()):
    importlib.import_module(f"jit_auth.cli.{_name}")


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


def run(told: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        paths = [Path(folder) / name for name in ("in", "out", "err")]
        paths[0].write_text(told["stdin"] or "")
        opened = [stack.enter_context(path.open("r" if path.name == "in" else "w")) for path in paths]
        pid = os.fork()
        if pid == 0:
            # Nothing of the parent's may run in the child, its cleaning least of all.
            os._exit(child(told, [each.fileno() for each in opened]))
        _, status = os.waitpid(pid, 0)
        return {"code": os.waitstatus_to_exitcode(status), "out": paths[1].read_text(), "err": paths[2].read_text()}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)  # noqa: T201  (the caller waits for it)
