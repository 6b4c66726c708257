"""Several processes over one PostgreSQL: one refresher per grant, and what a killed one leaves behind."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from jit_auth.egress import Egress
from jit_auth.errors import Broken
from jit_auth.model import Provider
from jit_auth.oauth.refresh import CLAIM, Refresher
from jit_auth.storage.clock import Clock
from jit_auth.storage.store import Store
from tests.fakes.provider_odd import OddProvider
from tests.integration.oauth.conftest import SUBJECTS, granted, hub, opened


@pytest.fixture
async def shared(postgres_url: str, clock: Clock, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(postgres_url, clock, tmp_path) as store:
        yield store


@asynccontextmanager
async def replica(url: str, callers: int, provider: Provider) -> AsyncIterator[Process]:
    """Another process, ready to start when a line is written to it."""
    command = [sys.executable, "-W", "error", "-m", "tests.integration.oauth.refresher", url, str(callers)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(provider) + b"\n")
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        process.stdin.close()
        await process.communicate()


async def test_24_callers_of_three_processes_share_one_refresh(
    shared: Store, postgres_url: str, egress: Egress, odd: OddProvider
) -> None:
    family = odd.issue("alice", "mail.read")
    grant = await granted(shared, family)
    refresher = Refresher(shared, egress)
    epoch, bundle, _ = await shared.stops()
    async with replica(postgres_url, 8, hub(odd)) as one, replica(postgres_url, 8, hub(odd)) as two:
        here = [refresher.fresh(grant, hub(odd), subjects=SUBJECTS, epoch=epoch, bundle=bundle) for _ in range(8)]
        rows, (first, _), (second, _) = await asyncio.gather(
            asyncio.gather(*here), one.communicate(b"\n"), two.communicate(b"\n")
        )
    tokens = [*first.decode().split(), *second.decode().split(), *[(await shared.reveal(row)).access for row in rows]]
    assert tokens == [family.access] * 24
    assert odd.counts["refresh_token"] == 1
    assert family.live


@pytest.mark.parametrize("rotate", [True, False])
async def test_a_process_killed_between_exchange_and_write(
    shared: Store, postgres_url: str, egress: Egress, odd: OddProvider, clock: Clock, rotate: bool
) -> None:
    odd.odd.rotate, odd.late_gate = rotate, asyncio.Event()
    family = odd.issue("alice", "mail.read")
    grant = await granted(shared, family)
    async with replica(postgres_url, 1, hub(odd)) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        await odd.rotated.wait()  # the provider has rotated; nobody here has the new token yet
        process.kill()
        await process.wait()
    odd.late_gate.set()
    marked = await shared.grant("gra_1")
    assert marked is not None
    assert marked.state == "live"
    assert (marked.refresher_until or 0) > shared.now()
    clock.offset += CLAIM
    epoch, bundle, _ = await shared.stops()
    again = Refresher(shared, egress).fresh(grant, hub(odd), subjects=SUBJECTS, epoch=epoch, bundle=bundle)
    if rotate:
        with pytest.raises(Broken):
            await again
        (told,) = [fact for row in await shared.audit.tail(1) for fact in row.what]
        assert told["why"] == "invalid_grant, a refresh was lost before"
    else:
        assert (await shared.reveal(await again)).access == family.access
