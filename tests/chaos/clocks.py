"""Scenarios of the clock: it jumps ahead and back under load (libfaketime), with what expires between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

from tests.chaos.disks import Unable
from tests.chaos.ledger import Findings
from tests.chaos.stage import SQLITE, Stage, stage
from tests.crash.process import Running, serving

HOUR = 3600
SEEN = 20.0
"""Seconds within which a process tells the time to which its clock was put, and asks what it was told to ask."""
SLACK = 600.0
"""Seconds by which what it tells may differ, and be meant: an answer takes its time on a busy machine."""
RACING = 3
"""Votes that are given while the clock jumps."""


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
        self._write(0)

    def _write(self, seconds: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}s\n")
        new.replace(self.file)

    async def put(self, at: Stage, seconds: int) -> None:
        """So far ahead of the true time (negative: behind). Returns once the process itself tells that time: what it
        did a moment before has been judged by another clock, and proves nothing. Raises Unmoved."""
        self._write(seconds)
        end = time.monotonic() + SEEN
        while abs((told := await _told(at)) - time.time() - seconds) > SLACK:
            if time.monotonic() > end:
                raise Unmoved(f"{SEEN:.0f} s after a jump to {seconds:+d} s it is {told - time.time():+.0f} s there")
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def alive(self, at: Stage) -> AsyncIterator[Running]:
        variables = {
            "LD_PRELOAD": str(library()), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
        }  # fmt: skip
        async with serving(at.kit, **variables) as running:
            assert running.process.returncode is None, (at.kit.folder / "stderr.txt").read_text()
            yield running


class Unmoved(Exception):
    """libfaketime did not move the clock of the process: nothing is said about the service."""


async def _told(at: Stage) -> float:
    """The service's wall clock, as every answer of its names it."""
    async with at.kit.session.get(f"{at.kit.url}/healthz") as reply:
        return parsedate_to_datetime(reply.headers["Date"]).timestamp()


async def jumps(folder: Path, *, times: int) -> Findings:
    """Ahead by two hours and back again, on SQLite: calls go on; what has expired meanwhile stays expired.

    Time stands still after each jump back, at the newest time written; so each jump goes two hours beyond that. A
    question is asked before each and answered after it; others are answered while the clock jumps, and then it is the
    time of the vote's own transaction, which stands on record, that has to be before the question's end.
    """
    async with stage(folder, SQLITE, pause=0.01) as at:
        hands = Hands(folder / "clock")
        wrong: list[str] = []
        late: list[str] = []
        votes = Counter[int]()
        async with hands.alive(at):
            await at.connected()
            at.load.start()
            for number in range(1, times + 1):
                await at.load.progress(10)
                waits, link = await _asked(at, f"late {number}")
                racing = [await _asked(at, f"racing {number} {n}") for n in range(RACING)]
                late.append(waits)
                async with at.troubles.lasting():
                    race = asyncio.gather(*(_vote(at, one, n * 0.1) for n, (_, one) in enumerate(racing)))
                    await asyncio.sleep(0.1 * RACING / 2)
                    await hands.put(at, 2 * HOUR * number)
                    votes.update(await race)
                    await at.load.progress(10)
                    ended = await at.kit.ended(waits)
                    await hands.put(at, 0)
                    await at.load.progress(10)
                told = await at.kit.decide(link)
                if ended["status"] != "expired" or told.status not in (409, 410):
                    wrong.append(f"an approval of an hour ago: {ended['status']}, and a vote is {told.status}")
            found = await at.judged()
        counted = await asyncio.to_thread(_counted, folder / "jit-auth.db")
        wrong += [f"{waits} was over at {ends}, and a vote counted at {then}"
                  for waits, then, ends in counted if then >= ends]  # fmt: skip
        wrong += [f"{waits} got a vote" for waits in late if waits in {execution for execution, _, _ in counted}]
        if len(counted) != votes[200]:
            wrong.append(f"{votes[200]} people were told that they decided, and {len(counted)} votes are on record")
        found.wrong += wrong
        found.notes |= {"jumps": times, "votes while it jumped": len(counted), "refused then": votes[410]}
        return found


async def _asked(at: Stage, subject: str) -> tuple[str, str]:
    """A call that waits for a person, and their link."""
    answer = await at.kit.execute("send_message", params={"to": ["x@y.example"], "subject": subject})
    at.before += 1
    end = time.monotonic() + SEEN
    while True:
        try:
            return answer.json["id"], await at.kit.approval_link(answer.json["id"])
        except LookupError:
            if time.monotonic() > end:
                raise


async def _vote(at: Stage, link: str, seconds: float) -> int:
    """After so long; gives the status."""
    await asyncio.sleep(seconds)
    return (await at.kit.decide(link)).status


def _counted(file: Path) -> list[tuple[str, int, int]]:
    """Of every vote: the execution, the time of its transaction (on record), and the end of its question."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        ends = dict(connection.execute("SELECT id, expires FROM ask"))
        rows = connection.execute("SELECT execution, at, what FROM audit WHERE what LIKE '%\"vote\"%'").fetchall()
    return [(execution, at, ends[fact["ask"]]) for execution, at, what in rows
            for fact in json.loads(what) if fact["do"] == "vote"]  # fmt: skip


async def apart(folder: Path, storage: str, *, times: int) -> Findings:
    """A clock far from PostgreSQL's: nothing is sent while it is wrong, and all goes on at once when it is right again:
    no due time and no lease was written by it."""
    async with stage(folder, storage, pause=0.01) as at:
        hands = Hands(folder / "clock")
        wrong: list[str] = []
        slowest = 0.0
        async with hands.alive(at):
            await at.connected()
            at.load.start()
            for number in range(times):
                await at.load.progress(10)
                async with at.troubles.lasting():
                    await hands.put(at, HOUR if number % 2 == 0 else -HOUR)
                    sent = await _still(at)
                    async with at.kit.session.get(f"{at.kit.url}/readyz") as reply:
                        told = await reply.text()
                    await asyncio.sleep(1)
                    if told != "clock_skew" or len(at.kit.mail.messages) != sent:
                        wrong.append(f"an hour off: {told}, and {len(at.kit.mail.messages) - sent} sends")
                    await hands.put(at, 0)
                begun = time.monotonic()
                await at.load.progress(10)
                slowest = max(slowest, time.monotonic() - begun)
            found = await at.judged()
        found.wrong += wrong
        found.notes |= {"jumps": times, "slowest recovery (s)": round(slowest, 2)}
        return found


async def _still(at: Stage) -> int:
    """How many messages were sent, once those that were under way when the clock jumped have arrived."""
    while True:
        before = len(at.kit.mail.messages)
        await asyncio.sleep(0.3)
        if before == len(at.kit.mail.messages):
            return before
