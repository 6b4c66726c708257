"""The schema: made where the database is empty, compared with the newest revision otherwise.

alembic is imported only where the stamp differs: its import alone takes 0.7 s.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Set
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, create_engine, create_mock_engine, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex

from jit_auth.errors import StorageError
from jit_auth.storage import tables
from jit_auth.storage.compiled import Compiler
from jit_auth.storage.journal import RETIRED
from jit_auth.storage.reader import Reader
from jit_auth.storage.sqlite import BUSY, open_to_write
from jit_auth.vault import Vault

HEAD = "0008"
"""The newest revision: what `tables` describes."""

MIGRATIONS = Path(__file__).parent / "migrations"

INDEX = "index"
"""Name of the store's own random key, under which rows are found."""

_TURN = 0x6A69745F61757468
"""Advisory lock: one process at a time makes or upgrades the schema."""


def prepare_sqlite(path: Path, vault: Vault, *, head: str = HEAD, migrations: Path = MIGRATIONS) -> None:
    """Make or upgrade the schema of an SQLite file. Raises StorageError for one of a newer version. Blocking."""
    engine = create_engine("sqlite://", creator=lambda: open_to_write(path, patience=BUSY), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            # The driver is in autocommit: the transaction is ours, so that two processes make one schema.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            prepare(connection, vault, upgrade=True, head=head, migrations=migrations)
            connection.exec_driver_sql("COMMIT")
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise StorageError(f"The database cannot be opened: {error}") from error
    finally:
        engine.dispose()


def prepare(
    connection: Connection, vault: Vault, *, upgrade: bool, head: str = HEAD, migrations: Path = MIGRATIONS
) -> None:
    """Make the schema on an empty database; bring an older one to `head` where `upgrade` allows it.

    Inside the caller's transaction. Raises StorageError: older and not `upgrade` (its hint names the command), or
    newer than this version knows.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
    names = set(inspect(connection).get_table_names())
    stamp = None
    if tables.stamp.name in names:
        stamp = connection.execute(select(tables.stamp.c.version_num)).scalar()
    if stamp is None and names & {table.name for table in tables.metadata.sorted_tables} - {tables.stamp.name}:
        raise StorageError("The database has tables of ours, but no stamp: it was made by something else.")
    if stamp is None:
        _create(connection, names)
        connection.execute(insert(tables.stamp).values(version_num=HEAD))
        connection.execute(insert(tables.epoch).values(id=1, n=1, bundle=""))
        _make_index_key(connection, vault)
        stamp = HEAD
    if stamp != head:
        _move(connection, stamp, upgrade, head, migrations)


async def own_key(compiler: Compiler, reader: Reader, vault: Vault) -> bytes:
    """The store's own key, under which rows are found. Raises StorageError, also where the first key was retired."""
    secret, first = tables.secret, vault.ids[0]
    text = compiler.text(select(secret.c.value).where(secret.c.name == bindparam("name")))
    rows, retired = await reader.fetch((text, text.args(name=INDEX)), (text, text.args(name=RETIRED + first)))
    if not rows:
        raise StorageError("The database's own key is gone.", hint="Restore a backup.")
    if retired:
        # What it wrote would be taken for what whoever stole the key has written.
        raise StorageError(
            f"The vault key {first!r} was retired by a rotation: nothing is written with it any more.",
            hint="Put the newer key first in [vault] keys.",
        )
    return vault.open(bytes(rows[0][0]), table="secret", row=INDEX, column="value")


def prepare_new(connection: Connection) -> None:
    """The newest schema without a row, for rows that come from another database. Inside the caller's transaction.
    Raises StorageError where the database has tables of ours."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
    names = set(inspect(connection).get_table_names())
    if names & set(tables.metadata.tables):
        raise StorageError("The target has tables of ours already.", hint="Name an empty database.")
    _create(connection, names)
    connection.execute(insert(tables.stamp).values(version_num=HEAD))


def _create(connection: Connection, names: Set[str]) -> None:
    """All tables, in a database that has those `names`."""
    if tables.stamp.name in names:
        tables.metadata.create_all(connection)  # an empty stamp: made around it
        return
    for statement in _schema(f"{connection.dialect.name}+{connection.dialect.driver}://"):
        connection.exec_driver_sql(statement)


@cache
def _schema(url: str) -> tuple[str, ...]:
    """The statements that make it, the same for all databases of a dialect: they take longer to write than to run.
    Indexes come by name: a table has them as a set, and of two that serve a query alike SQLite takes the newer."""
    found: list[str] = []
    indexes: dict[str, str] = {}

    def write(statement: Any, *_: Any, **__: Any) -> None:
        written = str(statement.compile(dialect=engine.dialect))
        if isinstance(statement, CreateIndex):
            indexes[str(statement.element.name)] = written
        else:
            found.append(written)

    engine = create_mock_engine(url, write)
    tables.metadata.create_all(engine, checkfirst=False)
    return (*found, *(indexes[name] for name in sorted(indexes)))


def _make_index_key(connection: Connection, vault: Vault) -> None:
    sealed = vault.seal(os.urandom(32), table="secret", row=INDEX, column="value", number=1)
    connection.execute(insert(tables.secret).values(name=INDEX, value=sealed))


def _move(connection: Connection, stamp: str, upgrade: bool, head: str, migrations: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if stamp not in known:
        raise StorageError(
            f"The database was made by a newer version of jit-auth (its schema is {stamp}, this one knows {head}).",
            hint="Start the newer version, or restore a backup.",
        )
    if not upgrade:
        raise StorageError(
            f"The database has an older schema ({stamp}; this version needs {head}).",
            hint="Run `jit-auth db migrate` while no service writes.",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, head)
