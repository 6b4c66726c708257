"""Events delivered: signed as Standard Webhooks, tried again for a day, each row by one process at a time.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Attacks (THREAT_MODEL 30): an address inside the house (egress judges it, and follows no redirect); a URL that the agent
was once allowed (judged again before each try); a receiver that never answers (a limit of time, of deliveries at a
time, and of those per receiver: others are not kept waiting); one agent's secret signs nothing for anybody else.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from jit_auth import __version__
from jit_auth.config.settings import Agent, Webhook
from jit_auth.core.callback import callback
from jit_auth.core.events import CALLBACK, WEBHOOK, owes_metadata, with_metadata
from jit_auth.egress import Egress
from jit_auth.errors import EgressError, StorageError
from jit_auth.model import Audit, Change, Delete, Millis, Op, Outbox, Reply, Request, Stale, Unit
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

ANSWER: Millis = 15_000
"""How long a receiver may take to answer."""
HELD: Millis = 30_000
"""For how long a row is one process's: longer than connecting and the answer together may take."""
FIRST_PAUSE: Millis = 500
LONGEST_PAUSE: Millis = 3_600_000
AT_ONCE = 64
PER_RECEIVER = 8
LOOK = 200
"""Rows read at a time."""
PUT_OFF: Millis = 5_000
"""When rows are looked at again that a receiver leaves waiting in front of others' rows."""
SLOW = 2.0
"""Seconds without any good answer after which a receiver does so."""
_GONE = 410
_LARGEST_ANSWER = 65_536


