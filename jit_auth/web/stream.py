"""GET /events, GET /executions/{id}/events: what happens to an agent's executions, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html

Attacks (THREAT_MODEL 23): a stream that was opened before its agent was stopped, or its token changed (looked at again
before each event), more streams than one agent may have, a reader that takes nothing (it is given up), an id of long
ago that has everything read again (some rows at a time, and only as fast as it is taken).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

from jit_auth.config.settings import Agent
from jit_auth.core.events import Event, payload, project
from jit_auth.core.position import read_position
from jit_auth.engine.face import Engine
from jit_auth.engine.tail import Subscription, Tail, Told
from jit_auth.engine.waits import LOOK_AGAIN
from jit_auth.errors import BadRequest, StorageError, TooMany
from jit_auth.model import Execution, Millis
from jit_auth.storage.audit import Entry
from jit_auth.web.agents import Bearers
from jit_auth.web.query import parameters

PER_AGENT = 16
"""Streams at a time."""
HEARTBEAT = 15.0
"""Seconds of silence after which a comment shows that the stream is alive."""
READER = 30.0
"""Seconds a reader may leave what it was sent."""
_GONE = (ConnectionError, TimeoutError, StorageError)
"""The reader has gone, or reads nothing; or the database is away: whoever reads comes back."""
FINISHED = "execution.finished"
OVER = frozenset({"succeeded", "failed", "denied", "expired", "cancelled"})
EVENT_ID = r"(prc|exe)_[0-7][0-9a-hjkmnp-tv-z]{25}-[0-9]{1,15}(\.[0-9]{1,6})?"
"""Of one execution's event: the audit row's, or of one that went straight through, its own; and the event in it."""
_ID = re.compile(EVENT_ID)


class Streams:
    """The streams of one process. `stopped` says whether an agent was."""

    def __init__(
        self, engine: Engine, bearers: Bearers, environment: str, stopped: Callable[[str], bool], tail: Tail
    ) -> None:
        self._engine = engine
        self._bearers = bearers
        self._environment = environment
        self._stopped = stopped
        self._tail = tail
        self._open: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/events", self.all, allow_head=False),
            web.get("/executions/{id}/events", self.events, allow_head=False),
        ]

    async def all(self, request: web.Request) -> web.StreamResponse:
        """All of the agent's own executions, from now on, or after `Last-Event-ID`; for as long as it is read."""
        agent = self._bearers.agent(request)
        parameters(request, ())
        given = request.headers.get("Last-Event-ID", "").strip()
        since = read_position(given) if given else None
        with self._counted(agent.name):
            async with self._tail.subscribed(agent.name) as reader:
                response = _opened()
                try:
                    await response.prepare(request)
                    # The id comes before any event: who is cut off while nothing happens comes back to here too.
                    await _write(response, f"retry: 1000\nid: {given or reader.start.text()}\n\n")
                    if since is not None:
                        async for told in self._tail.missed(agent.name, since, reader.start):
                            if not self._goes_on(agent):
                                return response
                            await self._tell(response, agent, told)
                    await self._follow(response, agent, reader)
                except _GONE:
                    pass
                return response

    async def _follow(self, response: web.StreamResponse, agent: Agent, reader: Subscription) -> None:
        loop = asyncio.get_running_loop()
        spoke = loop.time()
        while self._goes_on(agent) and not reader.behind:
            reader.came.clear()
            if reader.told:
                await self._tell(response, agent, reader.told.popleft())
                spoke = loop.time()
                continue
            if loop.time() - spoke >= HEARTBEAT:
                await _write(response, f": still here\nid: {self._tail.position}\n\n")
                spoke = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_AGAIN, HEARTBEAT - (loop.time() - spoke))):
                    await reader.came.wait()

    async def _tell(self, response: web.StreamResponse, agent: Agent, told: Told) -> None:
        execution = await self._engine.own.store.execution(told.execution)
        if execution is not None and execution.agent == agent.name:
            await _write(response, _block(told.id, told.event, told.at, execution, self._environment))

    def _goes_on(self, agent: Agent) -> bool:
        return not self._engine.waits.ended and self._bearers.knows(agent) and not self._stopped(agent.name)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """From now on, or after `Last-Event-ID`, until the execution is over. 204: there is nothing more to come."""
        agent = self._bearers.agent(request)
        parameters(request, ())
        last = _last(request)
        execution = (await self._engine.own.get(agent.name, request.match_info["id"])).execution
        with self._counted(agent.name):
            reader = _Reader(self._engine, execution, self._environment)
            first = await reader.begin(last)
            if last is not None and not first and (reader.finished or await self._over(execution)):
                return web.Response(status=204)  # by the standard, what tells a client to come back no more
            return await self._stream(request, agent, execution, reader, first)

    async def _stream(
        self, request: web.Request, agent: Agent, execution: Execution, reader: _Reader, first: Sequence[str]
    ) -> web.StreamResponse:
        loop, waits = asyncio.get_running_loop(), self._engine.waits
        response = _opened()
        event = waits.enter(execution.id)
        try:
            await response.prepare(request)
            await _write(response, "retry: 1000\n\n")
            told, blocks = loop.time(), list(first)
            while self._goes_on(agent):
                for block in blocks:
                    await _write(response, block)
                    told = loop.time()
                # Read in this order: what ended it is among the events that are read afterwards.
                over = await self._over(execution)
                blocks = await reader.more()
                if blocks:
                    continue
                if over:
                    if not reader.finished and execution.state not in OVER:
                        await _write(response, reader.end(await self._now(execution)))
                    break
                if loop.time() - told >= HEARTBEAT:
                    await _write(response, ": still here\n\n")
                    told = loop.time()
                await waits.pause(event, HEARTBEAT - (loop.time() - told))
        except _GONE:
            return response
        finally:
            waits.leave(execution.id, event)
        return response

    async def _over(self, execution: Execution) -> bool:
        return (await self._now(execution)).state in OVER

    async def _now(self, execution: Execution) -> Execution:
        return (await self._engine.own.get(execution.agent, execution.id)).execution

    @contextmanager
    def _counted(self, agent: str) -> Iterator[None]:
        if self._open[agent] >= PER_AGENT:
            raise TooMany(
                f"This agent has {PER_AGENT} event streams open.",
                code="too_many_streams",
                hint="End others first, or give a callback_url with the calls.",
                headers={"Retry-After": "5"},
            )
        self._open[agent] += 1
        try:
            yield
        finally:
            self._open[agent] -= 1
            if not self._open[agent]:
                del self._open[agent]


