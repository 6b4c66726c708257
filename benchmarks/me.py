"""How long `/me` takes at the server for somebody in whose name much was done.

    python -m benchmarks.me [--count 100000] [--pages 200]

Fills an SQLite store with executions of one person (every tenth was approved by somebody), and as many of others as
`--others` says; then asks a whole service on loopback for the person's page, signed in, and measures from the request
to the last byte, all in one process: what it reads, opens and renders, and HTTP on top.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from aiohttp import ClientSession, web

from jit_auth.app import build, calm_gc
from jit_auth.config.init import init
from jit_auth.config.load import load
from jit_auth.config.settings import Settings
from jit_auth.core.ids import new_id
from jit_auth.core.mac import Mac
from jit_auth.loading import load_bundle
from jit_auth.model import (
    Ask,
    Audit,
    Consent,
    Decision,
    Execution,
    Grant,
    Insert,
    Op,
    Result,
    Token,
    Unit,
    Vote,
    Want,
)
from jit_auth.signin.sessions import Sessions
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

PERSON = "me@example.com"
APPROVER = "boss@example.com"
ISSUER = """
[issuers.corp]
issuer = "http://127.0.0.1:9"
client_id = "bench"
client_secret = "bench"
domains = ["example.com"]
"""


def done(number: int, user: str, grant: str, now: int) -> Unit:
    """A call that was made, with its approval if it had one."""
    made = new_id("exe", now, os.urandom(10))
    want = Want(of=(f"user:{APPROVER}",))
    asked = number % 10 == 0
    decision = Decision("require_approval", ("r",), wants=(want,)) if asked else Decision("allow", ("r",))
    ops: list[Op] = [
        Insert(Execution(
            id=made, state="succeeded", agent="my-agent", chain=("my-agent",), user=user, verified=True,
            action="github.create_issue", params={"owner": "octo", "repo": "hello", "title": f"Number {number}"},
            digest="sha256:" + "0" * 64, decision=decision, account="1001", account_name=user, grant=grant, attempt=1,
            result=Result(status=201, headers={}, body={"number": number, "state": "open"}),
            created=now, updated=now, expires=now + 86_400_000,
        ))
    ]  # fmt: skip
    if asked:
        ask = new_id("apr", now, os.urandom(10))
        ops.append(Insert(Ask(id=ask, execution=made, kind="approval", state="met", agent="my-agent", user=user,
                              wants=(want,), created=now, expires=now + 86_400_000)))  # fmt: skip
        ops.append(Insert(Vote(ask=ask, person=APPROVER, verdict="approve", digest="sha256:0", seen="sha256:0",
                               how="link", at=now)))  # fmt: skip
    return Unit(None, tuple(ops), Audit(actor="agent:my-agent", what=({"do": "outcome"},), user=user, execution=made))


async def fill(settings: Settings, count: int, others: int) -> str:
    """Write the rows, and a session; its cookie."""
    vault = Vault(settings.vault.keys)
    store = await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)
    now = store.now()
    grant = new_id("grt", now, os.urandom(10))
    rows: tuple[Op, ...] = (
        Insert(Grant(id=grant, user=PERSON, provider="github", account="1001", account_name=PERSON, scopes=("repo",),
                     token=Token(access="bench"), created=now, updated=now)),
        Insert(Consent(grant=grant, agent="my-agent", scopes=("repo",), at=now)),
    )  # fmt: skip
    await store.apply(Unit(None, rows, Audit(actor="engine", what=({"do": "bench"},), user=PERSON)))
    users = [PERSON] * count + [f"user{number % 1000}@example.com" for number in range(others)]
    for start in range(0, len(users), 500):
        at = store.now()
        await asyncio.gather(
            *(store.apply(done(start + step, user, grant, at)) for step, user in enumerate(users[start : start + 500]))
        )
    sessions = Sessions(store, Mac(store.derive("sessions")), lambda person: False)
    cookie = await sessions.open(PERSON, "oidc", "corp", None)
    await store.close()
    return cookie


async def measure(settings: Settings, cookie: str, pages: int) -> tuple[list[float], int, float]:
    """Seconds per first page, bytes of one, and the seconds of one from the middle of the list."""
    async with build(settings, load_bundle(settings), write=lambda text: None) as service:
        runner = web.AppRunner(service.app, access_log=None)
        await runner.setup()
        host, port = settings.server.listen
        await web.TCPSite(runner, host, port).start()
        calm_gc()
        url = f"{settings.server.public_url}/me"
        async with ClientSession(headers={"Cookie": f"jat_session={cookie}", "Accept": "text/html"}) as session:

            async def page(address: str) -> tuple[float, str]:
                began = time.perf_counter()
                async with session.get(address, allow_redirects=False) as reply:
                    text = await reply.text()
                    took = time.perf_counter() - began
                    if reply.status != 200:
                        raise SystemExit(f"{reply.status}: {text[:500]}")
                return took, text

            taken = [(await page(url))[0] for _ in range(pages)]
            _, text = await page(url)
            later = text.split('href="/me?cursor=')[1].split('"')[0] if "cursor=" in text else ""
            second = (await page(f"{url}?cursor={later}"))[0] if later else 0.0
        await runner.cleanup()
    return taken, len(text.encode()), second


def explain(path: Path) -> str:
    """How SQLite finds a person's newest calls."""
    with sqlite3.connect(path) as database:
        rows = database.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM execution WHERE person = 'x' ORDER BY id DESC LIMIT 51"
        )
        return "; ".join(row[3] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--others", type=int, default=20_000)
    parser.add_argument("--pages", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        init(base)
        config = base / "config.toml"
        config.write_text(config.read_text() + ISSUER)
        settings = load(config)
        cookie = asyncio.run(fill(settings, asked.count, asked.others))
        taken, size, second = asyncio.run(measure(settings, cookie, asked.pages))
        taken.sort()
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, SQLite")
        print(explain(next(base.glob("*.db"))))
        print("| executions of the person | of others | first page, median | p95 | slowest | second page | size |")
        print("|---|---|---|---|---|---|---|")
        p95 = taken[int(len(taken) * 0.95)]
        print(
            f"| {asked.count:,} | {asked.others:,} | {statistics.median(taken) * 1000:.1f} ms | {p95 * 1000:.1f} ms "
            f"| {taken[-1] * 1000:.1f} ms | {second * 1000:.1f} ms | {size / 1000:.0f} kB |"
        )


if __name__ == "__main__":
    main()
