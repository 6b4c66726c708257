"""A whole database moves from a file to PostgreSQL and back: the service goes on there as if nothing had been."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jit_auth.cli.main import main
from jit_auth.errors import StorageError
from jit_auth.storage.copy import copy
from tests.integration.service.kit import Kit, kit

SEND = {"to": ["x@y.example"], "subject": "hi"}


async def command(world: Kit, to: str) -> int:
    return await asyncio.to_thread(main, ["db", "copy", "--to", to, "-c", str(world.folder / "config.toml")])


async def test_from_a_file_to_postgresql_and_back(tmp_path: Path, postgres_url: str) -> None:
    async with kit(tmp_path) as world:
        async with world.running():
            await world.connected()
            done = await world.execute("note", params={"text": "once"}, key="k")
            asked = await world.execute("send_message", params=SEND)
            link = await world.approval_link(asked.json["id"])
            before = await facts(world)
        assert await command(world, postgres_url) == 0
        sent = world.mail.counts["POST"]
        world.storage = postgres_url
        world.write()
        async with world.running():
            (copied,) = [fact for fact in await facts(world) if fact["do"] == "database.copied"]
            assert (copied["actor"], copied["of"], copied["to"]) == ("operator", "sqlite", "postgresql")
            assert copied["rows"] > len(before)
            assert "why" not in copied
            assert copied["as"]
            assert world.service is not None
            assert (await world.service.store.audit.verify()).breaks == ()
            again = await world.execute("note", params={"text": "once"}, key="k")
            assert (again.json["id"], again.json["status"]) == (done.json["id"], "succeeded")
            assert (await world.decide(link)).status == 200
            assert (await world.ended(asked.json["id"]))["status"] == "succeeded"
            assert world.mail.counts["POST"] == sent + 1
            with pytest.raises(StorageError, match="works on this database"):
                await copy(postgres_url, f"sqlite:///{tmp_path}/back.db", tmp_path)
        assert world.service is None
        await _until_dead(postgres_url)
        assert await command(world, f"sqlite:///{tmp_path}/back.db") == 0
        world.storage = "sqlite:///back.db"
        world.write()
        async with world.running():
            copies = [(fact["of"], fact["to"]) for fact in await facts(world) if fact["do"] == "database.copied"]
            assert copies == [("sqlite", "postgresql"), ("postgresql", "sqlite")]
            listed = await world.call("GET", f"/executions/{asked.json['id']}")
            assert listed.json["status"] == "succeeded"
            assert (await world.execute("note", params={"text": "there"})).json["status"] == "succeeded"


async def facts(world: Kit) -> list[dict[str, Any]]:
    """All that is on record, each fact with its actor."""
    assert world.service is not None
    rows = [row async for row in world.service.store.audit.rows()]
    return [{**fact, "actor": row.actor} for row in rows for fact in row.what]


async def _until_dead(url: str) -> None:
    """Leases of stopped processes run out; this test does not wait for them."""
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE process SET lease_until = 0")
    await connection.close()


async def test_nothing_is_copied_onto_something_or_from_under_a_service(tmp_path: Path, postgres_url: str) -> None:
    async with kit(tmp_path) as world:
        async with world.running():
            with pytest.raises(StorageError, match="uses this database file"):
                await copy(world.storage, postgres_url, tmp_path)
        await copy(world.storage, postgres_url, tmp_path)
        with pytest.raises(StorageError, match="already"):
            await copy(world.storage, postgres_url, tmp_path)
        with pytest.raises(StorageError, match="already"):
            await copy(world.storage, "sqlite:///jit-auth.db", tmp_path)
        assert not [name for name in os.listdir(tmp_path) if "copying" in name]
