"""Decisions by mailed links: forged, replayed, late, double, a stranger's, a removed member's, the requester's own."""

from __future__ import annotations

import pytest

from jit_auth.core.links import row_of
from jit_auth.core.links import ticket as make_ticket
from tests.fakes.smtp import MailServer
from tests.integration.mail.service import ALICE, ANA, BO, LINK, SEND, Mailed, about, asked, until

GROUPS = 'groups = ["finance"]'


async def paused(world: Mailed, execution: str) -> bool:
    return bool((await world.call("GET", f"/executions/{execution}")).json["status"] == "paused")


async def test_a_link_that_was_tampered_with_decides_nothing(world: Mailed, server: MailServer) -> None:
    await world.connected()
    call = (await world.execute("send_message", params=SEND)).json["id"]
    link = await asked(world, server, ANA)
    base, _, whole = link.rpartition("/")
    named = row_of(whole)
    assert named is not None
    flipped = whole[:-3] + ("A" if whole[-3] != "A" else "B") + whole[-2:]
    own = make_ticket(b"x" * 32, "approval", named[0], ANA, 2**50)
    for ticket in (flipped, own, whole[:-1], whole + "A", whole.lower(), named[0]):
        assert (await world.decide(f"{base}/{ticket}")).status in (404, 401)
        assert await paused(world, call)
    assert (await world.decide(link)).status == 200


async def test_a_link_decides_once_whoever_repeats_it(world: Mailed, server: MailServer) -> None:
    await world.connected()
    call = (await world.execute("send_message", params=SEND)).json["id"]
    ana, bo = await asked(world, server, ANA), await asked(world, server, BO)
    assert (await world.decide(ana, "deny")).status == 200
    for link, decision in ((ana, "deny"), (ana, "approve"), (bo, "approve")):
        again = await world.decide(link, decision)
        assert (again.status, again.json["code"]) == (409, "already_decided")
    assert (await world.ended(call))["status"] == "denied"
    assert not any("subject" in message for message in world.mail.messages)


async def test_a_link_that_came_too_late_decides_nothing(world: Mailed, server: MailServer) -> None:
    await world.connected()
    call = (await world.execute("send_message", params=SEND)).json["id"]
    link = await asked(world, server, ANA)
    world.pass_time(4 * 3_600_000 + 1000)
    assert (await world.decide(link)).status == 410
    assert (await world.ended(call))["status"] == "expired"
    (end,) = await until(lambda: about(server, ANA, "This request is over"))
    assert "Time ran out" in end.text
    assert LINK.findall(end.text) == []


async def test_a_member_who_was_removed_decides_nothing(resting: Mailed, server: MailServer) -> None:
    async with resting.running():
        await resting.connected()
        call = (await resting.execute("send_message", params=SEND)).json["id"]
        bo = await asked(resting, server, BO)
    head, entry, rest = resting.config.partition('[people."bo@example.com"]')
    resting.config = head + entry + rest.replace(GROUPS, "", 1)
    resting.write()
    async with resting.running():
        refused = await resting.decide(bo)
        assert refused.status in (403, 404, 409, 410)
        assert await paused(resting, call)


async def test_the_requester_is_not_asked_though_a_member(resting: Mailed, server: MailServer) -> None:
    resting.config += '\n[people."carl@example.com"]\ngroups = ["finance"]\n'
    resting.write()
    async with resting.running():
        await resting.connected()
        answer = await resting.execute("send_message", params=SEND, user="carl@example.com")
        await asked(resting, server, ANA)
        await asked(resting, server, BO)
        assert about(server, "carl@example.com", "waits for your decision") == []
        assert answer.json["status"] == "paused"


async def test_a_strangers_look_and_a_scanners_visits_decide_nothing(world: Mailed, server: MailServer) -> None:
    await world.connected()
    call = (await world.execute("send_message", params=SEND)).json["id"]
    link = await asked(world, server, ANA)
    for method in ("GET", "HEAD"):
        for _ in range(5):
            async with world.session.request(method, link, headers={"Purpose": "prefetch"}) as reply:
                await reply.read()
    async with world.session.post(
        link, data={"decision": "approve"}, headers={"Origin": "http://evil.example"}
    ) as reply:
        assert reply.status == 403
    assert await paused(world, call)
    assert (await world.decide(link)).status == 200


@pytest.mark.parametrize("times", [1, 3])
async def test_a_service_killed_before_it_knew_sends_the_same_mail_again(
    resting: Mailed, server: MailServer, times: int
) -> None:
    """The server takes the mail and dies without an answer, and the service is stopped: a mailbox keeps one mail."""
    async with resting.running():
        await resting.connected()
    server.mails.clear()
    server.dies = 2 * times
    for _ in range(times):
        async with resting.running():
            server.took.clear()
            await resting.execute("send_message", params=SEND, key="one")
            resting.pass_time(120_000)
            await server.took.wait()
    async with resting.running():
        await until(lambda: server.dies == 0)
        resting.pass_time(120_000)
        await until(lambda: all(len(server.inbox(person)) == 1 for person in (ANA, BO)))
        assert server.inbox(ALICE) == []
        assert len({str(mail.message["Message-ID"]) for mail in server.mails}) == 2
