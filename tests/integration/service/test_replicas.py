"""Two replicas on one database behave as one."""

from __future__ import annotations

import asyncio

from tests.integration.service.kit import POLICIES, Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
Pair = tuple[Kit, Kit]


async def test_what_one_asked_the_other_answers(replicas: Pair) -> None:
    one, two = replicas
    answer = await one.execute("send_message", params=SEND)
    link = (await one.approval_link(answer.json["id"])).replace(one.url, two.url)
    waiting = asyncio.create_task(one.call("GET", f"/executions/{answer.json['id']}?wait=20"))
    assert (await two.decide(link)).status == 200
    answer.json["waiting_for"][0]["url"] = answer.json["waiting_for"][0]["url"].replace(one.url, two.url)
    await two.connect(answer)
    assert (await waiting).json["status"] == "succeeded"
    assert one.mail.counts["POST"] == 1
    assert (await two.execute("list_messages")).status == 202
    assert (await one.execute("note", params={"text": "x"})).json["status"] == "succeeded"


async def test_each_line_is_printed_by_the_process_that_made_the_request(replicas: Pair) -> None:
    one, two = replicas
    answer = await one.execute("send_message", params=SEND)
    await one.approval_link(answer.json["id"])
    assert two.printed == []


async def test_a_key_is_one_execution_on_all(replicas: Pair) -> None:
    one, two = replicas
    await one.connected()
    before = one.mail.counts["POST"]
    calls = [kit.execute("note", params={"text": "x"}, key="k") for kit in (one, two) * 5]
    answers = await asyncio.gather(*calls)
    assert len({answer.json["id"] for answer in answers}) == 1
    assert one.mail.counts["POST"] == before + 1


async def test_24_callers_on_two_replicas_refresh_once(replicas: Pair) -> None:
    one, two = replicas
    await one.connected()
    one.clock.offset += 3_590_000
    answers = await asyncio.gather(*(kit.execute("list_messages") for kit in (one, two) * 12))
    assert {answer.json["status"] for answer in answers} == {"succeeded"}
    assert one.provider.counts["refresh_token"] == 1


async def test_a_replica_with_other_rules_accepts_and_pauses_and_sends_nothing(replicas: Pair) -> None:
    one, two = replicas
    await one.connected()
    before = one.mail.counts["POST"]
    newer = one.twin(one.folder.parent / "newer")
    newer.policies = POLICIES.replace("Mails leave the house", "Changed")
    newer.write()
    async with newer.running():
        for _ in range(200):
            async with one.session.get(one.url + "/readyz") as reply:
                told = (reply.status, await reply.text())
            if told[0] != 200:
                break
            await one.execute("delete_message", params={"id": "1"})
        assert told == (503, "stale_bundle")
        answer = await one.execute("note", params={"text": "x"})
        assert (answer.status, answer.json["code"]) == (503, "stale_bundle")
        assert one.mail.counts["POST"] == before
        assert (await one.execute("send_message", params=SEND)).status == 202
        assert (await newer.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    assert two.service is not None
