"""The undo of a consent: what it ends, for how long it is offered, and who cannot."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.core.links import ticket
from tests.fakes.browser import Browser, Page
from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import OTHER, Kit, kit

ALICE = "alice@example.com"
HOUR = 3_600_000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path) as found, found.running():
        yield found


def link(execution: Any) -> str:
    (found,) = [item["url"] for item in execution["waiting_for"] if item["kind"] == "consent"]
    return str(found)


def undo_of(page: Page) -> str:
    """Where the last page's undo is posted."""
    return page.form("Undo").action


async def connected(world: Kit, browser: Browser, **how: Any) -> Page:
    """The last page of a consent for mailbot."""
    answer = await world.execute("list_messages")
    page = await browser.connect(link(answer.json), **how)
    await world.ended(answer.json["id"])
    return page


async def holds(world: Kit) -> list[str]:
    """The agents that may use an account of Alice's."""
    assert world.service is not None
    _, consents = await world.service.store.grants(ALICE, "mailhub")
    return sorted(consent.agent for consent in consents)


async def revoked_at_provider(world: Kit, times: int) -> None:
    for _ in range(500):
        if len(set(world.provider.revoked)) >= times:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{world.provider.revoked}")


async def post(world: Kit, url: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    told = {"Accept": "application/json", "Origin": world.url} if headers is None else headers
    async with world.session.post(url, headers=told) as reply:
        text = await reply.text()
        found = re.search(r'"code":"(\w+)"|Code <code>(\w+)</code>', text)
        return reply.status, (found[1] or found[2]) if found else ""


async def test_the_last_page_names_user_account_and_agent_and_undoes(world: Kit) -> None:
    async with Browser() as alice:
        page = await connected(world, alice)
        for words in (ALICE, "mailbot", "MailHub", "alice", "For an hour you can undo it"):
            assert words in page.text
        page = await alice.submit("Undo")
        assert page.status == 200
        assert "mailbot may no longer use MailHub for you" in page.text
        assert "is told to end it too" in page.text
    assert await holds(world) == []
    await revoked_at_provider(world, 2)
    again = await world.execute("list_messages")
    assert again.status == 202
    async with Browser() as alice:
        await alice.connect(link(again.json))
    assert (await world.ended(again.json["id"]))["status"] == "succeeded"


async def test_it_is_on_record(world: Kit) -> None:
    async with Browser() as alice:
        await connected(world, alice)
        await alice.submit("Undo")
    assert world.service is not None
    entries = await world.service.store.audit.tail(50)
    (row,) = [each for each in entries if any(fact["do"] == "consent.undone" for fact in each.what)]
    assert (row.actor, row.agent) == (f"person:{ALICE}", "mailbot")
    assert [fact["do"] for fact in row.what] == ["consent.undone", "grant.revoked"]
    assert (await world.service.store.audit.verify()).breaks == ()


async def test_where_another_agent_uses_the_account_it_stays(world: Kit) -> None:
    async with Browser() as alice:
        first = undo_of(await connected(world, alice))
        other = await world.execute("list_messages", token=OTHER)
        await alice.get(link(other.json))
        page = await alice.submit("Allow")
        second = undo_of(page)
        page = await alice.get(first)
        assert "the access itself ends" not in page.text
        page = await alice.submit("Undo")
        assert "Other agents still use this account" in page.text
        assert await holds(world) == ["otherbot"]
        assert world.provider.revoked == []
        assert (await world.execute("list_messages")).status == 202
        assert (await world.execute("list_messages", token=OTHER)).status == 200
        await alice.get(second)
        page = await alice.submit("Undo")
        assert "No other agent uses this account" in page.text
    assert await holds(world) == []
    await revoked_at_provider(world, 2)


async def test_calls_that_wait_are_asked_again(world: Kit) -> None:
    """What was let through the consent, and waits for an approver, does not leave by it."""
    await world.connected()
    waiting = await world.execute("send_message", params={"to": ["x@y.example"], "subject": "hi", "body": "b"})
    async with Browser() as alice:
        assert world.service is not None
        (grant,), (consent,) = await world.service.store.grants(ALICE, "mailhub")
        mark = world.service.engine.consents.undo.ticket(grant.id, consent.agent, ALICE, consent.at)
        await alice.get(f"{world.url}/connect/{mark}/undo")
        await alice.submit("Undo")
    sent = world.mail.counts["POST"]
    await world.decide(await world.approval_link(waiting.json["id"]))
    found = (await world.call("GET", f"/executions/{waiting.json['id']}?wait=1")).json
    assert found["status"] == "paused"
    assert [item["kind"] for item in found["waiting_for"]] == ["consent"]
    assert world.mail.counts["POST"] == sent


async def test_what_was_decided_just_before_does_not_leave_after_it(world: Kit) -> None:
    """The account stays for others: nothing is stopped by it, and what rests on the consent is decided anew."""
    async with Browser() as alice:
        undo = undo_of(await connected(world, alice))
        other = await world.execute("list_messages", token=OTHER)
        await alice.get(link(other.json))
        await alice.submit("Allow")
        assert (await world.ended(other.json["id"], token=OTHER))["status"] == "succeeded"
        assert world.service is not None
        meddler = Meddler(world.service.store)

        async def undone() -> None:
            await alice.get(undo)
            await alice.submit("Undo")

        meddler.do("before", "send", undone)
        read = world.mail.counts["GET"]
        late = await world.execute("list_messages")
    assert await holds(world) == ["otherbot"]
    assert (late.status, world.mail.counts["GET"]) == (202, read)
    assert (await world.execute("list_messages", token=OTHER)).status == 200


class TestNotAccepted:
    """The attack table. After each the agent still has what it was given."""

    @pytest.fixture
    async def undo(self, world: Kit) -> AsyncIterator[str]:
        async with Browser() as alice:
            yield undo_of(await connected(world, alice))
        assert await holds(world) == ["mailbot"]
        assert world.provider.revoked == []

    async def test_a_get(self, world: Kit, undo: str) -> None:
        async with Browser() as scanner:
            for _ in range(3):
                page = await scanner.get(undo, **{"Sec-Purpose": "prefetch"})
                assert page.status == 200

    @pytest.mark.parametrize("headers", [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
        {"Referer": "https://evil.example/"},
    ])  # fmt: skip
    async def test_a_post_of_another_site(self, world: Kit, undo: str, headers: dict[str, str]) -> None:
        assert await post(world, undo, headers) == (403, "foreign_origin")

    async def test_after_an_hour(self, world: Kit, undo: str) -> None:
        world.clock.offset += HOUR
        assert (await post(world, undo))[0] == 410
        async with world.session.get(undo) as reply:
            assert reply.status == 410

    async def test_other_tickets(self, world: Kit, undo: str) -> None:
        """The consent's own link, one that was changed, and those of another purpose, agent, user or moment."""
        assert world.service is not None
        (grant,), (consent,) = await world.service.store.grants(ALICE, "mailhub")
        other = (await world.execute("note", params={"text": "x"})).json
        key = world.service.engine.consents.ticket_key
        made = [
            link(other).rpartition("/")[2],
            undo.split("/")[-2][:-1],
            undo.split("/")[-2].swapcase(),
            "jat_" + "A" * 80,
            "x",
            ticket(key, "consent", grant.id, f"mailbot/{ALICE}", consent.at + HOUR),
            ticket(key, "undo", grant.id, f"otherbot/{ALICE}", consent.at + HOUR),
            ticket(key, "undo", grant.id, "mailbot/ana@example.com", consent.at + HOUR),
            ticket(key, "undo", grant.id, ALICE, consent.at + HOUR),
            ticket(key, "undo", grant.id, f"mailbot/{ALICE}", consent.at + 2 * HOUR),
            ticket(b"k" * 32, "undo", grant.id, f"mailbot/{ALICE}", consent.at + HOUR),
        ]
        for mark in made:
            assert (await post(world, f"{world.url}/connect/{mark}/undo"))[0] == 404, mark

    async def test_the_undo_as_a_consent_link(self, world: Kit, undo: str) -> None:
        async with Browser() as browser:
            assert (await browser.get(undo.removesuffix("/undo"))).status == 404

    async def test_one_from_before_the_consent_was_given_anew(self, world: Kit, undo: str) -> None:
        world.clock.offset += 1000
        answer = await world.execute("note", params={"text": "x"})
        async with Browser() as alice:
            await alice.connect(link(answer.json))
        assert (await post(world, undo))[0] == 404

    async def test_with_fields_that_nobody_knows(self, world: Kit, undo: str) -> None:
        async with world.session.post(undo, data={"agent": "otherbot"}, headers={"Origin": world.url}) as reply:
            assert reply.status == 400


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_twice_and_at_once(tmp_path: Path, request: pytest.FixtureRequest, database: str) -> None:
    storage = "sqlite:///jit-auth.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, storage=storage) as world, world.running():
        await twice_and_at_once(world)


async def twice_and_at_once(world: Kit) -> None:
    async with Browser() as alice:
        undo = undo_of(await connected(world, alice))
    answers = await asyncio.gather(*(post(world, undo) for _ in range(4)))
    assert sorted(status for status, _ in answers) == [200, 404, 404, 404]
    await revoked_at_provider(world, 2)
    assert len(world.provider.revoked) == 2


async def test_the_database_holds_no_undo_ticket(world: Kit) -> None:
    async with Browser() as alice:
        undo = undo_of(await connected(world, alice)).split("/")[-2]
    stored = b"".join(path.read_bytes() for path in world.folder.glob("jit-auth.db*"))
    assert undo.encode() not in stored
