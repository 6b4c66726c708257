"""Scenarios of the clock: it jumps ahead and back under load (libfaketime), with what expires between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.chaos.disks import Unable
from tests.chaos.ledger import Findings
from tests.chaos.stage import SQLITE, Stage, stage
from tests.crash.process import Running, serving

HOUR = 3600


def library() -> Path:
    """libfaketime (Debian: faketime). Raises Unable."""
    for folder in (Path("/usr/lib"), Path("/usr/local/lib")):
        for found in folder.glob("**/faketime/libfaketimeMT.so.1"):
            return found
    raise Unable("there is no libfaketime")


class Hands:
    """The clock of a process, which can be put anywhere while it runs."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.put(0)

    def put(self, seconds: int) -> None:
        """So far ahead of the true time (negative: behind)."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self.file)

    @asynccontextmanager
    async def alive(self, at: Stage) -> AsyncIterator[Running]:
        variables = {
            "LD_PRELOAD": str(library()), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
        }  # fmt: skip
        async with serving(at.kit, **variables) as running:
            assert running.process.returncode is None, (at.kit.folder / "stderr.txt").read_text()
            yield running


async def jumps(folder: Path, *, times: int) -> Findings:
    """Ahead by two hours and back again, on SQLite: calls go on; what has expired meanwhile stays expired."""
    async with stage(folder, SQLITE, pause=0.01) as at:
        hands = Hands(folder / "clock")
        wrong = []
        async with hands.alive(at):
            await at.connected()
            at.load.start()
            for number in range(1, times + 1):
                await at.load.progress(10)
                asked = await at.kit.execute("send_message", params={"to": ["x@y.example"], "subject": "late"})
                at.before += 1
                link = await at.kit.approval_link(asked.json["id"])
                async with at.troubles.lasting():
                    hands.put(2 * HOUR * number)  # beyond the newest time written, which stays
                    await at.load.progress(10)
                    ended = await at.kit.ended(asked.json["id"])
                    hands.put(0)
                    await at.load.progress(10)
                late = await at.kit.decide(link)
                if ended["status"] != "expired" or late.status not in (409, 410):
                    wrong.append(f"an approval of an hour ago: {ended['status']}, and a vote is {late.status}")
            found = await at.judged()
        found.wrong += wrong
        return found


async def apart(folder: Path, storage: str, *, times: int) -> Findings:
    """A clock far from PostgreSQL's: nothing is sent while it is wrong, and all goes on once it is right."""
    async with stage(folder, storage, pause=0.01) as at:
        hands = Hands(folder / "clock")
        wrong = []
        async with hands.alive(at):
            await at.connected()
            at.load.start()
            for number in range(times):
                await at.load.progress(10)
                async with at.troubles.lasting():
                    hands.put(HOUR if number % 2 == 0 else -HOUR)
                    await asyncio.sleep(1)
                    async with at.kit.session.get(f"{at.kit.url}/readyz") as reply:
                        told = await reply.text()
                    sent = len(at.kit.mail.messages)
                    await asyncio.sleep(1)
                    if told != "clock_skew" or len(at.kit.mail.messages) != sent:
                        wrong.append(f"an hour off: {told}, and {len(at.kit.mail.messages) - sent} sends")
                    hands.put(0)
                    await at.load.progress(10)
            found = await at.judged()
        found.wrong += wrong
        return found
