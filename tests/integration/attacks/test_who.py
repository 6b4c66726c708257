"""Who decides, and on what: one person by several names, the requester, a page that no longer shows what was asked."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from tests.integration.service.kit import POLICIES, Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
BO = """
[people."bo@example.com"]
aliases = ["b@example.com"]
"""


def rule(name: str, who: str) -> str:
    return f"""
[[rule]]
id = "{name}"
match = ["mailhub.note"]
effect = "require_approval"
approval = {{ from = ["{who}"] }}
"""


@pytest.fixture
def asking(resting: Kit) -> Kit:
    resting.config = BO
    return resting


async def links(world: Kit, ask: str, count: int) -> list[str]:
    found: list[str] = []
    for _ in range(300):
        found = [line.split()[3] for line in world.printed if line.split()[1] == ask]
        if len(found) >= count:
            break
        await asyncio.sleep(0.01)
    return found


async def test_one_person_by_two_names_is_one_person_and_one_vote(asking: Kit) -> None:
    asking.policies = POLICIES + rule("one", "user:bo@example.com") + rule("two", "user:B@example.com")
    asking.write()
    async with asking.running() as world:
        answer = await world.execute("note", params={"text": "x"})
        (item,) = [each for each in answer.json["waiting_for"] if each["kind"] == "approval"]
        assert (item["from"], item["need"]) == (["user:bo@example.com"], 1)
        (link,) = await links(world, item["id"], 1)
        assert (await world.decide(link)).status == 200
        again = await world.decide(link)
        assert (again.status, again.json["code"]) == (409, "already_decided")


async def test_a_requester_by_another_name_is_the_requester(asking: Kit) -> None:
    """Two pairs of eyes are wanted, the user's own and bo's: where bo is the user there is one pair."""
    asking.policies = POLICIES + rule("own", "requester") + rule("other", "user:bo@example.com")
    asking.write()
    async with asking.running() as world:
        answer = await world.execute("note", params={"text": "x"}, user="b@EXAMPLE.com")
        assert (answer.status, answer.json["code"]) == (403, "no_approver")
        assert answer.json["execution"]["user"] == "bo@example.com"


async def two_users(world: Kit) -> None:
    """Alice and Bob have connected accounts of their own for the same agent."""
    for user in ("alice", "bob"):
        answer = await world.execute("note", params={"text": user}, user=f"{user}@example.com")
        await world.connect(answer, user=user)
        await world.ended(answer.json["id"])


async def test_calls_go_with_their_own_users_token(resting: Kit) -> None:
    """Many at once, over refreshes and a restart."""
    async with resting.running() as world:
        await two_users(world)
    for late in (0, 3_600_001):
        resting.clock.offset += late
        async with resting.running() as world:
            notes = ((user, f"{user}@example.com") for user in ("alice", "bob") * 8)
            calls = (world.execute("note", params={"text": name}, user=user) for name, user in notes)
            assert {each.json["status"] for each in await asyncio.gather(*calls)} == {"succeeded"}
    assert len(resting.mail.messages) == 34
    assert [each for each in resting.mail.messages if each["of"] != each["text"]] == []


async def test_a_token_that_cannot_be_opened_is_replaced_by_no_other(resting: Kit) -> None:
    """Somebody who writes to the database gives Bob Alice's token: his calls fail, and nothing is sent."""
    async with resting.running() as world:
        await two_users(world)
    with sqlite3.connect(resting.folder / "jit-auth.db") as beside:
        (alices, _), (_, bobs) = beside.execute('SELECT token, id FROM "grant" ORDER BY id')
        beside.execute('UPDATE "grant" SET token = ? WHERE id = ?', (alices, bobs))
    resting.mail.counts.clear()
    async with resting.running() as world:
        answer = await world.execute("note", params={"text": "x"}, user="bob@example.com", prefer="wait=0")
        for _ in range(100):
            found = (await world.call("GET", f"/executions/{answer.json['id']}")).json
            if found["status"] != "executing":
                break
            world.clock.offset += 1000
            assert world.service is not None
            world.service.worker.wake()
            await asyncio.sleep(0.01)
        assert (found["status"], found["error"]["code"]) == ("failed", "provider_unavailable")
        assert resting.mail.counts["POST"] == 0
        assert (await world.execute("note", params={"text": "alice"})).json["status"] == "succeeded"


async def test_a_page_never_shows_another_request_than_its_digest_stands_for(resting: Kit) -> None:
    async with resting.running() as world:
        answer = await world.execute("send_message", params=SEND)
        link = await world.approval_link(answer.json["id"])
    file = resting.folder / "connectors" / "mailhub" / "connector.toml"
    file.write_text(file.read_text().replace('path = "/messages"', 'path = "/elsewhere"'))
    async with resting.running() as world:
        async with world.session.get(link, headers={"Accept": "application/json"}) as page:
            assert (page.status, (await page.json(content_type=None))["code"]) == (409, "superseded")
        assert (await world.decide(link)).json["code"] == "superseded"
        for _ in range(200):
            anew = (await world.call("GET", f"/executions/{answer.json['id']}")).json
            if anew["digest"] != answer.json["digest"]:
                break
            await asyncio.sleep(0.01)
        (item,) = [each for each in anew["waiting_for"] if each["kind"] == "approval"]
        assert item["id"] not in str(answer.json)
        assert anew["digest"] != answer.json["digest"]
