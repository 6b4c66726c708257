"""What this process tells the streams of all events: one reader of the record for all of them, while there are any.

It looks when this process has committed something, and every second for what others have. Who comes late reads what it
missed itself (`Missed`), up to where the one reader stood, and goes on with it from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct

from jit_auth.core.events import Event, project
from jit_auth.core.position import OVERLAP, Position
from jit_auth.engine.waits import LOOK_AGAIN, Waits
from jit_auth.errors import StorageError
from jit_auth.model import Millis
from jit_auth.storage.feed import CHUNK, Feed, Heads, Row

log = logging.getLogger(__name__)

MOST_BEHIND = 10_000
"""Events that wait for a slow reader; one that is further behind is given up, and may come back."""
PACE = 0.05
"""Seconds between two looks, however much is committed."""


class Told(Struct, frozen=True):
    """One event of an agent's execution, and where a reader stands that has had it."""

    id: str
    at: Millis
    execution: str
    event: Event


class Subscription:
    """The events of one agent from a position on. `behind`: it took too little, and events were left out since."""

    def __init__(self, agent: str, start: Position) -> None:
        self.agent = agent
        self.start = start
        self.told: deque[Told] = deque()
        self.came = asyncio.Event()
        self.behind = False

    def put(self, told: Told) -> None:
        if len(self.told) >= MOST_BEHIND:
            self.behind = True
        if not self.behind:
            self.told.append(told)
        self.came.set()


class Tail:
    """The one reader."""

    def __init__(self, feed: Feed, waits: Waits) -> None:
        self._feed = feed
        self._waits = waits
        self._readers: set[Subscription] = set()
        self._position = Position()
        self._looking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> str:
        """Where a reader stands that has had all that was told so far."""
        return self._position.text()

    @asynccontextmanager
    async def subscribed(self, agent: str) -> AsyncIterator[Subscription]:
        """From now on, for as long as the context lasts. Raises StorageError."""
        async with self._looking:
            first = not self._readers
            if first:  # (nothing suspends between this and its being one of them)
                self._position = Position.at_heads(await self._feed.heads())
        if not first:
            await self._look()
        reader = Subscription(agent, self._position.copy())
        self._readers.add(reader)
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="jit-auth-tail")
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def missed(self, agent: str, since: Position, upto: Position) -> AsyncIterator[Told]:
        """The agent's events between two positions, each once, in order of time as far as there is one."""
        position = await self._placed(since, upto)
        come = dict(position.seqs)
        # Newest first. A writer is not read before the others have come to its first row: only those that wrote at one
        # time are held, however many there ever were. (Its id names the clock of its machine, which may be any.)
        began = {each: at - OVERLAP for each, at in (await self._feed.firsts()).items()}
        later = [each for each, seq in upto.seqs.items() if come[each] < seq]
        later.sort(key=lambda each: began.get(each, 0), reverse=True)
        waiting: dict[str, deque[Row]] = {}
        while True:
            while later and all(began.get(later[-1], 0) <= rows[0].at for rows in waiting.values() if rows):
                waiting[later.pop()] = deque()
                await self._fill(waiting, come, upto, agent)
            if not waiting:
                return
            writer = min(waiting, key=lambda each: (waiting[each][0].at, each))
            for told in _tell(waiting[writer].popleft(), position):
                yield told
            await self._fill(waiting, come, upto, agent)

    async def _fill(self, waiting: dict[str, deque[Row]], come: dict[str, int], upto: Position, agent: str) -> None:
        """Read on for each writer that has nothing left; one that has no more is left out."""
        for writer in [each for each, rows in waiting.items() if not rows]:
            while not waiting[writer] and come[writer] < upto.seqs[writer]:
                rows = await self._feed.rows(writer, come[writer], upto.seqs[writer], agent)
                come[writer] = _looked_to(come[writer], upto.seqs[writer])
                waiting[writer].extend(rows)
            if not waiting[writer]:
                del waiting[writer]

    async def _placed(self, since: Position, upto: Position) -> Position:
        """The position by each writer that there is by now."""
        heads = await self._feed.heads()
        placed = Position(since.floor)
        behind: dict[str, int] = {}
        for writer, seq in upto.seqs.items():
            if writer in since.seqs:
                behind[writer] = min(since.seqs[writer], seq)
            elif writer in heads and heads[writer][1] >= since.floor:
                behind[writer] = await self._feed.before(writer, seq, since.floor)
            else:
                placed.seqs[writer] = seq
        for writer, seq in behind.items():
            placed.passed(writer, seq, since.floor + OVERLAP)
        return placed

    async def _work(self) -> None:
        event = self._waits.watch()
        try:
            while True:
                await self._waits.pause(event, LOOK_AGAIN)
                try:
                    await self._look()
                except StorageError as error:
                    log.warning("events cannot be read at present: %s", error.message)
                    await asyncio.sleep(LOOK_AGAIN)
                await asyncio.sleep(PACE)
        finally:
            self._waits.unwatch(event)

    async def _look(self) -> None:
        """Tell what was committed since the last look."""
        async with self._looking:
            heads = await self._feed.heads()
            rows = await self._new(heads)
            agents = {reader.agent for reader in self._readers}
            for row in _in_order(rows):
                for told in _tell(row, self._position, agents):
                    for reader in self._readers:
                        if reader.agent == row.agent:
                            reader.put(told)
            for writer, (seq, at) in heads.items():
                if seq != self._position.seqs.get(writer):
                    self._position.passed(writer, seq, at)

    async def _new(self, heads: Heads) -> Mapping[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for writer, (seq, _) in heads.items():
            come = self._position.seqs.get(writer, -1)
            while come < seq:
                found.setdefault(writer, []).extend(await self._feed.rows(writer, come, seq))
                come = _looked_to(come, seq)
        return found


def _looked_to(after: int, upto: int) -> int:
    """How far one read of the feed has come."""
    return min(upto, after + CHUNK)


def _in_order(rows: Mapping[str, list[Row]]) -> Iterator[Row]:
    """By time, and each writer's by their numbers, whatever its clock did meanwhile."""
    timed: list[tuple[Millis, str, int, Row]] = []
    for writer, several in rows.items():
        latest = 0
        for row in several:
            latest = max(latest, row.at)
            timed.append((latest, writer, row.seq, row))
    timed.sort(key=lambda each: each[:3])
    return (row for *_, row in timed)


def _tell(row: Row, position: Position, agents: Collection[str] | None = None) -> Iterator[Told]:
    """The row's events, and the position moved past it. All but the last bear the position before the row: who was cut
    off within a row gets it again."""
    events = [event for event in project(row.what) if event.own] if agents is None or row.agent in agents else []
    before = position.text() if len(events) > 1 else ""
    position.passed(row.writer, row.seq, row.at)
    for number, event in enumerate(events):
        mark = position.text() if number == len(events) - 1 else before
        yield Told(mark, row.at, event.execution or row.execution, event)
