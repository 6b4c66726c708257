"""Deliveries: signed, tried again, given up, once per row however many processes there are, nobody kept waiting."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from jit_auth.config.settings import Agent, Webhook
from jit_auth.core.events import CALLBACK, KEPT
from jit_auth.core.ids import new_id
from jit_auth.egress import Egress
from jit_auth.model import Audit, Insert, Outbox, Unit
from jit_auth.worker import hooks as subject
from jit_auth.worker.hooks import Hooks
from tests.fakes.receiver import Receiver, Told, receiving, verified
from tests.integration.events.shelf import Shelf

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OWN = b"mailbot's own secret, 32 bytes.."
HOUR = 3_600_000


def agent(name: str, *urls: str) -> Agent:
    return Agent(
        name=name, secret_sha256="", actions=(), users=(), trusts_users=True, owners=(), sees_people=True,
        callback_urls=urls, return_urls=(),
    )  # fmt: skip


class Desk:
    """A store, and deliverers on it."""

    def __init__(self, store: Any, receiver: Receiver) -> None:
        self.store = store
        self.receiver = receiver
        self.webhooks = {"ops": Webhook(url=f"{receiver.url}/ops", secret=KEY)}
        self.agents = {"mailbot": agent("mailbot", f"{receiver.url}/hooks/")}
        self.made: list[tuple[Hooks, Egress]] = []

    def hooks(self, allow: tuple[str, ...] = ("127.0.0.1",)) -> Hooks:
        egress = Egress(allow)
        hooks = Hooks(self.store, egress, self.webhooks, lambda: self.agents, {"mailbot": OWN}.__getitem__)
        self.made.append((hooks, egress))
        return hooks

    async def put(self, endpoint: str = "webhook:ops", url: str = "", **fields: Any) -> Outbox:
        now = self.store.now()
        told = {"type": "execution.finished", "timestamp": "2026-01-05T12:00:00.000Z", "data": {"status": "failed"}}
        values: dict[str, Any] = {
            "id": new_id("out", now, os.urandom(10)), "kind": "event", "agent": "mailbot", "endpoint": endpoint,
            "url": url, "payload": json.dumps(told), "due": now, "until": now + KEPT,
        }  # fmt: skip
        row = Outbox(**(values | fields))
        await self.store.apply(Unit(None, (Insert(row),), Audit(actor="engine", what=())))
        return row

    async def turn(self, hooks: Hooks) -> None:
        hooks.start()
        await hooks.settle()

    async def left(self) -> list[Outbox]:
        """Every row, due or not."""
        self.store.clock.offset += 100 * 24 * HOUR
        try:
            return list(await self.store.outbox_due(10_000))
        finally:
            self.store.clock.offset -= 100 * 24 * HOUR


@asynccontextmanager
async def desk(answer: Callable[[Told], int | web.Response | None] | None = None) -> AsyncIterator[Desk]:
    async with receiving(answer) as receiver:
        found = Desk(Shelf(), receiver)
        try:
            yield found
        finally:
            for hooks, egress in found.made:
                await hooks.close(0)
                await egress.close()


async def test_a_webhook_is_signed_as_standard_webhooks_say() -> None:
    async with desk() as at:
        row = await at.put()
        await at.turn(at.hooks())
        (told,) = at.receiver.told
        assert verified(told, SECRET, at.store.now() / 1000)["data"] == {"status": "failed"}
        assert (told.path, told.id) == ("/ops", row.id)
        assert told.body.decode() == row.payload
        assert told.headers["content-type"] == "application/json"
        assert told.headers["user-agent"].startswith("jit_auth/")
        assert not {"authorization", "cookie"} & set(told.headers)
        assert await at.left() == []


async def test_the_verifier_of_these_tests_refuses_what_was_altered() -> None:
    async with desk() as at:
        await at.put()
        await at.turn(at.hooks())
        (told,) = at.receiver.told
        now = at.store.now() / 1000
        with pytest.raises(ValueError, match="signature"):
            verified(Told(told.path, told.headers, told.body + b" "), SECRET, now)
        with pytest.raises(ValueError, match="signature"):
            verified(Told(told.path, told.headers | {"webhook-id": "out_other"}, told.body), SECRET, now)
        with pytest.raises(ValueError, match="signature"):
            verified(told, "whsec_" + base64.b64encode(OWN).decode(), now)
        with pytest.raises(ValueError, match="timestamp"):
            verified(told, SECRET, now + 301)


async def test_a_callback_is_signed_with_that_agents_secret_alone() -> None:
    """THREAT_MODEL 30: whoever can verify an agent's callbacks cannot forge what operators get."""
    async with desk() as at:
        await at.put(CALLBACK, f"{at.receiver.url}/hooks/a?b=c")
        await at.turn(at.hooks())
        (told,) = at.receiver.told
        assert told.path == "/hooks/a?b=c"
        assert verified(told, "whsec_" + base64.b64encode(OWN).decode(), at.store.now() / 1000)
        with pytest.raises(ValueError, match="signature"):
            verified(told, SECRET, at.store.now() / 1000)


