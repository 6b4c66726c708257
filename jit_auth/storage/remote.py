"""A store on a PostgreSQL server: all of it that a file has no use for. Imported where the URL names a server: the
driver, its dialect and the statements over arrays are an eighth of a command's start."""

from __future__ import annotations

from pathlib import Path

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from jit_auth.storage.pool import PostgresReader
from jit_auth.storage.postgres import PostgresJournal
from jit_auth.storage.schema import HEAD, MIGRATIONS, prepare
from jit_auth.storage.server import LOST, connect, failed
from jit_auth.vault import Vault

__all__ = ["PostgresJournal", "PostgresReader", "prepare_postgres"]


async def prepare_postgres(
    url: str, vault: Vault, *, upgrade: bool, head: str = HEAD, migrations: Path = MIGRATIONS
) -> None:
    """Make the schema of an empty PostgreSQL database, or, with `upgrade`, bring an older one up. See `prepare`."""
    from sqlalchemy.ext.asyncio import create_async_engine  # brings the ORM with it: only where it is needed

    # The driver reads the URL: SQLAlchemy's own parsing refuses libpq parameters.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(url), poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(
                lambda sync: prepare(sync, vault, upgrade=upgrade, head=head, migrations=migrations)
            )
    except (*LOST, asyncpg.PostgresError, SQLAlchemyError, ValueError) as error:
        raise failed(error) from error
    finally:
        await engine.dispose()
