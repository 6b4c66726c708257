"""The split of the database's roles as docs/operations.md writes it, by its own statements: the service as the limited
role through a whole execution, the record shortened by the owner, verified by the auditor (THREAT_MODEL 40)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from jit_auth.cli.database import judge
from jit_auth.cli.main import main
from jit_auth.config.load import load
from jit_auth.errors import StorageError
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.integration.operators.conftest import ADMINS, TOKENS, admin, facts
from tests.integration.operators.rotation import sql
from tests.integration.service.kit import Kit, kit
from tests.postgres import Server
from tests.project.tree import ROOT

DAY = 86_400_000
OWNER, SERVICE, AUDITOR = "jit_auth_owner", "jit_auth", "jit_auth_auditor"
SEND = {"to": ["x@y.example"], "subject": "hi"}
KEEP = '\n[retention]\naudit = "90d"\n'
Captured = pytest.CaptureFixture[str]


@dataclass
class House:
    """A database with the three roles, and a service that is not running."""

    kit: Kit
    urls: dict[str, str]
    database: str

    def become(self, role: str) -> None:
        """The configuration names this role from now on."""
        self.kit.storage = self.urls[role]
        self.kit.write()

    async def command(self, role: str, *words: str) -> int:
        """`jit-auth ...` as this role."""
        self.become(role)
        return await asyncio.to_thread(main, [*words, "-c", str(self.kit.folder / "config.toml")])


def documented() -> list[str]:
    """The blocks of SQL under `Roles of the database`."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.split("### Roles of the database")[1].split("\n## ")[0]
    found = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    assert len(found) == 2
    return found


def grant(server: Server, house: House) -> None:
    server.do(documented()[1], house.urls[OWNER])


@pytest.fixture
async def house(tmp_path: Any, postgres_server: Server) -> AsyncIterator[House]:
    name = f"split_{tmp_path.name}".replace("-", "_")[:60].lower()
    database = f"CREATE DATABASE {SERVICE} "
    for statement in documented()[0].split(";"):
        if statement.strip():
            postgres_server.do(statement.replace(database, f"CREATE DATABASE {name} "))
    admin_url = postgres_server.url.replace("/postgres?", f"/{name}?")
    urls = {role: admin_url.replace("//postgres:", f"//{role}:") for role in (OWNER, SERVICE, AUDITOR)}
    assert len({*urls.values()}) == 3
    try:
        async with kit(tmp_path, config=ADMINS + KEEP, storage=urls[OWNER]) as world:
            made = House(world, urls, name)
            assert await made.command(OWNER, "db", "migrate") == 0
            grant(postgres_server, made)
            made.become(SERVICE)
            yield made
    finally:
        postgres_server.do(f"DROP DATABASE {name} WITH (FORCE)")
        for role in (OWNER, SERVICE, AUDITOR):
            postgres_server.do(f"DROP ROLE {role}")


