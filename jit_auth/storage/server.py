"""The PostgreSQL server: how we connect, which of the driver's errors mean what, and how they are told."""

from __future__ import annotations

from typing import Any

import asyncpg

from jit_auth.errors import StorageError

CONNECT = 5.0
"""Seconds to connect."""

COMMAND = 10.0
"""Seconds for one statement: a server that does not answer is away."""

LOST = (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)
"""The connection is gone, or the server is going. (A timeout is an OSError.)"""

AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

# A unique key that is taken, a division by zero (see `whole`), a value that is none of the column's type.
MISFIT = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, ValueError, TypeError)


async def connect_to_write(url: str) -> Any:
    """The journal's connection: all it does is by key, whatever the planner believes of tables it has not analysed."""
    connection = await connect(url)
    for plan in ("seqscan", "hashjoin", "mergejoin"):
        await connection.execute(f"SET enable_{plan} = off")
    return connection


async def connect(url: str) -> Any:
    """A connection; the URL is the driver's own, libpq parameters and all. Raises what the driver raises."""
    return await asyncpg.connect(url, timeout=CONNECT, command_timeout=COMMAND, statement_cache_size=300)


def failed(error: BaseException, *, unknown: bool = False) -> StorageError:
    """The driver's error as ours, without its text: that may hold values. `unknown`: it was lost while committing."""
    state = getattr(error, "sqlstate", None)
    named = type(error).__name__ + (f", SQLSTATE {state}" if state else "")
    problem = StorageError(f"The database is away or refused ({named}).", hint="Look at the database server.")
    problem.unknown = unknown
    return problem
