"""How long the blast radius takes with a million executions: as the command reads it, and by HTTP.

    python -m benchmarks.access [--count 1000000] [--users 1000] [--database URL | --own-server]

Fills a store with executions of ten agents (half of them the one that is asked about), written past the engine by the
driver's bulk insert, and vacuums a PostgreSQL database, as its autovacuum does after so many rows. Then asks for the
report of the agent, of a user, and of the user in whose name every tenth call was made.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import ClientSession, web

from benchmarks.machine import header, own_server
from benchmarks.me import done
from jit_auth.app import build
from jit_auth.config.init import init
from jit_auth.config.load import load
from jit_auth.config.settings import Settings
from jit_auth.core.ids import new_id
from jit_auth.engine.access import Access, Known
from jit_auth.engine.author import Author
from jit_auth.loading import load_bundle
from jit_auth.model import Audit, Consent, Grant, Insert, Token, Unit
from jit_auth.storage.clock import Clock
from jit_auth.storage.place import file_of
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

AGENT = "my-agent"
TOKEN = "jat_adm_bench"
ADMIN = f'\n[admins.bench]\nsecret_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"\nrole = "viewer"\n'
ASKED = ("agent", AGENT), ("user", "user7@example.com"), ("user", "user0@example.com")
DAYS = 120


async def fill(settings: Settings, count: int, users: int) -> None:
    """Users with a grant, a consent and a call each, by the engine's own writes; then the many, past it."""
    store = await opened(settings)
    now = store.now()
    for number in range(users):
        user = f"user{number}@example.com"
        grant = Grant(id=new_id("grt", now, os.urandom(10)), user=user, provider="github", account=str(number),
                      scopes=("repo",), token=Token(access="bench"), created=now, updated=now)  # fmt: skip
        ops = (Insert(grant), Insert(Consent(grant=grant.id, agent=AGENT, scopes=("repo",), at=now)))
        await store.apply(Unit(None, ops, Audit(actor="engine", what=({"do": "bench"},), user=user)))
        await store.apply(done(1, user, grant.id, now))
    actions = sorted(load_bundle(settings).allowed[AGENT])[:12]
    await store.close()
    path = file_of(settings.storage.url, settings.base)
    if path is not None:
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA synchronous = OFF")
            cursor = database.execute("SELECT * FROM execution")
            names = [column[0] for column in cursor.description]
            marks = ", ".join("?" * len(names))
            database.executemany(
                f"INSERT INTO execution VALUES ({marks})",  # noqa: S608  # names of our own columns
                rows(names, cursor.fetchall(), count, actions, now),
            )
        return
    connection = await asyncpg.connect(settings.storage.url)
    found = await connection.fetch("SELECT * FROM execution")
    names = list(found[0].keys())
    made = rows(names, [tuple(row.values()) for row in found], count, actions, now)
    await connection.copy_records_to_table("execution", records=made, columns=names)
    await connection.execute("VACUUM ANALYZE execution")
    await connection.close()


def rows(
    names: list[str], templates: list[tuple[Any, ...]], count: int, actions: list[str], now: int
) -> Iterator[tuple[Any, ...]]:
    """Rows like those written, of 120 days."""
    at = {name: names.index(name) for name in ("id", "agent", "action")}
    for number in range(count):
        row = list(templates[0] if number % 10 == 0 else random.choice(templates))  # noqa: S311  # which user it is: no secret
        born = now - DAYS * 86_400_000 + number * DAYS * 86_400_000 // count
        row[at["id"]] = new_id("exe", born, os.urandom(10))
        row[at["agent"]] = AGENT if number % 2 else f"other{number % 18 // 2}"
        row[at["action"]] = actions[min(int(random.expovariate(0.7)), len(actions) - 1)]
        yield tuple(row)


async def opened(settings: Settings) -> Store:
    """As a command opens it."""
    vault = Vault(settings.vault.keys)
    return await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)


async def measure(settings: Settings, times: int) -> list[tuple[str, float, float, float]]:
    """Per question the first read of a fresh store, and the median and slowest by HTTP, in seconds."""
    bundle = load_bundle(settings)
    found = []
    for kind, name in ASKED:
        store = await opened(settings)
        began = time.perf_counter()
        access = Access(store, Known.of(bundle))
        await (access.agent if kind == "agent" else access.user)(name, Author("operator"))
        first = time.perf_counter() - began
        await store.close()
        found.append((f"{kind} {name}", first, *await by_http(settings, f"{kind}={name}", times)))
    return found


async def by_http(settings: Settings, query: str, times: int) -> tuple[float, float]:
    """Median and slowest."""
    taken = []
    async with build(settings, load_bundle(settings), write=lambda line: None) as service:
        runner = web.AppRunner(service.app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": settings.server.host}
        async with ClientSession(headers=headers) as session:
            for _ in range(times):
                began = time.perf_counter()
                async with session.get(f"http://127.0.0.1:{port}/admin/access?{query}") as reply:
                    await reply.read()
                    if reply.status != 200:
                        raise SystemExit(f"{reply.status}")
                taken.append(time.perf_counter() - began)
        await runner.cleanup()
    return statistics.median(taken), max(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database; default: an SQLite file")
    parser.add_argument("--own-server", action="store_true", help="on a PostgreSQL server of its own")
    asked = parser.parse_args()
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if asked.own_server:
            asked.database = stack.enter_context(own_server())
        init(base)
        config = base / "config.toml"
        text = config.read_text() + ADMIN
        if asked.database:
            text = text.replace('url = "sqlite:///jit-auth.db"', f'url = "{asked.database}"')
        config.write_text(text)
        settings = load(config)
        asyncio.run(fill(settings, asked.count, asked.users))
        print(f"{header(base)}\n")
        print(f"{asked.count:,} executions, {asked.users:,} users, {settings.storage.url.partition(':')[0]}\n")
        print("| report | first read of a store just opened | by HTTP, median | slowest |")
        print("|---|---|---|---|")
        for name, first, median, slowest in asyncio.run(measure(settings, asked.times)):
            print(f"| {name} | {first * 1000:.0f} ms | {median * 1000:.0f} ms | {slowest * 1000:.0f} ms |")


if __name__ == "__main__":
    main()
