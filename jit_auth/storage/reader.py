"""Reads: some statements in one snapshot, compiled text on the bare driver. The two classes have one shape."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

from jit_auth.errors import StorageError
from jit_auth.storage.compiled import Text

Query = tuple[Text, tuple[Any, ...]]
Rows = list[tuple[Any, ...]]


class Reader(Protocol):
    """What reads need of a database (two implementations: SqliteReader, PostgresReader)."""

    async def fetch(self, *queries: Query) -> list[Rows]:
        """The rows of each query, all from one snapshot. Raises StorageError."""
        ...

    def snapshot(self) -> contextlib.AbstractAsyncContextManager[Snapshot]:
        """One snapshot that stays open, for reading much. Raises StorageError."""
        ...

    async def close(self) -> None:
        """Wait for what is under way, and let go."""
        ...


class Snapshot(Protocol):
    """A snapshot that stays open while its context does."""

    async def fetch(self, query: Query) -> Rows:
        """All rows of one query."""
        ...

    def stream(self, query: Query, size: int = 2_000) -> AsyncIterator[Rows]:
        """The rows of one query, some at a time."""
        ...


class SqliteReader:
    """One thread with one connection that may not write. What is asked for meanwhile is answered together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._asked: queue.SimpleQueue[tuple[tuple[Query, ...], asyncio.Future[list[Rows]]] | None]
        self._asked = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="jit-auth-reader", daemon=True)
        self._thread.start()

    async def fetch(self, *queries: Query) -> list[Rows]:
        if self._closed:
            raise StorageError("The store is closed.")
        future: asyncio.Future[list[Rows]] = self._loop.create_future()
        self._asked.put((queries, future))
        return await future

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        connection = await asyncio.to_thread(open_to_read, self._path)
        try:
            await asyncio.to_thread(connection.execute, "BEGIN")
            yield _SqliteSnapshot(connection)
        finally:
            await asyncio.to_thread(connection.close)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._asked.put(None)
            await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            item = self._asked.get()
            answers: list[tuple[asyncio.Future[list[Rows]], list[Rows] | StorageError]] = []
            ended = item is None
            while item is not None:
                queries, future = item
                try:
                    if connection is None:
                        connection = open_to_read(self._path)
                    answers.append((future, _read(connection, queries)))
                except sqlite3.Error as error:
                    answers.append((future, failed(error)))
                    if connection is not None:
                        connection.close()
                        connection = None
                try:
                    item = self._asked.get_nowait()
                except queue.Empty:
                    break
                ended = ended or item is None
            self._tell(answers)
            if ended:
                if connection is not None:
                    connection.close()
                return

    def _tell(self, answers: list[tuple[asyncio.Future[list[Rows]], list[Rows] | StorageError]]) -> None:
        if answers:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                self._loop.call_soon_threadsafe(settle, answers)


class _SqliteSnapshot:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def fetch(self, query: Query) -> Rows:
        text, args = query
        rows: Rows = await self._run(lambda: self._connection.execute(text.sql, args).fetchall())
        return rows

    async def stream(self, query: Query, size: int = 2_000) -> AsyncIterator[Rows]:
        text, args = query
        cursor = await self._run(lambda: self._connection.execute(text.sql, args))
        while rows := await self._run(lambda: cursor.fetchmany(size)):
            yield rows

    async def _run(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(work)
        except sqlite3.Error as error:
            raise failed(error) from error


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection of its own that cannot write."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA query_only = ON")
    return connection


def failed(error: BaseException, *, unknown: bool = False) -> StorageError:
    """The driver's error as ours: SQLite's texts name no values. `unknown`: it came while committing."""
    problem = StorageError(f"The database refused: {error}", hint="Look at the disk and the database file.")
    problem.unknown = unknown
    return problem


def settle(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    """Give each future its answer; an exception is raised there. One that was given up is left alone."""
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _read(connection: sqlite3.Connection, queries: tuple[Query, ...]) -> list[Rows]:
    if len(queries) == 1:
        text, args = queries[0]
        return [connection.execute(text.sql, args).fetchall()]
    connection.execute("BEGIN")
    try:
        return [connection.execute(text.sql, args).fetchall() for text, args in queries]
    finally:
        connection.execute("COMMIT")
