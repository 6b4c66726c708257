"""Two replicas on one PostgreSQL: neither takes the other's work away, and what one learns the other comes to know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.integration.attacks.meddler import Meddler
from tests.integration.attacks.upstream import CREATED, Upstream
from tests.integration.service.kit import AGENT, Kit, free_port, kit
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture
async def pair(tmp_path: Path, postgres_url: str) -> AsyncIterator[tuple[Kit, Kit, Upstream]]:
    """Two services on one database; alice has connected her account through the first."""
    async with kit(tmp_path, storage=postgres_url) as one, Upstream().running() as upstream:
        one.mail.url = upstream.url
        one.write()
        folder = tmp_path / "two"
        folder.mkdir()
        two = Kit(folder, one.provider, one.mail, one.session, storage=postgres_url, port=free_port(), clock=one.clock)
        two.write()
        async with one.running(), two.running():
            await one.connected()
            upstream.got.clear()
            yield one, two, upstream


async def status(world: Kit, execution_id: str) -> Any:
    return (await world.call("GET", f"/executions/{execution_id}")).json


async def in_flight(world: Kit, upstream: Upstream, action: str) -> tuple[str, asyncio.Event]:
    """A call that has reached the upstream, which answers once the event is set."""
    gate, reached = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await gate.wait()

    upstream.scripts = [[hold, CREATED]]
    answer = await world.execute(action, params={"text": "x"}, prefer="wait=0")
    await reached.wait()
    return answer.json["id"], gate


@pytest.mark.parametrize("action", ["note", "note_again"])
async def test_a_worker_that_was_late_takes_no_live_call_away(pair: tuple[Kit, Kit, Upstream], action: str) -> None:
    """Both workers saw the row due; the first has sent it by the time the second looks."""
    one, two, upstream = pair
    execution_id, gate = await in_flight(one, upstream, action)
    assert two.service is not None
    await two.service.worker._advance(execution_id)
    assert (await status(one, execution_id))["status"] == "executing"
    gate.set()
    done = await one.ended(execution_id)
    assert done["status"] == "succeeded", done
    assert len(upstream.got) == 1


async def test_between_two_attempts_the_other_replica_may_take_over_but_not_both(
    pair: tuple[Kit, Kit, Upstream],
) -> None:
    """After a refused credential the row is nobody's for a moment: one of two goes on, once."""
    one, two, upstream = pair
    assert one.service is not None
    assert two.service is not None
    refused = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n'
    gate, reached = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await gate.wait()

    upstream.scripts = [[refused], [hold, CREATED]]
    meddler = Meddler(one.service.store)

    other = two.service.worker

    async def taken() -> None:
        asyncio.get_running_loop().create_task(other._advance(answer_id[0]))
        await reached.wait()

    answer_id: list[str] = []
    meddler.do("after", "attempt", taken)
    answer = await one.execute("note_again", params={"text": "x"}, prefer="wait=0")
    answer_id.append(answer.json["id"])
    await reached.wait()
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert (await status(one, answer_id[0]))["status"] == "executing"
    gate.set()
    done = await one.ended(answer_id[0])
    assert done["status"] == "succeeded", done
    assert len(upstream.got) == 2


async def test_a_vote_at_the_other_replica_sends_once(pair: tuple[Kit, Kit, Upstream]) -> None:
    one, two, upstream = pair
    answer = await one.execute("send_message", params={"to": ["x@y.example"], "subject": "hi"})
    link = None
    for _ in range(300):
        for each in (one, two):
            for line in each.printed:
                if line.split()[1] == answer.json["waiting_for"][0]["id"]:
                    link = line.split()[3]
        if link:
            break
        await asyncio.sleep(0.01)
    assert link is not None
    ticket = link.rpartition("/")[2]
    answers = await asyncio.gather(*(each.decide(f"{each.url}/approvals/{ticket}") for each in (one, two, one, two)))
    assert sorted(each.status for each in answers) == [200, 409, 409, 409]
    assert (await one.ended(answer.json["id"]))["status"] == "succeeded"
    assert len(upstream.got) == 1


async def test_one_key_at_two_replicas_is_one_call(pair: tuple[Kit, Kit, Upstream]) -> None:
    one, two, upstream = pair
    answers = await asyncio.gather(*(each.execute("note", params={"text": "x"}, key="k") for each in (one, two) * 6))
    assert len({each.json["id"] for each in answers}) == 1
    assert len(upstream.got) == 1


async def test_a_second_account_at_the_other_replica_is_no_silent_choice(pair: tuple[Kit, Kit, Upstream]) -> None:
    """Never "the first connected account": the other replica has to learn that there are two by now."""
    one, two, upstream = pair
    assert (await two.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    refused = b'HTTP/1.1 403 No\r\nWWW-Authenticate: Bearer error="insufficient_scope"\r\nContent-Length: 0\r\n\r\n'
    upstream.scripts = [[refused]]
    answer = await one.execute("note", params={"text": "x"})
    await one.connect(answer, user="bob")
    found = (await one.execute("note", params={"text": "y"})).json
    assert found.get("code") == "ambiguous_account", found
    assert two.service is not None
    await two.service.worker._renew()
    upstream.got.clear()
    other = await two.execute("note", params={"text": "y"})
    assert (other.status, other.json["code"]) == (422, "ambiguous_account"), other.json
    assert upstream.got == []


async def test_a_stop_at_one_replica_holds_at_the_other_at_once(pair: tuple[Kit, Kit, Upstream]) -> None:
    one, two, upstream = pair
    assert one.service is not None
    assert (await two.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    upstream.got.clear()
    await Meddler(one.service.store).stop("agent", "mailbot")
    answer = await two.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert upstream.got == []


@pytest.mark.parametrize("path", ["/executions/%00", "/executions?cursor=%00", "/actions/%00", "/approvals/jat_%00"])
async def test_what_a_database_cannot_hold_is_not_found(pair: tuple[Kit, Kit, Upstream], path: str) -> None:
    one, _, _ = pair
    headers = {"Authorization": f"Bearer {AGENT}", "Accept": "application/json"}
    async with one.session.get(URL(one.url + path, encoded=True), headers=headers) as reply:
        assert reply.status in (400, 404)