def signature(key: bytes, row_id: str, seconds: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`."""
    signed = b".".join((row_id.encode(), str(seconds).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class Hooks:
    """Delivers outbox rows of kind `event`, beside the worker's loop."""

    def __init__(
        self,
        store: Store,
        egress: Egress,
        webhooks: Mapping[str, Webhook],
        agents: Callable[[], Mapping[str, Agent]],
        callback_secret: Callable[[str], bytes],
    ) -> None:
        """`agents` gives those that there are now; `callback_secret` the key of an agent's callbacks, by its name."""
        self._store = store
        self._egress = egress
        self._webhooks = webhooks
        self._agents = agents
        self._callback_secret = callback_secret
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._waiting: list[Outbox] = []
        """Rows that were read, and that there was no room for yet."""
        self._more = False
        """There are probably rows that were not read."""
        self._receivers: dict[str, _Receiver] = {}
        self._pump: asyncio.Task[None] | None = None
        self._again = False
        self._closed = False

    def start(self) -> None:
        """Something is due: deliver it in the background."""
        self._again = True
        if not self._closed and (self._pump is None or self._pump.done()):
            self._pump = asyncio.get_running_loop().create_task(self._take_up())

    async def settle(self) -> None:
        """Until what `start` began is done with: delivered, or put off to its next try."""
        while True:
            pump = [self._pump] if self._pump is not None and not self._pump.done() else []
            tasks = [*pump, *self._busy.values()]
            if not tasks:
                return
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # by then their end is known, and the next have begun

    async def close(self, seconds: float = 5.0) -> None:
        """End what is under way; what has no answer by then is delivered again, by whoever comes next."""
        self._closed = True
        tasks = [task for task in (self._pump, *self._busy.values()) if task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_up(self) -> None:
        """Read what is due and begin what there is room for."""
        try:
            while self._again and not self._closed:
                self._again = False
                rows = await self._store.outbox_due(LOOK)
                self._waiting = [row for row in rows if row.kind == "event" and row.id not in self._busy]
                self._more = len(rows) >= LOOK
                self._fill()
                if self._more:
                    await self._put_off()
        except StorageError as error:  # the worker's next turn begins it again
            log.warning("storage: %s", error.message)
        except Exception:
            log.exception("events cannot be delivered yet")

    def _fill(self) -> None:
        """Begin those of the waiting for whom there is room."""
        waiting = self._waiting
        self._waiting = []
        now = asyncio.get_running_loop().time()
        for row in waiting:
            receiver = self._receivers.get(_receiver(row))
            if len(self._busy) >= AT_ONCE or (receiver is not None and receiver.busy >= PER_RECEIVER):
                self._waiting.append(row)
                continue
            if receiver is None:
                receiver = self._receivers[_receiver(row)] = _Receiver(now)
            receiver.busy += 1
            task = asyncio.get_running_loop().create_task(self._deliver(row))
            self._busy[row.id] = task
            task.add_done_callback(functools.partial(self._ended, row))

    def _ended(self, row: Outbox, task: asyncio.Task[None]) -> None:
        """One delivery is over, however: the room is the next one's."""
        del self._busy[row.id]
        receiver = self._receivers[_receiver(row)]
        receiver.busy -= 1
        if not receiver.busy:
            del self._receivers[_receiver(row)]
        if not self._closed:
            self._fill()
            if self._more and not self._waiting:
                self.start()
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StorageError):
            log.warning("storage: %s", error.message)
        else:
            log.error("%s cannot be delivered", row.id, exc_info=error)

    async def _deliver(self, row: Outbox) -> None:
        """One try. The row is made ours first: with two processes, and after a crash, nobody delivers it meanwhile."""
        now = self._store.now()
        place = self._place(row)
        if place is None or now >= row.until:
            await self._write(row, Delete(row), "event.dropped", why="expired" if place else "no receiver")
            return
        to = {"due": now + HELD, "tries": row.tries + 1}
        if not await self._write(row, Change(row, to), "event.try", number=row.tries + 1):
            return
        mine = msgspec.structs.replace(row, version=row.version + 1, **to)
        came = await self._send(msgspec.structs.replace(mine, payload=await self._whole(row)), *place)
        if isinstance(came, Reply) and came.status == _GONE:  # the receiver wants no more of it
            await self._write(mine, Delete(mine), "event.dropped", why="gone")
        elif isinstance(came, Reply) and 200 <= came.status < 300:
            self._receivers[_receiver(row)].moved = asyncio.get_running_loop().time()
            await self._write(mine, Delete(mine), "event.sent", status=came.status)
        else:
            why = came.status if isinstance(came, Reply) else came.code
            if not row.tries:
                log.warning("an event could not be delivered to %s: %s; it is tried again", _receiver(row), why)
            pause = _pause(row.tries, came)
            await self._write(mine, Change(mine, {"due": self._store.now() + pause}), "event.failed", why=why)
            self._expect(pause)

    async def _whole(self, row: Outbox) -> str:
        """What is sent: with the metadata that the execution's agent gave, as long as it is kept."""
        owed = owes_metadata(row.payload)
        execution = None if owed is None else await self._store.execution(owed)
        if execution is None or "params" in execution.gone:
            return row.payload
        return with_metadata(row.payload, execution.metadata or {})

    async def _send(self, row: Outbox, url: str, key: bytes) -> Reply | EgressError:
        body = row.payload.encode()
        seconds = self._store.now() // 1000
        headers = (
            ("content-type", "application/json"),
            ("user-agent", f"jit_auth/{__version__}"),
            ("webhook-id", row.id),
            ("webhook-timestamp", str(seconds)),
            ("webhook-signature", signature(key, row.id, seconds, body)),
        )
        request = Request("POST", url, headers, body)
        try:
            return await self._egress.send(
                request, hosts=(_host(url),), timeout=ANSWER, max_body=_LARGEST_ANSWER, fresh=True
            )
        except EgressError as error:
            return error

    def _place(self, row: Outbox) -> tuple[str, bytes] | None:
        """Where a row goes and what signs it, as the configuration is now; None where nobody wants it any more."""
        if row.endpoint.startswith(WEBHOOK):
            hook = self._webhooks.get(row.endpoint.removeprefix(WEBHOOK))
            return (hook.url, hook.secret) if hook is not None else None
        agent = self._agents().get(row.agent)
        if agent is None or row.endpoint != CALLBACK or callback(row.url, agent.callback_urls) != row.url:
            return None
        return row.url, self._callback_secret(agent.name)

    async def _write(self, row: Outbox, op: Op, did: str, **told: object) -> bool:
        fact = {"do": did, "event": row.id, "endpoint": row.endpoint, **told}
        audit = Audit(actor="engine", what=(fact,), agent=row.agent or None)
        return not isinstance(await self._store.apply(Unit(None, (op,), audit)), Stale)

    async def _put_off(self) -> None:
        """Rows of receivers that answer nothing make room for others' behind them. No try: they keep their number."""
        now = asyncio.get_running_loop().time()
        stuck = {name for name, receiver in self._receivers.items() if now - receiver.moved > SLOW}
        rows = [row for row in self._waiting if _receiver(row) in stuck]
        if len(rows) > LOOK // 2:
            due = self._store.now() + PUT_OFF
            ops = tuple(Change(row, {"due": due}) for row in rows)
            fact = {"do": "event.put_off", "count": len(rows), "endpoints": sorted({row.endpoint for row in rows})}
            await self._store.apply(Unit(None, ops, Audit(actor="engine", what=(fact,))))
            self._waiting = [row for row in self._waiting if _receiver(row) not in stuck]
            self._again = True

    def _expect(self, pause: Millis) -> None:
        """Be there in time for a try that is soon due, not at the worker's next turn."""
        if pause < 60_000 and not self._closed:
            asyncio.get_running_loop().call_later(pause / 1000, self.start)


class _Receiver:
    """How many deliveries to one place are under way, and when one was last answered well (the loop's time)."""

    __slots__ = ("busy", "moved")

    def __init__(self, now: float) -> None:
        self.busy = 0
        self.moved = now


def _pause(tries: int, came: Reply | EgressError) -> Millis:
    """Until the next try: 0.5 s, doubled each time, at most an hour; a receiver may ask for more (Retry-After)."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE << min(tries, 13))
    asked = came.header("retry-after") if isinstance(came, Reply) else None
    if asked is not None and asked.isascii() and asked.isdigit():
        pause = max(pause, min(LONGEST_PAUSE, int(asked[:6]) * 1000))
    return pause


def _receiver(row: Outbox) -> str:
    return row.endpoint if row.endpoint != CALLBACK else f"{CALLBACK} of {row.agent}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
