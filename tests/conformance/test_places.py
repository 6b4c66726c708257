"""Files, locks, schemas and other processes: what the database is made of, and who may be there at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.ext.asyncio import create_async_engine

from jit_auth.core.ids import new_id
from jit_auth.errors import StorageError
from jit_auth.model import Card, Change, History, Insert, Outbox, Past, Stale, Token
from jit_auth.storage import place, remote, schema, tables, upgrade
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from tests.conformance.world import AGENT, World, at, execution, refused, together, unit, written
from tests.postgres import Server

NEWER = f'''"""A later revision."""
from alembic import op
import sqlalchemy as sa
revision = "later"
down_revision = "{schema.HEAD}"
def upgrade():
    op.create_table("later", sa.Column("id", sa.Text, primary_key=True))
'''


async def test_the_files_of_sqlite_are_the_owners_alone(sqlite_world: World) -> None:
    before = os.umask(0)
    try:
        store = await sqlite_world.open()
        await written(store, Insert(execution(store)))
        files = sorted(path.name for path in sqlite_world.base.iterdir())
        assert files == ["store.db", "store.db-shm", "store.db-wal", "store.db.lock"]
        modes = {stat.S_IMODE(path.stat().st_mode) for path in sqlite_world.base.iterdir()}
        assert modes == {0o600}
        assert place.exposed(sqlite_world.path) == ()
        sqlite_world.path.chmod(0o640)
        assert place.exposed(sqlite_world.path) == (sqlite_world.path,)
    finally:
        os.umask(before)


async def test_sqlite_keeps_every_commit(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    await written(store, Insert(execution(store)))
    assert await sqlite_world.sql("PRAGMA journal_mode") == [("wal",)]


async def test_a_second_serve_on_one_file_is_refused(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    with pytest.raises(StorageError, match="Another `jit-auth serve`"):
        await sqlite_world.open()
    beside = await sqlite_world.open(serve=False)
    await written(beside, Insert(execution(beside)))
    await store.close()
    await sqlite_world.open()


async def test_a_closed_store_says_so_and_closes_twice(world: World) -> None:
    store = await world.open()
    await written(store, Insert(execution(store)))  # everybody is known
    unwritten = [store.apply(unit(Insert(execution(store)))) for _ in range(5)]
    answers = asyncio.gather(*unwritten)
    await asyncio.sleep(0)
    await store.close()
    assert len(await answers) == 5  # what was queued is written
    await store.close()
    with pytest.raises(StorageError, match="closed"):
        await store.apply(unit(Insert(execution(store))))
    with pytest.raises(StorageError):
        await store.execution("exe_1")
    assert await (await world.open()).execution("exe_1") is None


@pytest.mark.parametrize(
    "url",
    ["mysql://x/y", "sqlite://", "sqlite:///", "file.db", "sqlite:///no/folder.db", "postgresql:///d?host=/no/socket"],
)
async def test_a_url_of_no_use_is_refused(url: str, sqlite_world: World) -> None:
    with pytest.raises(StorageError):
        await Store.open(url, sqlite_world.vault, clock=Clock(), base=sqlite_world.base, serve=True)


def test_urls_name_files_beside_the_configuration() -> None:
    base = Path("/srv/jit")
    assert place.file_of("sqlite:///jit-auth.db", base) == base / "jit-auth.db"
    assert place.file_of("sqlite:////var/lib/jit.db", base) == Path("/var/lib/jit.db")
    assert place.file_of("postgresql://h/d?sslmode=disable", base) is None


async def test_an_empty_database_may_be_opened_by_many_at_once(empty_world: World) -> None:
    stores = await together(*(empty_world.second() for _ in range(4)))
    ids = [store.process for store in stores]
    assert len(set(ids)) == 4
    for store in stores:
        await written(store, Insert(execution(store)))
    assert (await stores[0].audit.verify()).writers == 4


def migrations(tmp_path: Path) -> Path:
    """The project's revisions and one more."""
    folder = tmp_path / "revisions"
    shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "later.py").write_text(NEWER)
    return folder


