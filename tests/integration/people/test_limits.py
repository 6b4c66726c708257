"""What wears nobody down, what is decided together, and who is asked of unknown outcomes: on a whole service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.smtp import MailServer, mail_server
from tests.integration.people.conftest import POLICIES, links
from tests.integration.service.kit import Kit, kit


async def later(check: Any) -> None:
    """Until `check()` holds."""
    for _ in range(750):
        if check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


def mails(server: MailServer, person: str) -> list[Any]:
    return [mail.message for mail in server.inbox(person)]


def config(server: MailServer, more: str = "") -> str:
    return f'[channels.email]\nsmtp_url = "smtp://127.0.0.1:{server.port}"\nfrom = "approvals@example.com"\n{more}'


async def test_several_are_decided_together_or_none_is(world: Kit) -> None:
    asked = [await world.execute("note", params={"text": f"n{number}"}) for number in range(3)]
    ids = [answer.json["waiting_for"][0]["id"] for answer in asked]
    url = (await links(world, asked[0].json["id"]))["ana@example.com"]
    digests = {answer.json["waiting_for"][0]["id"]: answer.json["digest"] for answer in asked}
    await world.call("POST", f"/executions/{asked[2].json['id']}/cancel")

    async def post(chosen: list[str], **wrong: str) -> Any:
        items = [{"id": one, "decision": "approve", "digest": wrong.get(one, digests[one])} for one in chosen]
        async with world.session.post(f"{url}/all", json={"decisions": items}) as reply:
            return reply.status, await reply.json(content_type=None)

    status, told = await post(ids)
    assert status == 409, told
    assert [one["id"] for one in told["stale"]] == [ids[2]]
    status, told = await post(ids[:2], **{ids[0]: "sha256:" + "0" * 64})
    assert (status, [one["id"] for one in told["stale"]]) == (409, [ids[0]])
    for answer in asked[:2]:
        assert (await world.call("GET", f"/executions/{answer.json['id']}")).json["status"] == "paused"
    status, told = await post(ids[:2])
    assert status == 200, told
    for answer in asked[:2]:
        assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
        assert world.service is not None
        rows = [row async for row in world.service.store.audit.rows(execution=answer.json["id"])]
        assert sum(fact["do"] == "vote" for row in rows for fact in row.what) == 1
    assert world.service is not None
    assert (await world.service.store.audit.verify()).breaks == ()


async def test_people_are_asked_what_became_of_a_lost_call(world: Kit) -> None:
    world.mail.faults = ["hang-up"]
    answer = await world.execute("note", params={"text": "x"})
    assert answer.json["status"] == "unknown"
    await later(lambda: sum(line.startswith("resolve unk_") for line in world.printed) == 3)
    lines = {line.split()[2]: line.split()[3] for line in world.printed if line.startswith("resolve")}
    assert set(lines) == {"ana@example.com", "bo@example.com", "cy@example.com"}  # never alice, whose call it is
    async with world.session.get(lines["bo@example.com"]) as page:
        assert page.status == 200
        text = await page.text()
        assert "unknown" in text.lower() or "lost" in text.lower()
    body = {"outcome": "succeeded", "note": "It is in the outbox"}
    async with world.session.post(lines["bo@example.com"], json=body) as reply:
        told = await reply.json(content_type=None)
        assert (reply.status, told["status"]) == (200, "succeeded"), told
    async with world.session.post(lines["ana@example.com"], json=body | {"outcome": "failed"}) as reply:
        assert reply.status == 409
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"


async def test_beyond_its_limit_an_agent_opens_nothing_more(tmp_path: Path) -> None:
    async with mail_server() as server:
        text = config(server, "[limits]\nopen_per_agent = 2\n")
        async with kit(tmp_path, policies=POLICIES, config=text) as world, world.running():
            await world.connected()
            first = await world.execute("note", params={"text": "n1"})
            assert first.status == 202
            assert (await world.execute("note", params={"text": "n2"})).status == 202
            third = await world.execute("note", params={"text": "n3"}, key="k3")
            assert (third.status, third.json["code"]) == (429, "too_many_open")
            assert third.headers["Retry-After"]
            again = await world.execute("note", params={"text": "n1"})
            assert (again.status, again.json["id"]) == (202, first.json["id"])  # it is no more
            assert (await world.execute("list_messages")).status == 200  # nobody is asked for that
            await world.call("POST", f"/executions/{first.json['id']}/cancel")
            assert (await world.execute("note", params={"text": "n3"}, key="k3")).status == 202


async def test_calls_that_come_together_are_within_the_limit_too(tmp_path: Path) -> None:
    """Each is judged before any of them is written."""
    async with mail_server() as server:
        text = config(server, "[limits]\nopen_per_agent = 3\n")
        async with kit(tmp_path, policies=POLICIES, config=text) as world, world.running():
            await world.connected()
            calls = [{"text": f"n{number}"} for number in range(20)]
            answers = await asyncio.gather(*(world.execute("note", params=each) for each in calls))
            assert 1 <= sum(answer.status == 202 for answer in answers) <= 3
            assert {answer.json["code"] for answer in answers if answer.status == 429} == {"too_many_open"}
            for answer in answers:
                if answer.status == 202:
                    await world.call("POST", f"/executions/{answer.json['id']}/cancel")
            equal = await asyncio.gather(*(world.execute("note", params={"text": "e"}) for _ in range(10)))
            assert {answer.status for answer in equal} == {202}
            assert len({answer.json["id"] for answer in equal}) == 1, "equal ones are one"


async def test_more_than_so_many_an_hour_are_gathered_into_one_message(tmp_path: Path) -> None:
    async with mail_server() as server:
        text = config(server, "[limits]\nasks_per_person_hour = 2\n")
        async with kit(tmp_path, policies=POLICIES, config=text) as world, world.running():
            await world.connected()
            for number in range(2):
                await world.execute("note", params={"text": f"n{number}"})
            await later(lambda: len(mails(server, "ana@example.com")) == 2)
            last = [await world.execute("note", params={"text": f"m{number}"}) for number in range(4)]
            assert world.service is not None
            for _ in range(3):
                await world.service.worker.turn()
            assert len(mails(server, "ana@example.com")) == 2
            world.clock.offset += 11_000
            world.service.worker.wake()
            await later(lambda: len(mails(server, "ana@example.com")) == 3)
            gathered = mails(server, "ana@example.com")[-1]
            body = gathered.get_body(("plain",)).get_content()
            assert "m3" in body or "Leave a note" in body
            assert (await world.call("GET", f"/executions/{last[3].json['id']}")).json["status"] == "paused"


@pytest.mark.parametrize("again", [False, True])
async def test_a_consent_that_is_needed_reaches_the_user_once(tmp_path: Path, again: bool) -> None:
    async with mail_server() as server:
        users = '[users]\nverify = "none"\nnotify = ["email"]\n'
        async with kit(tmp_path, policies=POLICIES, config=config(server), users=users) as world, world.running():
            answer = await world.execute("list_messages")
            assert answer.status == 202
            await later(lambda: len(mails(server, "alice@example.com")) == 1)
            body = mails(server, "alice@example.com")[0].get_body(("plain",)).get_content()
            assert answer.json["waiting_for"][0]["url"] in body
            if again:
                await world.execute("list_messages")  # joins
            await world.connect(answer)
            assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
            assert len(mails(server, "alice@example.com")) == 1
