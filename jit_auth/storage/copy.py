"""Copies a whole database into an empty one, row by row as it lies there: from one file to PostgreSQL, or back.

Nothing is opened or sealed: what is sealed names table, row and column, no database. All or nothing: PostgreSQL in one
transaction, a file under another name until it is whole. Nobody may serve on the source meanwhile: two databases with
the same open executions would send both (THREAT_MODEL 9).
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Boolean, Table, create_engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from jit_auth.errors import StorageError
from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler, compiler_for
from jit_auth.storage.place import Lock, file_of, make_private
from jit_auth.storage.schema import HEAD, prepare_new
from jit_auth.storage.server import LOST, connect, failed
from jit_auth.storage.sqlite import BUSY, open_to_write

SIZE = 2_000
"""Rows at a time."""
COPIED = tuple(table for table in tables.metadata.sorted_tables if table is not tables.stamp)
_PART = ".copying"

Rows = Sequence[Sequence[Any]]


class _Source(Protocol):
    def rows(self, table: Table) -> AsyncIterator[Rows]: ...


class _Target(Protocol):
    async def put(self, table: Table, rows: Rows) -> None: ...


async def copy(url: str, to: str, base: Path, told: Callable[[int], None] = lambda count: None) -> int:
    """All rows of `url` into `to`, where nothing may be yet; how many there were. `told` hears how far it is.

    Raises StorageError: somebody serves on the source, its schema is not the newest, the target is not empty; then
    the target is as it was.
    """
    source, target, count = file_of(url, base), file_of(to, base), 0
    async with AsyncExitStack() as stack:
        reading: _Source = (
            stack.enter_context(_from_file(source))
            if source is not None
            else await stack.enter_async_context(_from_server(url))
        )
        writing: _Target = (
            stack.enter_context(_to_file(target))
            if target is not None
            else await stack.enter_async_context(_to_server(to))
        )
        for table in COPIED:
            async for rows in reading.rows(table):
                await writing.put(table, rows)
                count += len(rows)
                told(count)
    return count


class _File:
    def __init__(self, connection: sqlite3.Connection, compiler: Compiler) -> None:
        self._connection = connection
        self._compiler = compiler

    async def rows(self, table: Table) -> AsyncIterator[Rows]:
        cursor = self._connection.execute(self._compiler.text(select(table)).sql)
        flags = [at for at, column in enumerate(table.columns) if isinstance(column.type, Boolean)]
        while rows := cursor.fetchmany(SIZE):
            yield [_with_flags(row, flags) for row in rows] if flags else rows

    async def put(self, table: Table, rows: Rows) -> None:
        self._connection.executemany(self._compiler.insert(table, table.columns.keys()).one, rows)


def _with_flags(row: Sequence[Any], flags: Sequence[int]) -> tuple[Any, ...]:
    """A row of the file, with its booleans as such."""
    return tuple(bool(value) if at in flags and value is not None else value for at, value in enumerate(row))


@contextmanager
def _from_file(path: Path) -> Iterator[_File]:
    if not path.exists():
        raise StorageError(f"There is no database at {path}.")
    lock = Lock(path)
    try:
        connection = open_to_write(path, patience=BUSY)
        try:
            connection.execute("BEGIN IMMEDIATE")  # commands write beside a service: not beside this
            try:
                stamp = connection.execute(f"SELECT version_num FROM {tables.stamp.name}").fetchone()  # noqa: S608 - a name of ours
            except sqlite3.OperationalError:
                stamp = None
            _newest(stamp)
            yield _File(connection, compiler_for("sqlite"))
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageError(f"The file cannot be read: {error}") from error
    finally:
        lock.release()


@contextmanager
def _to_file(path: Path) -> Iterator[_File]:
    if path.exists():
        raise StorageError(f"There is something at {path} already.", hint="Name a file that does not exist.")
    part = path.with_name(path.name + _PART)
    make_private(part)
    engine = create_engine("sqlite://", creator=lambda: open_to_write(part, patience=BUSY), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            prepare_new(connection)
            raw: Any = connection.connection.driver_connection
            yield _File(raw, compiler_for("sqlite"))
            connection.exec_driver_sql("COMMIT")
        engine.dispose()
        part.rename(path)
    except (sqlite3.Error, SQLAlchemyError, OSError) as error:
        raise StorageError(f"The file cannot be written: {error}") from error
    finally:
        engine.dispose()
        for tail in ("", "-wal", "-shm"):
            part.with_name(part.name + tail).unlink(missing_ok=True)


class _Server:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._compiler = compiler_for("postgresql")

    async def rows(self, table: Table) -> AsyncIterator[Rows]:
        cursor = await self._connection.cursor(self._compiler.text(select(table)).sql)
        while rows := await cursor.fetch(SIZE):
            yield rows

    async def put(self, table: Table, rows: Rows) -> None:
        await self._connection.copy_records_to_table(table.name, records=rows, columns=table.columns.keys())


@asynccontextmanager
async def _from_server(url: str) -> AsyncIterator[_Server]:
    with _told():
        connection = await connect(url)
        try:
            async with connection.transaction():
                try:
                    stamp = await connection.fetchrow(f"SELECT version_num FROM {tables.stamp.name}")  # noqa: S608 - a name of ours
                except asyncpg.UndefinedTableError:
                    stamp = None
                _newest(stamp)
                # Every intent share-locks this row: nobody sends while it is held, and what is read is the last word.
                await connection.execute("SELECT n FROM epoch FOR UPDATE")
                alive = "SELECT count(*) FROM process WHERE lease_until > extract(epoch FROM clock_timestamp()) * 1000"
                if await connection.fetchval(alive):
                    raise StorageError(
                        "A service works on this database.", hint="Stop every replica, and wait for 15 s."
                    )
                yield _Server(connection)
        finally:
            connection.terminate()


@asynccontextmanager
async def _to_server(url: str) -> AsyncIterator[_Server]:
    from sqlalchemy.ext.asyncio import create_async_engine  # brings the ORM with it: only where it is needed

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(url), poolclass=NullPool)
    with _told():
        try:
            async with engine.begin() as connection:
                await connection.run_sync(prepare_new)
                raw = await connection.get_raw_connection()
                yield _Server(raw.driver_connection)
        finally:
            await engine.dispose()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (*LOST, asyncpg.PostgresError, SQLAlchemyError) as error:
        raise failed(error) from error


def _newest(stamp: Any) -> None:
    if stamp is None or stamp[0] != HEAD:
        raise StorageError(
            "The source has another schema than this version's.", hint="Run `jit-auth db migrate` first."
        )