async def test_an_older_schema_is_upgraded_on_sqlite(sqlite_world: World, tmp_path: Path) -> None:
    store = await sqlite_world.open()
    row = execution(store)
    await written(store, Insert(row))
    await store.close()
    newer = migrations(tmp_path)
    await asyncio.to_thread(
        schema.prepare_sqlite, sqlite_world.path, sqlite_world.vault, head="later", migrations=newer
    )
    assert await sqlite_world.sql("SELECT version_num FROM alembic_version") == [("later",)]
    assert await sqlite_world.sql("SELECT count(*) FROM later") == [(0,)]
    with pytest.raises(StorageError, match="newer version"):
        await sqlite_world.open()


async def test_an_older_schema_on_postgresql_waits_for_its_command(empty_postgres_world: World, tmp_path: Path) -> None:
    world = empty_postgres_world
    await (await world.open()).close()
    newer = migrations(tmp_path)

    async def prepare(upgrade: bool) -> None:
        await remote.prepare_postgres(world.url, world.vault, upgrade=upgrade, head="later", migrations=newer)

    with pytest.raises(StorageError, match="older schema") as raised:
        await prepare(False)
    assert "jit-auth db migrate" in raised.value.hint
    await prepare(True)
    assert await world.sql("SELECT version_num FROM alembic_version") == [("later",)]
    await prepare(False)
    with pytest.raises(StorageError, match="newer version"):
        await world.open()


async def test_tables_without_a_stamp_are_left_alone(sqlite_world: World) -> None:
    with sqlite3.connect(sqlite_world.path) as connection:
        connection.execute("CREATE TABLE execution (id TEXT)")
    connection.close()
    with pytest.raises(StorageError, match="something else"):
        await sqlite_world.open()


