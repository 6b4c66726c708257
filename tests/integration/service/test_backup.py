"""A backup that is made while the service works is whole, and a service starts on it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from tests.chaos.ledger import looking
from tests.integration.service.kit import kit


def backup(source: Path, to: Path) -> None:
    """What `sqlite3 jit-auth.db ".backup copy.db"` does."""
    with sqlite3.connect(source) as read, sqlite3.connect(to) as write:
        read.backup(write, pages=8)
    read.close()
    write.close()
    to.chmod(0o600)


async def test_a_backup_made_while_serving_is_restored(tmp_path: Path) -> None:
    async with kit(tmp_path) as world:
        copy = tmp_path / "copy.db"
        async with world.running():
            await world.connected()
            done = await world.execute("note", params={"text": "before"}, key="k")
            calls = [world.execute("note", params={"text": str(number)}) for number in range(20)]
            made = asyncio.to_thread(backup, tmp_path / "jit-auth.db", copy)
            await asyncio.gather(made, *calls)
        world.storage = "sqlite:///copy.db"
        world.write()
        async with looking(world) as store:
            assert (await store.audit.verify()).breaks == ()
        sent = world.mail.counts["POST"]
        async with world.running():
            again = await world.execute("note", params={"text": "before"}, key="k")
            assert again.json["id"] == done.json["id"]
            assert world.mail.counts["POST"] == sent
            assert (await world.execute("note", params={"text": "after"})).json["status"] == "succeeded"
