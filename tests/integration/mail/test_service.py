"""The whole service with mail: asked, decided and told by mail; the server ten minutes away; a person it refuses."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.smtp import MailServer
from tests.integration.mail.service import ALICE, ANA, BO, LINK, SEND, Mailed, about, asked, until


async def test_a_group_decides_by_mail_and_everybody_is_told_the_end(world: Mailed, server: MailServer) -> None:
    await world.connected()
    server.mails.clear()
    answer = await world.execute("send_message", params=SEND)
    ana, bo = await asked(world, server, ANA), await asked(world, server, BO)
    assert ana != bo
    assert server.inbox(ALICE) == []
    decided = await world.decide(bo)
    assert decided.status == 200
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
    late = await world.decide(ana)
    assert late.status == 409
    for person in (ANA, BO):
        (end,) = await until(lambda person=person: about(server, person, "This request is over"))
        assert "bo@example.com approved on" in end.text
        assert len(server.inbox(person)) == 2
    assert len(server.mails) == 4


async def test_the_user_is_mailed_once_about_a_consent(world: Mailed, server: MailServer) -> None:
    answer = await world.execute("list_messages")
    (mail,) = await until(lambda: about(server, ALICE, "mailbot asks for access to MailHub"))
    (link,) = LINK.findall(mail.text)
    assert link == answer.json["waiting_for"][0]["url"]
    await world.connect(answer)
    await world.ended(answer.json["id"])
    assert len(server.mails) == 1


async def test_after_ten_minutes_without_a_mail_server_every_request_arrives_once(
    world: Mailed, server: MailServer
) -> None:
    await world.connected()
    server.mails.clear()
    await server.stop()
    calls = [(await world.execute("send_message", params=SEND | {"subject": f"n{n}"})).json["id"] for n in range(5)]
    for _ in range(10):
        world.pass_time(60_000)
        await asyncio.sleep(0.05)
    assert server.mails == []
    await server.start()
    for person in (ANA, BO):
        async with asyncio.timeout(20):
            while len(server.inbox(person)) < len(calls):
                world.pass_time(1000)
                await asyncio.sleep(0.02)
    world.pass_time(60_000)
    await asyncio.sleep(0.3)
    assert len(server.mails) == 2 * len(calls)
    for n in range(len(calls)):
        assert len(about(server, ANA, f": n{n}")) == len(about(server, BO, f": n{n}")) == 1


async def test_a_person_whom_the_server_refuses_is_asked_by_the_next_channel(
    world: Mailed, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    await world.connected()
    server.for_address[ANA] = "550 5.1.1 No such user"
    answer = await world.execute("send_message", params=SEND)
    await asked(world, server, BO)
    await until(lambda: "550 5.1.1 No such user" in caplog.text)
    assert about(server, ANA, "") == []
    link = await world.approval_link(answer.json["id"])
    assert (await world.decide(link)).status == 200


async def test_a_reminder_goes_to_those_who_have_not_voted(world: Mailed, server: MailServer) -> None:
    await world.connected()
    server.mails.clear()
    await world.execute("send_message", params=SEND)
    first = await asked(world, server, ANA)
    await asked(world, server, BO)
    world.pass_time(3_601_000)
    (mail,) = await until(lambda: about(server, ANA, "Reminder: "))
    assert LINK.findall(mail.text) == [first]
    await until(lambda: about(server, BO, "Reminder: "))
    world.pass_time(1000)
    await asyncio.sleep(0.2)
    assert len(server.mails) == 4


async def test_a_request_that_runs_out_is_warned_of_once(world: Mailed, server: MailServer) -> None:
    await world.connected()
    call = await world.execute("send_message", params=SEND)
    await asked(world, server, ANA)
    await asked(world, server, BO)
    server.mails.clear()
    world.pass_time(3 * 3_600_000 + 46 * 60_000)
    (mail,) = await until(lambda: about(server, ANA, "This runs out soon"))
    await until(lambda: about(server, BO, "This runs out soon"))
    world.pass_time(60_000)
    await asyncio.sleep(0.2)
    assert len(server.mails) == 2  # the reminders that were due meanwhile are told by it
    assert mail.message["Subject"].startswith("Re: [test] High risk: ")
    assert (await world.call("GET", f"/executions/{call.json['id']}")).json["status"] == "paused"


async def test_no_link_stands_in_the_database_or_the_log(
    world: Mailed, server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "jit_auth")
    await world.connected()
    await world.execute("send_message", params=SEND)
    link = await asked(world, server, BO)
    ticket = link.rpartition("/")[2].encode()
    for path in world.folder.glob("jit-auth.db*"):
        assert ticket not in path.read_bytes()
    assert ticket.decode() not in caplog.text
