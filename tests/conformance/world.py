"""A database under test, its stores, a raw door for tampering, and rows as the engine makes them."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg

from jit_auth.core.ids import new_id
from jit_auth.model import (
    Applied,
    Ask,
    At,
    Audit,
    Card,
    Decision,
    Execution,
    Flow,
    Grant,
    Idem,
    Op,
    Outbox,
    Raise,
    Stale,
    Stop,
    Token,
    Unit,
    Vote,
    Want,
)
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

ALICE = "alice@example.com"
BO = "bo@example.com"
AGENT = "mailbot"


class World:
    """One database. Stores that `open` makes are closed with it."""

    def __init__(self, url: str, base: Path, key: bytes | None = None) -> None:
        self.url = url
        self.base = base
        self.key = key or os.urandom(32)
        self.vault = Vault([("k1", self.key)])
        self.clock = Clock()
        self.sqlite = url.startswith("sqlite")
        self.stores: list[Store] = []

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self.base / "store.db"

    async def open(self, *, serve: bool = True, bundle: str | None = None, vault: Vault | None = None) -> Store:
        """A process of its own, as far as the store knows."""
        store = await Store.open(
            self.url, vault or self.vault, clock=self.clock, base=self.base, serve=serve, bundle=bundle
        )
        self.stores.append(store)
        return store

    async def second(self) -> Store:
        """One more process on the same database: another replica, or, on SQLite, a command beside the service."""
        return await self.open(serve=not self.sqlite)

    async def sql(self, text: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run a statement behind the store's back; `?` marks parameters."""
        if self.sqlite:
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=5)
            try:
                return connection.execute(text, args).fetchall()
            finally:
                connection.close()
        numbers = iter(range(1, len(args) + 1))
        direct = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await direct.fetch(re.sub(r"\?", lambda _: f"${next(numbers)}", text), *args)]
        finally:
            await direct.close()

    async def close(self) -> None:
        for store in self.stores:
            await store.close()


def make_id(prefix: str, store: Store) -> str:
    """A new id."""
    return new_id(prefix, store.now(), os.urandom(10))


def execution(store: Store, **fields: Any) -> Execution:
    """An execution as it is admitted."""
    now = store.now()
    values: dict[str, Any] = {
        "id": make_id("exe", store), "state": "executing", "agent": AGENT, "chain": (AGENT,), "user": ALICE,
        "verified": True, "action": "mailhub.send_message", "params": {"to": ["x@example.com"], "amount": 1.0},
        "digest": "sha256:1", "decision": Decision("allow", ("send",), policy="sha256:p"), "created": now,
        "updated": now, "expires": now + 86_400_000,
    }  # fmt: skip
    return Execution(**(values | fields))


def consent_ask(store: Store, of: Execution, **fields: Any) -> Ask:
    """A question for a consent."""
    values: dict[str, Any] = {
        "id": make_id("cns", store), "execution": of.id, "kind": "consent", "agent": of.agent, "user": of.user,
        "provider": "mailhub", "scopes": ("mail.send",), "account": "alice@mailhub.example", "created": of.created,
        "expires": of.expires,
    }  # fmt: skip
    return Ask(**(values | fields))


def approval_ask(store: Store, of: Execution, **fields: Any) -> Ask:
    """A round of approval."""
    values: dict[str, Any] = {
        "id": make_id("apr", store), "execution": of.id, "kind": "approval", "agent": of.agent, "user": of.user,
        "digest": of.digest, "wants": (Want((f"user:{BO}",), rules=("pay",)),), "why": "New parameters",
        "created": of.created, "expires": of.expires,
    }  # fmt: skip
    return Ask(**(values | fields))


def card(store: Store, of: Ask, **fields: Any) -> Card:
    """A copy of a question."""
    values: dict[str, Any] = {
        "id": make_id("crd", store), "ask": of.id, "execution": of.execution, "person": BO, "via": "terminal",
        "due": of.created, "expires": of.expires,
    }  # fmt: skip
    return Card(**(values | fields))