def by_revisions(connection: Connection) -> None:
    """Run all revisions, from nothing."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    assert connection.execute(select(tables.stamp.c.version_num)).scalar() == schema.HEAD


def test_the_revisions_make_the_tables_of_today_on_sqlite(tmp_path: Path) -> None:
    found = []
    for name, make in (("made", by_revisions), ("fresh", tables.metadata.create_all)):
        engine = create_engine(f"sqlite:///{tmp_path / name}.db")
        with engine.begin() as connection:
            make(connection)
            assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
            # Where a column stands in its table is told by no statement of ours.
            columns = connection.exec_driver_sql(
                'SELECT m.name, c.name, c.type, c."notnull", c.pk FROM sqlite_master m, pragma_table_info(m.name) c '
                "WHERE m.type = 'table' AND m.name != 'alembic_version'"
            )
            indices = connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            )
            found.append({tuple(row) for row in columns} | {(row[0], "".join(str(row[1]).split())) for row in indices})
        engine.dispose()
    assert found[0] == found[1]


async def test_the_revisions_make_the_tables_of_today_on_postgresql(postgres_server: Server) -> None:
    found = []
    for make in (by_revisions, tables.metadata.create_all):
        url = postgres_server.database()
        engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda url=url: asyncpg.connect(url))
        async with engine.begin() as connection:
            await connection.run_sync(make)
        await engine.dispose()
        direct = await asyncpg.connect(url)
        columns = await direct.fetch(
            "SELECT table_name, column_name, data_type, is_nullable, collation_name "
            "FROM information_schema.columns WHERE table_schema = 'public' AND table_name != 'alembic_version'"
        )
        indexes = await direct.fetch("SELECT indexdef FROM pg_indexes WHERE tablename != 'alembic_version'")
        await direct.close()
        found.append(sorted(map(repr, map(tuple, [*columns, *indexes]))))
    assert found[0] == found[1]


async def test_a_command_writes_beside_a_busy_service(sqlite_world: World) -> None:
    store = await sqlite_world.open()
    before = at(store)
    await written(store, Insert(execution(store)), at=before)
    ended = asyncio.Event()

    async def busy() -> int:
        count = 0
        while not ended.is_set():
            await written(store, Insert(execution(store)))
            count += 1
        return count

    tasks = [asyncio.create_task(busy()) for _ in range(32)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.conformance.command", str(sqlite_world.base), sqlite_world.key.hex(), AGENT,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    ended.set()
    assert sum(await asyncio.gather(*tasks)) > 0
    assert process.returncode == 0
    assert int(out) == before.epoch + 1
    # It holds for the very next unit, though nobody told the service.
    assert await store.apply(unit(Insert(execution(store)), at=before)) == Stale("stopped", before.epoch + 1)
    assert (await store.audit.verify()).breaks == ()


async def test_a_start_imports_no_migrations(sqlite_world: World) -> None:
    code = (
        "import asyncio, os, pathlib, sys\n"
        "from jit_auth.storage.clock import Clock\n"
        "from jit_auth.storage.store import Store\n"
        "from jit_auth.vault import Vault\n"
        "async def main():\n"
        "    for _ in range(2):\n"
        "        vault = Vault([('k', bytes(range(32)))])\n"
        "        base = pathlib.Path(sys.argv[1])\n"
        "        store = await Store.open('sqlite:///x.db', vault, clock=Clock(), base=base, serve=True)\n"
        "        await store.close()\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules, 'sqlalchemy.orm' in sys.modules)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(sqlite_world.base), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out == b"False False\n"


async def test_a_hundred_thousand_paused_executions_cost_a_start_nothing(sqlite_world: World) -> None:
    world = sqlite_world
    store = await world.open()
    row = execution(store, state="paused", due=store.now() + 86_400_000, process="prc_dead")
    await written(store, Insert(row))
    await store.close()
    columns = ", ".join(f'"{column.name}"' for column in tables.execution.columns if column.name != "id")
    await world.sql(
        f"INSERT INTO execution (id, {columns}) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "  # noqa: S608 - no input
        f"WHERE i < 100000) SELECT 'exe_' || printf('%026d', i), {columns} FROM execution, n"
    )
    loop = asyncio.get_running_loop()
    begun = loop.time()
    again = await world.open()
    took = loop.time() - begun
    assert took < 0.75
    begun = loop.time()
    assert await again.due() == ()
    assert loop.time() - begun < 0.1
    assert await refused(again, Insert(row)) == "exists"


BEFORE_PEOPLE = (
    "DROP TABLE swept", "DROP INDEX execution_over",
    "DROP INDEX card_person", "ALTER TABLE card DROP COLUMN role", "ALTER TABLE outbox DROP COLUMN agent",
    "ALTER TABLE outbox DROP COLUMN endpoint", "ALTER TABLE outbox DROP COLUMN told", "DROP TABLE pass",
    "DROP TABLE tally", "DROP INDEX execution_paused", "DROP INDEX audit_told",
    "ALTER TABLE audit DROP COLUMN told", "DROP TABLE session", "DROP TABLE identity", "DROP TABLE code",
    "DROP TABLE passkey", "DROP TABLE challenge", "DROP INDEX execution_person", "DROP INDEX ask_open",
    "DROP INDEX execution_used", "DROP INDEX execution_released", "DROP INDEX audit_at", "DROP INDEX execution_task",
    "DROP INDEX execution_of_task", "ALTER TABLE execution DROP COLUMN task",
    "CREATE INDEX ask_open ON ask (agent, person, provider) WHERE state = 'open'",
    *(f"DROP INDEX execution_{name}" for name in ("same", "origin", "denied", "succeeded")),
    "ALTER TABLE execution DROP COLUMN origin", "UPDATE alembic_version SET version_num = '0001'",
)  # fmt: skip


async def test_what_the_first_schema_held_is_read_and_written_after_the_upgrade(empty_world: World) -> None:
    store = await empty_world.open()
    row = execution(store)
    now = store.now()
    card = Card(id=new_id("crd", now, b"c" * 10), ask="apr_1", execution=row.id, person="ana@example.com",
                via="terminal", due=now, expires=now + 1)  # fmt: skip
    owed = Outbox(id=new_id("out", now, b"o" * 10), kind="revoke", user="alice@example.com", provider="mail",
                  token=Token(access="t"), due=now, until=now + 1)  # fmt: skip
    await written(store, Insert(row), Insert(card), Insert(owed))
    await store.close()
    for statement in BEFORE_PEOPLE:
        await empty_world.sql(statement)
    if not empty_world.sqlite:
        with pytest.raises(StorageError, match="older schema"):
            await empty_world.open()
        await upgrade.migrate(empty_world.url, empty_world.base, empty_world.vault)
    store = await empty_world.open()
    (found,) = await store.cards_due()
    assert (found.role, found.person) == ("decide", "ana@example.com")
    (due,) = await store.outbox_due()
    assert (due.kind, due.endpoint, (await store.reveal(due)).access) == ("revoke", "", "t")
    await written(store, Change(found, {"due": None}))
    assert (await store.audit.verify()).breaks == ()
    before = Past(agent=row.agent, user=row.user, action=row.action, names=("same_action_24h", "agent_action_1h"))
    assert await store.history(before) == History(same_action_24h=1, agent_action_1h=1)