async def test_failures_are_tried_again_with_doubled_pauses_for_a_day_and_then_dropped() -> None:
    async with desk(lambda told: 500) as at:
        hooks = at.hooks()
        row = await at.put()
        start = at.store.now()
        pauses: list[int] = []
        while rows := await at.left():
            wait = max(0, rows[0].due - at.store.now())
            pauses.append(wait)
            at.store.clock.offset += wait
            await at.turn(hooks)
        assert at.store.now() - start >= KEPT
        assert at.store.now() - start < KEPT + HOUR + 60_000
        assert pauses[0] == 0
        first = [500 * 2**number for number in range(12)]
        # The clock goes on while the deliveries are made.
        for pause, expected in zip(pauses[1:13], first, strict=True):
            assert expected - 300 <= pause <= expected
        assert all(HOUR - 300 <= pause <= HOUR for pause in pauses[14:])
        assert {told.id for told in at.receiver.told} == {row.id}
        assert {told.body for told in at.receiver.told} == {row.payload.encode()}
        assert len({told.headers["webhook-timestamp"] for told in at.receiver.told}) >= len(pauses) - 4
        assert at.store.facts[-1] == {
            "do": "event.dropped", "event": row.id, "endpoint": "webhook:ops", "why": "expired",
        }  # fmt: skip


async def test_the_first_retry_comes_within_a_second_by_itself() -> None:
    answers = iter([503])
    async with desk(lambda told: next(answers, 204)) as at:
        loop = asyncio.get_running_loop()
        await at.put()
        at.hooks().start()
        await at.receiver.until(lambda told: len(told) == 1)
        first = loop.time()
        await at.receiver.until(lambda told: len(told) == 2)
        assert loop.time() - first <= 1.0


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_any_2xx_is_a_yes(status: int) -> None:
    async with desk(lambda told: status) as at:
        await at.put()
        await at.turn(at.hooks())
        assert await at.left() == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    """THREAT_MODEL 30: a receiver cannot send events, or their signatures, to another place."""
    async with desk() as at, receiving() as elsewhere:
        at.receiver.answer = lambda told: web.Response(status=status, headers={"Location": elsewhere.url})
        await at.put()
        await at.turn(at.hooks())
        assert len(at.receiver.told) == 1
        assert elsewhere.told == []
        (row,) = await at.left()
        assert row.tries == 1


async def test_a_receiver_that_is_gone_is_not_asked_again() -> None:
    async with desk(lambda told: 410) as at:
        await at.put()
        await at.turn(at.hooks())
        assert await at.left() == []
        assert at.store.facts[-1]["why"] == "gone"