class _Reader:
    """The events of one execution, each once. An id is that of the audit row, with the event's number in it before
    the row's last: whoever comes back with it misses nothing."""

    def __init__(self, engine: Engine, execution: Execution, environment: str) -> None:
        self._engine = engine
        self._execution = execution
        self._environment = environment
        self._seen: set[str] = set()
        self._after: str | None = None
        self.finished = False
        """The end was told."""

    async def begin(self, last: tuple[str, int | None] | None) -> list[str]:
        """What there is after `last`; without it nothing, and later what comes from now on."""
        if last is None:
            self._note(await self._rows(None))
            return []
        row_id, number = last
        same = [row for row in await self._rows(None) if row.id == row_id]
        if number is None and any(event.type == FINISHED for row in same for event in project(row.what)):
            self.finished = True  # nothing comes after it, whatever was committed at about the same time
            return []
        if number is not None:  # the rest of that row comes first
            blocks = [block for row in same for block in self._blocks(row)[number + 1 :]]
            self._note(same)
        else:
            blocks = []
            self._seen.add(row_id)
            self._after = row_id
        return [*blocks, *await self.more()]

    async def more(self) -> list[str]:
        """What came since."""
        rows = [row for row in await self._rows(self._after) if row.id not in self._seen]
        self._note(rows)
        return [block for row in rows for block in self._blocks(row)]

    async def _rows(self, after: str | None) -> Sequence[Entry]:
        return await self._engine.events(self._execution.agent, self._execution.id, after)

    def _note(self, rows: Sequence[Entry]) -> None:
        self._seen.update(row.id for row in rows)
        if rows:
            self._after = rows[-1].id

    def _blocks(self, row: Entry) -> list[str]:
        execution = self._execution
        events = [event for event in project(row.what) if event.own and event.execution in (None, execution.id)]
        blocks = []
        for number, event in enumerate(events):
            mark = row.id if number == len(events) - 1 else f"{row.id}.{number}"
            self.finished = self.finished or event.type == FINISHED
            blocks.append(self._block(mark, event, row.at))
        return blocks

    def end(self, execution: Execution) -> str:
        """The end of a call that went straight through: it is in the execution's row, and in no list of events."""
        return self._block(f"{execution.id}-{execution.version}", Event(FINISHED, execution.state), execution.updated)

    def _block(self, mark: str, event: Event, at: Millis) -> str:
        return _block(mark, event, at, self._execution, self._environment)


def _block(mark: str, event: Event, at: Millis, execution: Execution, environment: str) -> str:
    data = payload(
        event,
        at,
        environment=environment,
        execution=execution.id,
        action=execution.action,
        agent=execution.agent,
        metadata=(execution.metadata or {}) if "params" not in execution.gone else None,
    )
    return f"id: {mark}\nevent: {event.type}\ndata: {data}\n\n"


def _opened() -> web.StreamResponse:
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return web.StreamResponse(headers=headers)


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(READER):
        await response.write(text.encode())


def _last(request: web.Request) -> tuple[str, int | None] | None:
    """The row, and the event in it, that the reader had last."""
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return None
    if _ID.fullmatch(text) is None:
        raise BadRequest(
            "`Last-Event-ID` is none of ours.", code="bad_query", hint="Give an event's id as it came, or leave it out."
        )
    row, _, number = text.partition(".")
    return row, int(number) if number else None
