"""What is told outside, by the whole service: webhooks, an agent's callbacks, the stream of an execution."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fakes.serving import serving
from tests.integration.people.conftest import POLICIES, links
from tests.integration.service.kit import AGENT, OTHER, Kit, kit

SECRET = base64.b64encode(b"s" * 32).decode()


class Receiver:
    """Takes posts; answers what `status` says."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.came = asyncio.Event()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append((request.path, headers, await request.read()))
        self.came.set()
        return web.Response(status=self.status)

    async def types(self, path: str, count: int) -> list[str]:
        """The types of the first `count` different events at a path."""
        while True:
            found = {headers["webhook-id"]: body for where, headers, body in self.got if where == path}
            if len(found) >= count:
                return [json.loads(body)["type"] for body in found.values()]
            self.came.clear()
            async with asyncio.timeout(10):
                await self.came.wait()

    async def until(self, kind: str, execution_id: str) -> None:
        """Until an event of this kind about this execution came."""
        while not any(json.loads(body)["type"] == kind and execution_id.encode() in body for _, _, body in self.got):
            self.came.clear()
            async with asyncio.timeout(10):
                await self.came.wait()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/{tail:.*}", made.take)
    async with serving(app) as url:
        made.url = url
        yield made


@pytest.fixture
async def told(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Kit]:
    config = f'[webhooks.ops]\nurl = "{receiver.url}/ops"\nsecret = "whsec_{SECRET}"\n'
    config += '[channels.email]\nsmtp_url = "smtp://127.0.0.1:9"\nfrom = "approvals@example.com"\n'
    async with kit(tmp_path, policies=POLICIES, config=config) as made:
        text = (tmp_path / "config.toml").read_text()
        text = text.replace("[agents.otherbot]", f'callback_urls = ["{receiver.url}/hooks/"]\n\n[agents.otherbot]', 1)
        (tmp_path / "config.toml").write_text(text)
        async with made.running():
            await made.connected()
            yield made


async def test_webhooks_and_callbacks_tell_the_same_story_each_signed_by_its_own(told: Kit, receiver: Receiver) -> None:
    asked = await told.execute("note", params={"text": "secret words"}, callback_url=f"{receiver.url}/hooks/mine")
    assert asked.status == 202
    found = await links(told, asked.json["id"])
    await told.decide(found["ana@example.com"])
    await told.ended(asked.json["id"])
    types = await receiver.types("/hooks/mine", 4)
    assert sorted(types) == ["approval.decided", "approval.requested", "execution.finished", "execution.paused"]
    assert "config.loaded" in await receiver.types("/ops", 6)
    for path, headers, body in receiver.got:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.digest(b"s" * 32, signed, hashlib.sha256)).decode()
        assert (headers["webhook-signature"] == f"v1,{mac}") == (path == "/ops")
        assert b"secret words" not in body
        assert b"@example.com" not in body


async def test_what_could_not_be_delivered_is_tried_again_and_survives_a_restart(told: Kit, receiver: Receiver) -> None:
    await receiver.types("/ops", 2)
    receiver.status = 503
    asked = await told.execute("note", params={"text": "x"})
    assert asked.json["status"] == "succeeded"
    await receiver.until("execution.finished", asked.json["id"])
    receiver.got.clear()
    receiver.status = 200
    told.clock.offset += 3_600_000
    assert told.service is not None
    await told.service.worker.turn()
    await receiver.until("execution.finished", asked.json["id"])


@pytest.mark.parametrize("url", ["/hooks/../x", "/hooks/%2e%2e/x", "/elsewhere", "@evil.test/hooks/"])
async def test_a_callback_outside_the_prefixes_is_refused(told: Kit, receiver: Receiver, url: str) -> None:
    answer = await told.execute("note", params={"text": "x"}, callback_url=receiver.url + url)
    assert (answer.status, answer.json["code"]) == (422, "invalid_params")


async def stream(told: Kit, path: str, **headers: str) -> list[dict[str, Any]]:
    """All events of a stream until it ends, each with its id."""
    found: list[dict[str, Any]] = []
    async with told.session.get(told.url + path, headers={"Authorization": f"Bearer {AGENT}", **headers}) as reply:
        if reply.status != 200:
            return found
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        text = (await reply.read()).decode()
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "data" in fields:
            found.append(json.loads(fields["data"]) | {"id": fields["id"], "event": fields.get("event")})
    return found


async def test_a_stream_tells_what_happens_and_goes_on_where_it_was_left(told: Kit) -> None:
    asked = await told.execute("note", params={"text": "streamed"}, metadata={"thread": "t-1"})
    path = f"/executions/{asked.json['id']}/events"
    reading = asyncio.create_task(stream(told, path))
    found = await links(told, asked.json["id"])
    await asyncio.sleep(0.2)
    await told.decide(found["bo@example.com"])
    events = await asyncio.wait_for(reading, 10)
    assert [event["type"] for event in events] == ["approval.decided", "execution.finished"]
    assert {event["data"]["metadata"]["thread"] for event in events} == {"t-1"}
    again = await stream(told, path, **{"Last-Event-ID": events[0]["id"]})
    assert [event["type"] for event in again] == ["execution.finished"]
    assert await stream(told, path, **{"Last-Event-ID": events[1]["id"]}) == []
    other = await told.call("GET", path, token=OTHER)
    assert other.status == 404


async def test_a_call_that_needs_nobody_is_told_too(told: Kit) -> None:
    told.mail.faults = ["429:2"]
    asked = await told.execute("note", params={"text": "x"}, prefer="respond-async")
    assert asked.status == 202
    events = await stream(told, f"/executions/{asked.json['id']}/events")
    assert [(event["type"], event["data"]["status"]) for event in events] == [("execution.finished", "succeeded")]
    last = {"Last-Event-ID": events[0]["id"]}
    assert await stream(told, f"/executions/{asked.json['id']}/events", **last) == []


async def test_events_carry_the_agents_own_metadata_and_nobody_else_keeps_it(told: Kit, receiver: Receiver) -> None:
    words = {"thread": "secret-thread", "step": 7}
    receiver.status = 500
    hook = f"{receiver.url}/hooks/mine"
    asked = await told.execute("note", params={"text": "first"}, callback_url=hook, metadata=words)
    assert asked.status == 202
    await receiver.types("/hooks/mine", 1)
    assert told.service is not None
    for row in await told.service.store.outbox_due(100):
        assert "secret-thread" not in row.payload
    receiver.status = 200
    receiver.got.clear()
    await told.call("POST", f"/executions/{asked.json['id']}/cancel")
    await receiver.until("execution.finished", asked.json["id"])
    for path in ("/hooks/mine", "/ops"):
        await receiver.types(path, 1)
    bodies = [json.loads(body) for _, _, body in receiver.got]
    about = [body["data"] for body in bodies if body["data"].get("execution") == asked.json["id"]]
    assert about
    assert all(data["metadata"] == words for data in about)
    plain = await told.execute("note", params={"text": "x"}, callback_url=hook)
    await receiver.until("execution.finished", plain.json["id"])
    data, *_ = [json.loads(body)["data"] for path, _, body in receiver.got
               if path == "/hooks/mine" and plain.json["id"].encode() in body]  # fmt: skip
    assert data["metadata"] == {}