async def test_the_limited_role_serves_and_cannot_alter_the_record(house: House, capsys: Captured) -> None:
    world = house.kit
    async with world.running():
        await world.connected()
        done = await world.execute("note", params={"text": "once"}, key="k")
        assert done.json["status"] == "succeeded"
        asked = (await world.execute("send_message", params=SEND)).json["id"]
        assert (await world.decide(await world.approval_link(asked))).status == 200
        assert (await world.ended(asked))["status"] == "succeeded"
        assert world.service is not None
        await world.service.store.sweep()
        await judge(world.service.store, load(world.folder / "config.toml", channels={}))
        assert (await admin(world, "revoke", {"user": "alice@example.com"})).status == 200
        assert (await world.execute("note", params={"text": "again"})).json["status"] == "paused"
        assert (await world.service.store.audit.verify()).breaks == ()
        for statement in ("DELETE FROM audit", "UPDATE audit SET actor = 'x'", "TRUNCATE audit", "DROP TABLE audit",
                          "CREATE TABLE extra (id int)", "DELETE FROM alembic_version"):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await sql(world, statement)
    capsys.readouterr()
    assert await house.command(SERVICE, "check", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [note for note in found["notes"] if "add to the record, and not alter it" in note and "db retain" in note]
    assert "audit" not in str(found["warnings"])


async def test_the_record_is_shortened_by_its_owner(house: House, capsys: Captured) -> None:
    world = house.kit
    world.clock.offset = -200 * DAY
    async with world.running():
        await world.connected()
        await world.execute("note", params={"text": "long ago"})
    world.clock.offset = 0
    async with world.running():
        old = "SELECT count(*) FROM audit WHERE at < ?"
        before = await sql(world, old, world.clock() - 90 * DAY)
        assert world.service is not None
        await world.service.store.sweep()
        assert await sql(world, old, world.clock() - 90 * DAY) == before, "it does not even try"
        assert await facts(world, "audit.cut") == []
        capsys.readouterr()
        assert await house.command(SERVICE, "db", "retain", "--json") == 1
        assert "may not delete" in json.loads(capsys.readouterr().out)["stayed"][0]
        assert await house.command(OWNER, "db", "retain", "--reason", "the quarter", "--json") == 0
        gone = json.loads(capsys.readouterr().out)["rows"]
        house.become(SERVICE)
        assert gone > 5
        assert await sql(world, old, world.clock() - 90 * DAY) == [(before[0][0] - gone,)]
        (cut,) = await facts(world, "audit.cut")
        assert (cut["actor"], cut["why"], cut["rows"]) == ("operator", "the quarter", gone)
        assert cut["as"]
        assert (await world.execute("note", params={"text": "now"})).json["status"] == "succeeded"
    for words in (("audit", "verify"), ("audit", "tail"), ("audit", "export")):
        assert await house.command(AUDITOR, *words) == 0
    assert "alice@example.com" in capsys.readouterr().out, "the auditor sees who"
    for table in ("execution", '"grant"', "outbox"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql(world, f"SELECT * FROM {table}")  # noqa: S608 - three of our tables
    assert await house.command(AUDITOR, "halt", "--reason", "x") == 1, "it writes nothing"


async def test_nothing_goes_of_a_broken_chain(house: House, capsys: Captured) -> None:
    world = house.kit
    world.clock.offset = -200 * DAY
    async with world.running():
        await world.execute("list_messages")
    house.become(OWNER)
    await sql(world, "UPDATE audit SET actor = 'engine:x' WHERE seq = 0")
    capsys.readouterr()
    assert await house.command(OWNER, "db", "retain") == 1
    assert "is broken" in capsys.readouterr().out
    assert await house.command(OWNER, "audit", "verify") == 1


async def test_check_and_serve_tell_a_role_that_can_do_more_or_less(
    house: House, postgres_server: Server, capsys: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    async def told() -> str:
        """What `check` says."""
        capsys.readouterr()
        code = await house.command(SERVICE, "check", "--json")
        found = json.loads(capsys.readouterr().out)
        return f"{code} {found['warnings']} {[fault['message'] for fault in found['faults']]}"

    async def started(*, loopback: bool) -> list[str]:
        """The warnings of a service that starts."""
        caplog.clear()
        settings = load(house.kit.folder / "config.toml", channels={})
        vault = Vault(settings.vault.keys)
        store = await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)
        try:
            await judge(store, replace(settings, loopback=loopback))
        finally:
            await store.close()
        return [record.message for record in caplog.records if record.levelname == "WARNING"]

    def owner(statement: str) -> None:
        postgres_server.do(statement, house.urls[OWNER])

    owner(f"GRANT DELETE, TRUNCATE ON audit TO {SERVICE}")
    assert re.match("0 .*has DELETE, TRUNCATE on the table audit", await told())
    assert "has DELETE, TRUNCATE" in str(await started(loopback=False))
    assert await started(loopback=True) == []
    owner(f"REVOKE TRUNCATE, DELETE ON audit FROM {SERVICE}")
    assert await started(loopback=False) == []
    postgres_server.do(f"GRANT {OWNER} TO {SERVICE}")
    assert re.match("0 .*owns tables", await told())
    postgres_server.do(f"REVOKE {OWNER} FROM {SERVICE}")
    here = house.urls[OWNER].replace(f"//{OWNER}:", "//postgres:")
    for what in ("SCHEMA public", f"DATABASE {house.database}"):  # whoever has these can drop the table
        postgres_server.do(f"ALTER {what} OWNER TO {SERVICE}", here)
        assert re.match("0 .*owns .*the database", await told()), what
        if what.startswith("SCHEMA"):
            postgres_server.do("BEGIN; DROP TABLE audit; ROLLBACK", house.urls[SERVICE])
        postgres_server.do(f"ALTER {what} OWNER TO {OWNER}", here)
        owner(f"GRANT USAGE ON SCHEMA public TO {SERVICE}")  # which went with the schema
    assert "owns" not in await told()
    owner(f"REVOKE INSERT ON audit FROM {SERVICE}; REVOKE UPDATE ON vote FROM {SERVICE}")
    assert re.match("1 .*has no INSERT on audit, UPDATE on vote", await told())
    with pytest.raises(StorageError, match="has no INSERT on audit"):
        await started(loopback=True)


async def test_the_commands_beside_the_service_need_no_more_than_its_role(house: House, capsys: Captured) -> None:
    world = house.kit
    async with world.running():
        await world.connected()
        execution = (await world.execute("send_message", params=SEND)).json["id"]
        commands = [
            ("approvals", "list"), ("approvals", "show", execution), ("policy", "explain", execution),
            ("access", "agent", "mailbot"), ("access", "user", "alice@example.com"), ("halt", "--reason", "x"),
            ("resume", "--reason", "x"), ("revoke", "user", "alice@example.com"), ("keys", "rotate"),
            ("audit", "verify"), ("audit", "tail"), ("revoke", "agent", "mailbot"),
        ]  # fmt: skip
        for words in commands:
            capsys.readouterr()
            assert await house.command(SERVICE, *words) == 0, (words, capsys.readouterr())
        erased = await world.call("DELETE", "/admin/users/alice@example.com", token=TOKENS["security"])
        assert erased.status == 200, erased.json
        assert world.service is not None
        assert (await world.service.store.audit.verify()).breaks == ()
