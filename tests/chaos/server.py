"""A PostgreSQL server of a scenario's own, which is killed with -9 and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from urllib.parse import parse_qs, urlsplit

import psutil

from tests.postgres import Server

PATIENCE = 20.0
"""Seconds until the server is there again."""


class Mortal(Server):
    """It may die. `close` ends it for good."""

    @property
    def socket(self) -> str:
        """The socket that it listens on."""
        (folder,) = parse_qs(urlsplit(self.url).query)["host"]
        return f"{folder}/.s.PGSQL.5432"

    def through(self, port: int) -> str:
        """URL of a new, empty database, by way of a proxy on this port."""
        name = urlsplit(self.database()).path
        return f"postgresql://postgres@127.0.0.1:{port}{name}"

    def kill(self) -> None:
        """kill -9 of the server and of all that it has started: as if the machine had gone (its disk has not)."""
        parent = self._process()
        children = parent.children(recursive=True)
        parent.send_signal(signal.SIGKILL)
        for child in children:
            try:
                child.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs([parent, *children], timeout=10)

    def start(self) -> None:
        """Until it answers. Raises TimeoutError."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self._server.ensure_postgres_running()
                return
            except subprocess.SubprocessError:
                if time.monotonic() > end:
                    raise TimeoutError("PostgreSQL does not start again") from None

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _process(self) -> psutil.Process:
        pid = int((self.folder / "postmaster.pid").read_text().split()[0])
        assert pid != os.getpid()
        return psutil.Process(pid)
