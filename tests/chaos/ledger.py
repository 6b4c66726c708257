"""What the provider has done against what the database says: judged after every scenario."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from jit_auth.model import Execution
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from jit_auth.vault import Vault
from tests.chaos.load import ONCE, Call, Load
from tests.integration.service.kit import Kit

REST = 100.0
"""Seconds until everything rests: another process takes over within 60."""


@dataclass
class Troubles:
    """When something was done to the service or to what it needs: only a call that was under way then may have an
    outcome that nobody knows."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def now(self) -> None:
        """At this moment."""
        self.spans.append((time.monotonic(), time.monotonic()))

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """As long as the context."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spans.append((begun, time.monotonic()))

    def met(self, call: Call) -> bool:
        """Whether this call was under way while something happened."""
        return any(call.begun <= end and begun <= call.ended for begun, end in self.spans)


@dataclass
class Findings:
    """Figures of one scenario, and what is wrong."""

    calls: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    """Sends beyond the first of calls that may be repeated."""
    refusals: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    """Of the record, which is whole."""
    notes: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


@asynccontextmanager
async def looking(kit: Kit) -> AsyncIterator[Store]:
    """The service's store, beside it or after it."""
    settings = load(kit.folder / "config.toml", channels=CHANNEL_TABLES)
    vault = Vault(settings.vault.keys)
    store = await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)
    try:
        yield store
    finally:
        await store.close()


async def rest(kit: Kit, seconds: float = REST) -> None:
    """Until no call is under way. Raises TimeoutError."""
    end = time.monotonic() + seconds
    async with looking(kit) as store:
        while (await store.lists.executions("mailbot", states=("executing",), limit=1)).items:
            if time.monotonic() > end:
                raise TimeoutError
            await asyncio.sleep(0.05)


async def judge(kit: Kit, load_: Load, troubles: Troubles, *, before: int, may: Sequence[str] = ()) -> Findings:
    """Everything, at rest. `before`: executions that were made by nobody's load; `may`: what else than succeeded a
    call may have come to that was under way while something happened."""
    found = Findings(calls=len(load_.calls), refusals=load_.refusals, wrong=list(load_.wrong))
    sent = Counter(str(body.get("text")) for body in kit.mail.messages)
    async with looking(kit) as store:
        rows = await everything(store)
        verified = await store.audit.verify()
    found.rows = verified.rows
    found.wrong += [f"audit verify: {broken}" for broken in verified.breaks]
    named = {id for call in load_.calls for id in call.ids}
    if len(rows) != len(named) + before:
        found.wrong.append(f"{len(rows)} executions for {len(named)} calls and {before} before them")
    for call in load_.calls:
        found.wrong += [f"{call.word} ({call.action}): {fault}" for fault in _faults(call, rows, sent[call.word])]
        row = rows.get(next(iter(call.ids), ""))
        if row is None:
            continue
        found.statuses[row.state] += 1
        found.repeated += max(0, sent[call.word] - 1)
        if row.state != "succeeded" and not (row.state in may and troubles.met(call)):
            found.wrong.append(f"{call.word} ({call.action}): it rests as {row.state}, and nothing happened to it")
    return found


def _faults(call: Call, rows: dict[str, Execution], sent: int) -> Iterator[str]:
    if len(call.ids) != 1:
        yield f"one key, and these executions: {sorted(call.ids)}"
    for row in (rows.get(id) for id in call.ids):
        if row is None:
            yield "its execution is lost"
        elif row.state == "succeeded" and not sent:
            yield "succeeded, and never sent"
        elif row.state == "failed" and sent and call.action == ONCE:
            yield "failed, and sent"
    if sent > 1 and call.action == ONCE:
        yield f"sent {sent} times"


async def everything(store: Store) -> dict[str, Execution]:
    """All executions of the agent, by id."""
    found: dict[str, Execution] = {}
    cursor: str | None = None
    while True:
        page = await store.lists.executions("mailbot", limit=200, cursor=cursor)
        found |= {row.id: row for row in page.items}
        if (cursor := page.next) is None:
            return found


def faults(findings: Sequence[Findings]) -> list[str]:
    """All that is wrong with them."""
    return [fault for found in findings for fault in found.wrong]