async def test_retry_after_is_heeded_up_to_an_hour() -> None:
    async with desk() as at:
        hooks = at.hooks()
        for said, low, high in (("120", 119_000, 120_000), ("9999999999", HOUR - 1000, HOUR), ("soon", 0, 1000)):
            at.receiver.answer = lambda told, said=said: web.Response(status=429, headers={"Retry-After": said})
            row = await at.put()
            await at.turn(hooks)
            (kept,) = [one for one in await at.left() if one.id == row.id]
            assert low <= kept.due - at.store.now() <= high


async def test_nothing_goes_to_addresses_inside_the_house() -> None:
    """THREAT_MODEL 30: callbacks and webhooks pass egress like everything that agents or operators name."""
    async with desk() as at:
        await at.put()
        await at.put(CALLBACK, f"{at.receiver.url}/hooks/x")
        await at.turn(at.hooks(allow=()))
        assert at.receiver.told == []
        assert {fact["why"] for fact in at.store.facts if fact["do"] == "event.failed"} == {"address_refused"}


@pytest.mark.parametrize("path", ["/other/x", "/hooks/../x", "/hooks"])
async def test_a_callback_that_is_no_longer_allowed_is_dropped(path: str) -> None:
    async with desk() as at:
        await at.put(CALLBACK, at.receiver.url + path)
        await at.turn(at.hooks())
        assert at.receiver.told == []
        assert await at.left() == []
        assert at.store.facts[-1]["why"] == "no receiver"


async def test_events_of_a_webhook_or_agent_that_is_gone_are_dropped() -> None:
    async with desk() as at:
        await at.put("webhook:former")
        await at.put(CALLBACK, f"{at.receiver.url}/hooks/x", agent="former")
        await at.turn(at.hooks())
        assert at.receiver.told == []
        assert await at.left() == []


async def test_two_processes_deliver_each_row_once() -> None:
    async with desk() as at:
        rows = [await at.put() for _ in range(40)]
        await asyncio.gather(*(at.turn(at.hooks()) for _ in range(3)))
        assert sorted(told.id for told in at.receiver.told) == sorted(row.id for row in rows)
        assert await at.left() == []


async def test_what_a_dead_process_was_delivering_is_delivered_by_the_next() -> None:
    async with desk(lambda told: None) as at:
        row = await at.put()
        first = at.hooks()
        first.start()
        await at.receiver.until(lambda told: told)
        await first.close(0)
        at.receiver.answer = lambda told: 204
        second = at.hooks()
        await at.turn(second)
        assert len(at.receiver.told) == 1  # it is held for as long as the first could still be at it
        at.store.clock.offset += subject.HELD
        await at.turn(second)
        assert [told.id for told in at.receiver.told] == [row.id, row.id]
        assert await at.left() == []


async def test_a_receiver_that_never_answers_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand rows for it are in front of everybody else's."""
    monkeypatch.setattr(subject, "SLOW", 0.05)
    async with desk(lambda told: None if told.path == "/slow" else 204) as at:
        at.webhooks["slow"] = Webhook(url=f"{at.receiver.url}/slow", secret=KEY)
        for _ in range(1000):
            await at.put("webhook:slow")
        at.store.clock.offset += 1
        hooks = at.hooks()
        hooks.start()
        await at.receiver.until(lambda told: len(told) == subject.PER_RECEIVER)
        await at.put()

        async def other() -> None:
            while not any(told.path == "/ops" for told in at.receiver.told):
                hooks.start()
                await asyncio.sleep(0.02)

        await asyncio.wait_for(other(), 5)
        assert sum(told.path == "/slow" for told in at.receiver.told) == subject.PER_RECEIVER


async def test_a_burst_is_delivered_without_waiting_for_further_turns() -> None:
    async with desk() as at:
        rows = [await at.put() for _ in range(500)]
        await at.turn(at.hooks())
        assert sorted(told.id for told in at.receiver.told) == sorted(row.id for row in rows)
        assert await at.left() == []