def vote(store: Store, of: Ask, **fields: Any) -> Vote:
    """What a person says."""
    values: dict[str, Any] = {
        "ask": of.id, "person": BO, "verdict": "approve", "digest": of.digest, "seen": "sha256:s", "how": "link",
        "feedback": "Fine with me", "at": store.now(),
    }  # fmt: skip
    return Vote(**(values | fields))


def grant(store: Store, **fields: Any) -> Grant:
    """A connected account, with its token in the clear."""
    now = store.now()
    values: dict[str, Any] = {
        "id": make_id("grt", store), "user": ALICE, "provider": "mailhub", "account": "1234",
        "account_name": "alice@mailhub.example", "scopes": ("mail.read", "mail.send"),
        "token": Token(access="at-secret", refresh="rt-secret", expires=now + 3_600_000), "expires": now + 3_600_000,
        "refreshable": True, "created": now, "updated": now,
    }  # fmt: skip
    return Grant(**(values | fields))


def flow(store: Store, **fields: Any) -> Flow:
    """A round trip."""
    values: dict[str, Any] = {
        "id": make_id("flw", store), "ask": "cns_1", "user": ALICE, "provider": "mailhub", "cookie": "c" * 64,
        "verifier": "pkce-verifier", "nonce": "the-nonce", "scopes": ("mail.send",), "epoch": store.epoch,
        "until": store.now() + 600_000,
    }  # fmt: skip
    return Flow(**(values | fields))


def idem(of: Execution, key: str = "key-1", body: str = "sha256:body", **fields: Any) -> Idem:
    """An idempotency key's row."""
    values: dict[str, Any] = {"scope": f"{of.agent}\n{of.user}\n{key}", "execution": of.id, "body": body}
    return Idem(**(values | {"until": of.expires} | fields))


def outbox(store: Store, **fields: Any) -> Outbox:
    """A token to revoke."""
    now = store.now()
    values: dict[str, Any] = {
        "id": make_id("out", store), "kind": "revoke", "user": ALICE, "provider": "mailhub",
        "token": Token(access="late-secret"), "due": now, "until": now + 86_400_000,
    }  # fmt: skip
    return Outbox(**(values | fields))


def audit(**fields: Any) -> Audit:
    """A row of the record."""
    return Audit(**({"actor": "engine", "what": ({"do": "test"},), "user": ALICE, "agent": AGENT} | fields))


def at(store: Store, **fields: Any) -> At:
    """What a decision of this moment rests on."""
    subjects = (("agent", AGENT), ("user", ALICE), ("provider", "mailhub"), ("connector", "mailhub"))
    return At(**({"epoch": store.epoch, "bundle": store.bundle, "subjects": subjects} | fields))


def unit(*ops: Op, at: At | None = None, record: Audit | None = None) -> Unit:
    """A unit of these ops."""
    return Unit(at, ops, record or audit())


async def written(store: Store, *ops: Op, at: At | None = None) -> Applied:
    """Apply, and insist."""
    answer = await store.apply(unit(*ops, at=at))
    assert isinstance(answer, Applied), answer
    return answer


async def refused(store: Store, *ops: Op, at: At | None = None) -> str:
    """Apply, insist on a refusal, and give what it says."""
    answer = await store.apply(unit(*ops, at=at))
    assert isinstance(answer, Stale), answer
    return answer.which


async def stopped(store: Store, kind: str, name: str, *, active: bool = True) -> int:
    """Throw a kill switch (or lift it); the epoch then."""
    stop = Stop(kind=kind, id=name, epoch=0, active=active, who=f"person:{BO}", why="Seen odd mail")
    return (await written(store, Raise((stop,)))).epoch


async def together(*awaitables: Any, return_exceptions: bool = False) -> list[Any]:
    """All at once."""
    return list(await asyncio.gather(*awaitables, return_exceptions=return_exceptions))
