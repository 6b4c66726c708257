"""People decide while the service is killed again and again: `python -m tests.crash.people --kills 200 --seed 1`.

The service is a process of its own; it dies by SIGKILL at a boundary (a commit, or the moment at which Slack, the mail
server or the receiver have taken something and not answered yet), or at any moment, and is started again at once.
Meanwhile agents call, and people approve and deny in Slack and by their links, and repeat what had no effect, as people
do. At the end everything settles, and `tests.crash.findings` judges what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aiohttp import ClientError

from tests.crash.findings import Findings, judge, looking, restless
from tests.crash.nursery import living
from tests.crash.town import MEMBERS, Town, town, until
from tests.fakes.slack_api import Message
from tests.integration.mail.service import LINK
from tests.integration.service.kit import Answer

T = TypeVar("T")
AWAY = (ClientError, OSError, TimeoutError)
STORE = (
    *("before.vote", "after.vote", "after.ask", "after.send", "before.outcome", "after.outcome"),
    *("after.card.showing", "before.card.shown", "after.card.shown", "after.event.try", "before.event.sent"),
)
"""Places in the service: commits, by the fact that they record."""
TOWN = ("slack.chat.postMessage", "slack.chat.update", "slack.views.open", "webhook", "mail")
"""Places outside: taken, and not answered yet."""
ANY = "any moment"
CLAIM = 61_000
"""Milliseconds after which what a dead process had claimed is anybody's."""


@dataclass(frozen=True)
class Means:
    """What one person is going to say, and how."""

    person: str
    verdict: str
    how: str


@dataclass
class Call:
    """One call, what people mean to say about it, and what they know was taken."""

    number: int
    action: str
    means: tuple[Means, ...]
    id: str = ""
    ask: str = ""
    taken: list[Means] = field(default_factory=list)

    @property
    def word(self) -> str:
        """What finds it: in the body at the upstream, in mails."""
        return f"call-{self.number:05}"

    @property
    def params(self) -> dict[str, Any]:
        if self.action == "send_message":
            return {"to": ["x@y.example"], "subject": self.word}
        return {"subject" if self.action == "send_again" else "text": self.word}


@dataclass
class Crowd:
    """Agents that call and people who decide, until they are told to stop and have made so many calls."""

    town: Town
    chance: random.Random
    fewest: int = 0
    calls: list[Call] = field(default_factory=list)
    presses: int = 0
    stopped: bool = False

    async def agent(self) -> None:
        while not self.stopped or len(self.calls) < self.fewest:
            call = self._next()
            self.calls.append(call)
            await self.play(call)

    def _next(self) -> Call:
        action = self.chance.choice(("note", "note", "note_again", "send_again", "send_message"))
        people = {"send_again": ["ana@example.com"], "send_message": ["bo@example.com"]}.get(action, list(MEMBERS))
        most = 2 if action == "note_again" else 1
        said = self.chance.sample(people, self.chance.choice((most, most, most, most - 1 or most, 0)))
        means = [
            Means(person, self.chance.choice(("approve", "approve", "deny")), self.chance.choice(("slack", "page")))
            for person in said
        ]
        denied = next((n for n, one in enumerate(means, 1) if one.verdict == "deny"), len(means))
        return Call(len(self.calls), action, tuple(means[:denied]))

    async def play(self, call: Call) -> None:
        """One call, and all that is said about it."""
        key = f"k{call.number}"
        asked = await self._insist(
            lambda: self.town.kit.execute(call.action, params=call.params, key=key, prefer="wait=0")
        )
        assert asked.status == 202, asked.json
        call.id = asked.json["id"]
        call.ask = asked.json["waiting_for"][0]["id"]
        for means in call.means:
            await (self._press(call, means) if means.how == "slack" else self._post(call, means))
            call.taken.append(means)

    async def _insist(self, what: Callable[[], Awaitable[T]]) -> T:
        """Again and again until the service is there."""
        while True:
            with suppress(*AWAY):
                async with asyncio.timeout(10):
                    return await what()
            await asyncio.sleep(0.02)

    async def _counts(self, call: Call, means: Means) -> bool:
        """Whether the service says that this was decided."""
        now: Any = (await self._insist(lambda: self.town.kit.call("GET", f"/executions/{call.id}"))).json
        waiting = [item for item in now["waiting_for"] if item.get("id") == call.ask]
        return not waiting or means.person in waiting[0]["approved_by"]

    async def _press(self, call: Call, means: Means) -> None:
        """In Slack, as often as it takes."""
        while not await self._counts(call, means):
            message = await until(lambda: self._message(call, means), 1)
            if message is None:
                continue
            self.presses += 1
            if means.verdict == "approve":
                await self.town.slack.click(message, "approve", MEMBERS[means.person], url=self.town.interactions)
            else:
                await self._deny(call, message, means)
            for _ in range(10):
                if await self._counts(call, means):
                    return
                await asyncio.sleep(0.05)

    def _message(self, call: Call, means: Means) -> Message | None:
        """The message in which this person can press something."""
        for message in reversed(self.town.slack.messages):
            mine = message.channel[0] == "C" or self.town.slack.ims.get(MEMBERS[means.person]) == message.channel
            if mine and any(button.get("value") == call.ask for button in self.town.slack.buttons(message)):
                return message
        return None

    async def _deny(self, call: Call, message: Message, means: Means) -> None:
        slack, member = self.town.slack, MEMBERS[means.person]
        before = len(slack.views)
        answer = await slack.click(message, "deny", member, url=self.town.interactions)
        if answer.status != 200:
            return

        def opened() -> Any:
            return next((v for v in slack.views[before:] if v.user == member and call.ask in str(v.view)), None)

        if (view := await until(opened, 1)) is not None:
            await slack.submit(view, {}, url=self.town.interactions)

    async def _post(self, call: Call, means: Means) -> None:
        """By the link of a mail; 200 is a promise, 409 says that an earlier try got through."""
        while not await self._counts(call, means):
            link = await until(lambda: self._link(call, means), 1)
            if link is None:
                continue
            self.presses += 1
            with suppress(*AWAY):
                answer: Answer = await self.town.kit.decide(link, means.verdict)
                assert answer.status in (200, 409), answer.json
                if answer.status == 200:
                    return

    def _link(self, call: Call, means: Means) -> str | None:
        word = call.word.encode()
        for mail in reversed(self.town.mail.mails):
            if mail.to == means.person and word in mail.raw and (found := LINK.findall(mail.text)):
                return str(found[0])
        return None


