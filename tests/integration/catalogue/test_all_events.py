"""GET /events: all of an agent's executions, by the whole service, across restarts and replicas."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from jit_auth.web import stream
from tests.integration.people.conftest import POLICIES, links
from tests.integration.service.kit import ADMIN, AGENT, OTHER, Kit, kit

CONFIG = '[channels.email]\nsmtp_url = "smtp://127.0.0.1:9"\nfrom = "approvals@example.com"\n'


class Reader:
    """One connection to /events; `last` is what a browser would come back with."""

    def __init__(self, reply: ClientResponse) -> None:
        self.reply = reply
        self.last = ""
        self._left = b""

    async def block(self) -> dict[str, str]:
        """The fields of the next block. Raises EOFError where the stream has ended."""
        while b"\n\n" not in self._left:
            async with asyncio.timeout(20):
                data = await self.reply.content.readany()
            if not data:
                raise EOFError
            self._left += data
        block, self._left = self._left.split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) for line in block.decode().splitlines() if not line.startswith(":"))
        self.last = fields.get("id", self.last)
        return fields

    async def event(self) -> dict[str, Any]:
        """The next event."""
        while "data" not in (fields := await self.block()):
            pass
        found: dict[str, Any] = json.loads(fields["data"])
        assert found["type"] == fields["event"]
        return found

    async def types(self, count: int) -> list[tuple[str, str]]:
        """Of the next events: execution and type."""
        events = [await self.event() for _ in range(count)]
        return [(event["data"]["execution"], event["type"]) for event in events]

    async def ended(self) -> None:
        """Read to the end of the stream."""
        while True:
            try:
                await self.block()
            except EOFError:
                return


@asynccontextmanager
async def reading(world: Kit, last: str = "", token: str = AGENT) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last} if last else {})
    async with world.session.get(world.url + "/events", headers=headers) as reply:
        assert (reply.status, reply.content_type) == (200, "text/event-stream")
        reader = Reader(reply)
        assert "id" in await reader.block()
        yield reader


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path, policies=POLICIES, config=CONFIG) as made, made.running():
        await made.connected()
        yield made


@pytest.fixture
async def pair(tmp_path: Path, postgres_url: str) -> AsyncIterator[tuple[Kit, Kit]]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(
            kit(tmp_path / "one", storage=postgres_url, policies=POLICIES, config=CONFIG)
        )
        two = one.twin(tmp_path / "two")
        await stack.enter_async_context(one.running())
        await stack.enter_async_context(two.running())
        await one.connected()
        yield one, two


async def test_it_tells_of_all_from_now_on_and_goes_on_after_an_id(world: Kit) -> None:
    async with reading(world) as reader:
        plain = (await world.execute("note", params={"text": "x"})).json["id"]
        asked = (await world.execute("note", params={"text": "a"})).json["id"]
        found = await links(world, asked)
        assert await reader.types(3) == [
            (plain, "execution.finished"),
            (asked, "execution.paused"),
            (asked, "approval.requested"),
        ]
        last = reader.last
    await world.decide(found["bo@example.com"])
    await world.ended(asked)
    async with reading(world, last) as reader:
        assert await reader.types(2) == [(asked, "approval.decided"), (asked, "execution.finished")]
        last = reader.last
    async with reading(world, last) as reader:
        again = (await world.execute("note", params={"text": "x"})).json["id"]
        assert await reader.types(1) == [(again, "execution.finished")]


async def test_an_event_is_as_webhooks_carry_it_and_tells_no_more(world: Kit) -> None:
    async with reading(world) as reader:
        asked = (await world.execute("note", params={"text": "secret words"}, reason="hush")).json["id"]
        event = await reader.event()
    assert (event["type"], event["data"]["execution"]) == ("execution.paused", asked)
    assert event["data"]["action"] == "mailhub.note"
    assert event["data"]["status"] == "paused"
    for word in ("secret", "hush", "alice", "@", "http"):
        assert word not in json.dumps(event)


async def test_another_agents_are_not_told(world: Kit) -> None:
    async with reading(world, token=OTHER) as other, reading(world) as reader:
        mine = (await world.execute("note", params={"text": "x"})).json["id"]
        theirs = await world.execute("list_messages", token=OTHER)
        assert await reader.types(1) == [(mine, "execution.finished")]
        assert (await other.types(1))[0][0] == theirs.json["id"]
        last = reader.last
    async with reading(world, last, token=OTHER) as other:
        again = await world.execute("list_messages", token=OTHER, user="alice@example.com", expires_in=120)
        assert again.json.get("joined") or (await other.types(1))[0][0] == again.json["id"]
    async with reading(world, "0", token=OTHER) as other:
        assert (await other.types(1))[0][0] == theirs.json["id"]


async def test_what_happened_over_a_restart_is_told(tmp_path: Path) -> None:
    async with kit(tmp_path, policies=POLICIES, config=CONFIG) as world:
        async with world.running():
            await world.connected()
            async with reading(world) as reader:
                first = (await world.execute("note", params={"text": "x"})).json["id"]
                assert await reader.types(1) == [(first, "execution.finished")]
                last = reader.last
            second = (await world.execute("note", params={"text": "a"})).json["id"]
        async with world.running(), reading(world, last) as reader:
            assert await reader.types(2) == [(second, "execution.paused"), (second, "approval.requested")]
            third = (await world.execute("note", params={"text": "x"})).json["id"]
            assert await reader.types(1) == [(third, "execution.finished")]


async def test_either_replica_tells_what_both_do(pair: tuple[Kit, Kit]) -> None:
    one, two = pair
    wanted: set[str] = set()
    found: list[str] = []

    async def call(world: Kit, count: int) -> None:
        for _ in range(count):
            wanted.add((await world.execute("note", params={"text": "x"})).json["id"])

    async with reading(one) as reader:
        last = reader.last
    calls = asyncio.gather(call(one, 25), call(two, 25))
    for turn in range(8):
        async with reading(pair[turn % 2], last) as reader:
            found += [name for name, _ in await reader.types(5)]
            last = reader.last
    await calls
    async with reading(two, last) as reader:
        while set(found) != wanted:
            found += [name for name, _ in await reader.types(1)]
    assert len(found) == len(wanted)


async def test_a_stopped_agents_stream_ends(world: Kit) -> None:
    async with reading(world) as reader:
        await world.call("POST", "/admin/agents/mailbot/suspend", {}, token=ADMIN)
        await reader.ended()


async def test_a_stream_ends_with_the_service(world: Kit) -> None:
    async with reading(world) as reader:
        assert world.service is not None
        world.service.engine.own.waits.end()
        await reader.ended()


async def test_a_quiet_stream_shows_that_it_lives_and_where_it_stands(
    world: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    async with reading(world) as reader:
        assert set(await reader.block()) == {"id"}
        last = reader.last
    done = (await world.execute("note", params={"text": "x"})).json["id"]
    async with reading(world, last) as reader:
        assert await reader.types(1) == [(done, "execution.finished")]


async def test_streams_are_counted_together(world: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PER_AGENT", 1)
    asked = (await world.execute("note", params={"text": "a"})).json["id"]
    async with reading(world):
        for path in ("/events", f"/executions/{asked}/events"):
            refused = await world.call("GET", path)
            assert (refused.status, refused.json["code"]) == (429, "too_many_streams")
            assert refused.headers["Retry-After"]
        async with reading(world, token=OTHER):
            pass


@pytest.mark.parametrize("last", ["x", "l-532.510062", "1.x-1", "-1", "9" * 16, "1,2"])
async def test_an_id_that_is_none_is_refused(world: Kit, last: str) -> None:
    asked = (await world.execute("note", params={"text": "a"})).json["id"]
    for path in ("/events", f"/executions/{asked}/events"):
        refused = await world.call("GET", path, Last_Event_ID=last)
        assert (refused.status, refused.json["code"]) == (400, "bad_query"), path
    assert (await world.call("GET", "/events?status=paused")).json["code"] == "unknown_field"


async def test_a_reader_that_falls_behind_is_given_up_and_may_come_back(
    world: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jit_auth.engine.tail.MOST_BEHIND", 0)
    async with reading(world) as reader:
        last = reader.last
        done = (await world.execute("note", params={"text": "x"})).json["id"]
        await reader.ended()
    async with reading(world, last) as reader:
        assert await reader.types(1) == [(done, "execution.finished")]
