"""Reads on PostgreSQL: a few connections, one snapshot per call."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from jit_auth.errors import StorageError
from jit_auth.storage.reader import Query, Rows, Snapshot
from jit_auth.storage.server import COMMAND, CONNECT, LOST, connect, failed

_MOST = 4


class PostgresReader:
    """A pool of connections that only read. A connection that had died is replaced, and the read made again."""

    def __init__(self, pool: Any, url: str) -> None:
        self._pool = pool
        self._url = url

    @classmethod
    async def open(cls, url: str) -> PostgresReader:
        """Connect. Raises StorageError."""
        try:
            pool = await asyncpg.create_pool(
                url, min_size=1, max_size=_MOST, timeout=CONNECT, command_timeout=COMMAND, statement_cache_size=300
            )
        except (*LOST, asyncpg.PostgresError, ValueError) as error:
            raise failed(error) from error
        return cls(pool, url)

    async def fetch(self, *queries: Query) -> list[Rows]:
        try:
            return await self._fetch(queries)
        except LOST:
            pass
        except asyncpg.PostgresError as error:
            raise failed(error) from error
        try:
            return await self._fetch(queries)
        except (*LOST, asyncpg.PostgresError) as error:
            raise failed(error) from error

    async def _fetch(self, queries: tuple[Query, ...]) -> list[Rows]:
        async with self._pool.acquire(timeout=CONNECT) as connection:
            if len(queries) == 1:
                text, args = queries[0]
                return [await connection.fetch(text.sql, *args)]
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return [await connection.fetch(text.sql, *args) for text, args in queries]

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """A connection of its own: reading much must not take one from those who read little."""
        try:
            connection = await connect(self._url)
        except (*LOST, asyncpg.PostgresError) as error:
            raise failed(error) from error
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                # Compiling a statement that the planner takes for a dear one costs more than running it.
                await connection.execute("SET LOCAL jit = off")
                yield _PostgresSnapshot(connection)
        except StorageError:
            raise
        except (*LOST, asyncpg.PostgresError) as error:
            raise failed(error) from error
        finally:
            connection.terminate()

    async def close(self) -> None:
        self._pool.terminate()


class _PostgresSnapshot:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, query: Query) -> Rows:
        text, args = query
        rows: Rows = await self._connection.fetch(text.sql, *args)
        return rows

    async def stream(self, query: Query, size: int = 2_000) -> AsyncIterator[Rows]:
        text, args = query
        cursor = await self._connection.cursor(text.sql, *args)
        while rows := await cursor.fetch(size):
            yield rows