@dataclass
class Killer:
    """Starts the service, and kills it, again and again."""

    town: Town
    chance: random.Random
    died: Counter[str] = field(default_factory=Counter)
    """How often it died where."""

    async def once(self) -> None:
        """One life."""
        place = self.chance.choice((*STORE, *TOWN, ANY, ANY, ANY))
        times = self.chance.randint(1, 4)
        # Claims of the dead have run out, or are respected.
        self.town.offset += self.chance.choice((0, CLAIM, CLAIM))
        point = {"JIT_AUTH_CRASH_AT": f"{place}:{times}"} if place in STORE else {}
        async with living(self.town.kit, self.town.offset, **point) as life:
            if place in TOWN:
                self.town.trap.arm(place, times, life.kill)
            seconds = self.chance.uniform(0.05, 1.0) if place == ANY else 1.5
            try:
                async with asyncio.timeout(seconds):
                    await life.wait()
                self.died[place] += 1
            except TimeoutError:
                self.died[ANY] += 1
            self.town.trap.disarm()


@dataclass(frozen=True)
class Figures:
    """What one run came to."""

    kills: int
    died: dict[str, int]
    calls: int
    presses: int
    seconds: float
    findings: Findings


async def run(folder: Path, storage: str, *, kills: int, seed: int, agents: int = 4, calls: int = 0) -> Figures:
    """So many kills, and what was found at the end. At least so many calls: on a crowded machine agents come to few
    between the kills."""
    began = time.monotonic()
    chance = random.Random(seed)  # noqa: S311 - it only has to be repeatable
    async with town(folder, storage) as at:
        async with living(at.kit) as first:
            assert not first.over, (folder / "stderr.txt").read_text()
            await at.kit.connected()
        at.kit.mail.messages.clear()
        crowd, killer = Crowd(at, chance, calls), Killer(at, chance)
        at_work = [asyncio.create_task(crowd.agent()) for _ in range(agents)]
        try:
            for _ in range(kills):
                await killer.once()
            crowd.stopped = True
            at.offset += 2 * CLAIM
            async with living(at.kit, at.offset):
                async with asyncio.timeout(60):
                    await asyncio.gather(*at_work)
                await rest(at)
        finally:
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)
        findings = await judge(at, crowd.calls)
    return Figures(kills, dict(killer.died), len(crowd.calls), crowd.presses, time.monotonic() - began, findings)


async def rest(at: Town, seconds: float = 60) -> None:
    """Until nothing is left to be done. Raises TimeoutError."""
    async with looking(at) as store:
        end = asyncio.get_running_loop().time() + seconds
        while left := await restless(store):
            if asyncio.get_running_loop().time() > end:
                raise TimeoutError(f"still to be done: {left}")
            await asyncio.sleep(0.05)


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--agents", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(
            run(Path(folder), "sqlite:///jit-auth.db", kills=given.kills, seed=given.seed, agents=given.agents)
        )
    print(json.dumps(msgspec.to_builtins(figures), indent=1))  # noqa: T201 - it is what the script is for
    sys.exit(bool(figures.findings.wrong))


if __name__ == "__main__":
    main()
