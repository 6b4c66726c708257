"""Scenarios of the network, cut, slow, half-open: to the database, to the provider, to the mail server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.ledger import Findings
from tests.chaos.proxy import Mood, Proxy, to_port, to_socket
from tests.chaos.server import Mortal
from tests.chaos.stage import Stage, stage
from tests.fakes.smtp import MailServer
from tests.integration.mail.service import LINK
from tests.integration.service.kit import POLICIES

Moods = Sequence[tuple[Mood, float]]
"""Each, and how many seconds it lasts."""
MOODS: Moods = (("cut", 2.0), ("slow", 3.0), ("half-open", 12.0), ("deaf", 12.0))
SHORT: Moods = (("cut", 0.3), ("slow", 0.5), ("half-open", 0.3), ("deaf", 0.3))


async def to_database(folder: Path, server: Mortal, moods: Moods, *, replicas: int = 1) -> Findings:
    """The way to PostgreSQL: 503 while it is away, nothing lost, nothing unknown."""
    async with Proxy(to_socket(server.socket)).running() as wire:
        url = server.through(wire.port)
        async with stage(folder, url, replicas=replicas, pause=0.01) as at, at.alive():
            await at.connected()
            at.load.start()
            slowest = await _through(at, (wire,), moods)
            found = await at.judged()
    found.notes["slowest recovery (s)"] = round(slowest, 2)
    return found


async def to_provider(folder: Path, moods: Moods, *, short_tokens: bool) -> Findings:
    """The way to the mail API, and, with tokens that are renewed all the time, to the token endpoint. What was on the
    wire and may not be repeated may be unknown, and nothing else."""
    async with stage(folder, pause=0.01, patience="2s") as at, at.alive():
        at.kit.provider.odd.rotate = False  # a rotated token whose answer is lost ends a grant: another test's subject
        if short_tokens:
            at.kit.provider.odd.expires_in = 61
        await at.connected()
        at.load.start()
        slowest = await _through(at, (at.tokens, at.api) if short_tokens else (at.api,), moods)
        found = await at.judged(may=("unknown",))
    found.notes["slowest recovery (s)"] = round(slowest, 2)
    return found


async def _through(at: Stage, wires: Sequence[Proxy], moods: Moods) -> float:
    """All wires in each mood; gives the longest time in which ten calls ended after one."""
    slowest = 0.0
    for mood, seconds in moods:
        await at.load.progress(10)
        async with at.troubles.lasting():
            for wire in wires:
                wire.be(mood)
            await asyncio.sleep(seconds)
        for wire in wires:
            wire.be("pass")
        begun = time.monotonic()
        await at.load.progress(10)
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


async def to_mail_server(folder: Path, moods: Moods, *, asks: int = 2) -> Findings:
    """The way to the mail server: calls that need nobody go on; every question reaches its person, and is answered."""
    mail = MailServer()
    await mail.start()
    try:
        async with Proxy(to_port(mail.port)).running() as wire:
            policies = POLICIES.replace(
                'approval = { from = ["user:ana@example.com"] }',
                'approval = { from = ["user:ana@example.com"], via = ["email"] }',
            )
            config = f'\n[channels.email]\nsmtp_url = "smtp://127.0.0.1:{wire.port}"\nfrom = "approvals@example.com"\n'
            config += "\n[limits]\nasks_per_person_hour = 1000\n"
            async with stage(folder, pause=0.02, config=config, policies=policies) as at, at.alive():
                await at.connected()
                at.load.start()
                asked: list[str] = []
                for mood, seconds in moods:
                    wire.be(mood)
                    words = [f"ask-{len(asked) + number:03}" for number in range(asks)]
                    asked += [await _ask(at, word) for word in words]
                    await at.load.progress(10, 10)
                    await asyncio.sleep(seconds)
                    wire.be("pass")
                    for word in words:
                        link = await _link(mail, word)
                        assert (await at.kit.decide(link)).status == 200
                ended = [await at.kit.ended(id) for id in asked]
                at.before += len(asked)
                found = await at.judged()
        found.wrong += [f"{one['id']}: {one['status']}" for one in ended if one["status"] != "succeeded"]
        found.notes |= {"questions": len(asked), "mails": len(mail.mails)}
        return found
    finally:
        await mail.stop()


async def _ask(at: Stage, word: str) -> str:
    answer = await at.kit.execute("send_message", params={"to": ["x@y.example"], "subject": word}, prefer="wait=0")
    assert answer.status == 202, answer.json
    return str(answer.json["id"])


async def _link(mail: MailServer, word: str, seconds: float = 60.0) -> str:
    """The link in the mail that asks about this. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            for one in mail.mails:
                if word.encode() in one.raw and (found := LINK.findall(one.text)):
                    return str(found[0])
            await asyncio.sleep(0.05)
