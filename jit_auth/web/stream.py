"""GET /executions/{id}/events: what happens to one execution, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html

Attacks (THREAT_MODEL 23): a stream that was opened before its agent was stopped, or its token changed (looked at again
before each event),
more streams than one agent may have, a reader that takes nothing (it is given up).
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

from jit_auth.config.settings import Agent
from jit_auth.core.events import Event, payload, project
from jit_auth.engine.face import Engine
from jit_auth.errors import BadRequest, TooMany
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
FINISHED = "execution.finished"
OVER = frozenset({"succeeded", "failed", "denied", "expired", "cancelled"})
_ID = re.compile(r"([A-Za-z0-9_]{1,80}-[0-9]{1,18})(?:\.([0-9]{1,6}))?")


class Streams:
    """The streams of one process. `stopped` says whether an agent was."""

    def __init__(self, engine: Engine, bearers: Bearers, environment: str, stopped: Callable[[str], bool]) -> None:
        self._engine = engine
        self._bearers = bearers
        self._environment = environment
        self._stopped = stopped
        self._open: Counter[str] = Counter()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/executions/{id}/events", self.events, allow_head=False)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """From now on, or after `Last-Event-ID`, until the execution is over. 204: there is nothing more to come."""
        agent = self._bearers.agent(request)
        parameters(request, ())
        last = _last(request)
        execution = (await self._engine.own.get(agent.name, request.match_info["id"])).execution
        with self._counted(agent.name):
            reader = _Reader(self._engine, execution, self._environment)
            first = await reader.begin(last)
            if last is not None and not first and await self._over(execution):
                return web.Response(status=204)  # by the standard, what tells a client to come back no more
            return await self._stream(request, agent, execution, reader, first)

    async def _stream(
        self, request: web.Request, agent: Agent, execution: Execution, reader: _Reader, first: Sequence[str]
    ) -> web.StreamResponse:
        loop, waits = asyncio.get_running_loop(), self._engine.waits
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        event = waits.enter(execution.agent, execution.id, counted=False)
        try:
            await response.prepare(request)
            await _write(response, "retry: 1000\n\n")
            told, blocks = loop.time(), list(first)
            while not waits.ended and self._bearers.knows(agent) and not self._stopped(agent.name):
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
        except (ConnectionError, TimeoutError):
            return response  # the reader has gone, or reads nothing
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
        if number is not None:  # the rest of that row comes first
            same = [row for row in await self._rows(None) if row.id == row_id]
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
        execution = self._execution
        data = payload(
            event,
            at,
            environment=self._environment,
            execution=execution.id,
            action=execution.action,
            agent=execution.agent,
        )
        return f"id: {mark}\nevent: {event.type}\ndata: {data}\n\n"


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(READER):
        await response.write(text.encode())


def _last(request: web.Request) -> tuple[str, int | None] | None:
    """The row, and the event in it, that the reader had last."""
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return None
    fit = _ID.fullmatch(text)
    if fit is None:
        raise BadRequest(
            "`Last-Event-ID` is none of ours.", code="bad_query", hint="Give an event's id as it came, or leave it out."
        )
    return fit[1], int(fit[2]) if fit[2] is not None else None
