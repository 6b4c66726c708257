"""`jit-auth` commands and services as processes of their own, forked from one that has loaded all of it."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Zygote:
    """See zygote.py; it ends with this process, whose end of its standard input closes."""

    def __init__(self) -> None:
        # Errors are the children's; what the parent says is a fault of the tests.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._lock = threading.Lock()

    def ask(self, **told: Any) -> dict[str, Any]:
        """One question, and its answer."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(told) + "\n")
            self._process.stdin.flush()
            came: dict[str, Any] = json.loads(self._process.stdout.readline())
            return came

    def run(self, *arguments: str, cwd: Path | None, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """`jit-auth ...` in this environment, to its end."""
        came = self.ask(argv=list(arguments), cwd=str(cwd) if cwd else None, env=dict(env))
        return subprocess.CompletedProcess(["jit-auth", *arguments], came["code"], came["out"], came["err"])

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(10)


@functools.cache
def zygote() -> Zygote:
    """This session's; started with its first command."""
    return Zygote()


def close_commands() -> None:
    """At the end of the session."""
    if zygote.cache_info().currsize:
        zygote().close()
        zygote.cache_clear()
