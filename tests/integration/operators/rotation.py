"""A rotation from outside: other keys in the configuration, and what every stored value is sealed under."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import LargeBinary

from jit_auth.errors import VaultError
from jit_auth.storage import tables
from jit_auth.vault import key_id
from tests.integration.service.kit import Kit

PERSONS = "p1"
"""What values under a person's own key name."""


def ring(world: Kit, *ids: str) -> None:
    """These vault keys, the first one encrypting."""
    for name in ids:
        path = world.folder / f"{'vault' if name == 'k1' else name}.key"
        if not path.exists():
            path.write_text(b64encode(name[-1:].encode() * 32).decode() + "\n")
            path.chmod(0o600)
    keys = ", ".join(f'{{ id = "{name}", file = "{"vault" if name == "k1" else name}.key" }}' for name in ids)
    config = world.folder / "config.toml"
    lines = [f"keys = [{keys}]" if line.startswith("keys = [") else line for line in config.read_text().splitlines()]
    config.write_text("\n".join(lines) + "\n")


async def sql(world: Kit, text: str, *values: Any) -> list[Any]:
    """One statement, beside the service; `?` stands for a value."""
    if not world.storage.startswith("sqlite"):
        for number in range(1, len(values) + 1):
            text = text.replace("?", f"${number}", 1)
        connection = await asyncpg.connect(world.storage)
        try:
            return [tuple(row) for row in await connection.fetch(text, *values)]
        finally:
            await connection.close()
    with sqlite3.connect(database(world), timeout=10) as beside:
        found = beside.execute(text, values).fetchall()
    beside.close()
    return found


def database(world: Kit) -> Path:
    return world.folder / world.storage.removeprefix("sqlite:///")


async def sealed_under(world: Kit) -> dict[tuple[str, str], set[str]]:
    """By table and column: the key ids of all binary values that are sealed, whether they are marked so or not."""
    found: dict[tuple[str, str], set[str]] = {}
    for table in tables.metadata.sorted_tables:
        for column in table.c:
            if not isinstance(column.type, LargeBinary):
                continue
            for (value,) in await sql(world, f'SELECT "{column.name}" FROM "{table.name}"'):  # noqa: S608 - our tables
                try:
                    found.setdefault((table.name, column.name), set()).add(key_id(bytes(value)))
                except (VaultError, TypeError):
                    continue  # a MAC, or nothing
    return found


async def killed(world: Kit, at: str) -> int:
    """`keys rotate` in a process of its own that dies (kill -9) when it has said `at`, its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.operators.dying", at, "-c", str(world.folder / "config.toml"),
        cwd=Path(__file__).parents[3], env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await asyncio.wait_for(process.wait(), 60)
