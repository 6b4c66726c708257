"""What an agent must not learn or reach: people, links that decide, others' executions, traces of our insides."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.operators.test_reload import edit, reload
from tests.integration.service.kit import ADMIN, AGENT, OTHER, POLICIES, Kit


@pytest.fixture
def asking(resting: Kit) -> Kit:
    resting.policies = POLICIES.replace(
        'match = ["mailhub.list_messages"]\neffect = "allow"',
        'match = ["mailhub.list_messages"]\neffect = "require_approval"\n'
        'approval = { from = ["user:ana@example.com"] }',
    )
    resting.write()
    return resting


async def test_an_agent_that_sees_no_people_is_told_roles_whatever_happens(asking: Kit) -> None:
    async with asking.running() as world:
        answer = await world.execute("list_messages", token=OTHER, reason="x")
        texts = [json.dumps(answer.json)]
        link = next(line.split()[3] for line in await printed(world) if line.split()[1] in texts[0])
        await world.decide(link, "deny", feedback="no")
        for path in (f"/executions/{answer.json['id']}", "/executions"):
            texts.append(json.dumps((await world.call("GET", path, token=OTHER)).json))
        done = (await world.call("GET", f"/executions/{answer.json['id']}", token=OTHER)).json
        assert (done["error"]["by"], done["error"]["feedback"]) == ("approver", "no")
        for text in texts:
            assert "ana" not in text.replace("analyse", "")
            assert "/approvals/" not in text


async def test_nobody_left_to_approve_is_told_without_names(asking: Kit) -> None:
    async with asking.running() as world:
        assert world.service is not None
        await Meddler(world.service.store).stop("user", "ana@example.com")
        await world.service.worker._renew()
        answer = await world.execute("list_messages", token=OTHER)
        assert (answer.status, answer.json["code"]) == (403, "no_approver")
        assert "ana@" not in json.dumps(answer.json)


async def test_a_consent_ticket_is_no_approval_and_the_other_way_round(world: Kit) -> None:
    answer = await world.execute("send_message", params={"to": ["x@y.example"], "subject": "hi"})
    consent = next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent")
    approval = await world.approval_link(answer.json["id"])
    assert (await world.decide(consent.replace("/connect/", "/approvals/"))).status == 404
    async with world.session.post(approval.replace("/approvals/", "/connect/"), json={}) as reply:
        assert reply.status == 404
    assert (await world.call("GET", f"/executions/{answer.json['id']}")).json["status"] == "paused"


async def test_others_executions_do_not_exist(ready: Kit) -> None:
    mine = (await ready.execute("list_messages")).json["id"]
    for method, path, body in (
        ("GET", f"/executions/{mine}", None), ("GET", f"/executions/{mine}?wait=1", None),
        ("POST", f"/executions/{mine}/cancel", None),
    ):  # fmt: skip
        answer = await ready.call(method, path, body, token=OTHER)
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert (await ready.call("POST", f"/executions/{mine}/resolve", {"outcome": "failed", "note": "x"})).status == 401
    assert (await ready.call("GET", f"/executions/{mine}", token=ADMIN)).status == 401
    page = (await ready.call("GET", "/executions?limit=1")).json
    if page["next"] is not None:
        answer = await ready.call("GET", f"/executions?cursor={page['next']}", token=OTHER)
        assert (answer.status, answer.json["code"]) == (400, "bad_query")


@pytest.mark.parametrize("query", ["state=x&code=y", "", "state=" + "a" * 43 + "&code=y"])
async def test_a_callback_that_belongs_to_nothing_is_refused_not_a_bad_gateway(world: Kit, query: str) -> None:
    async with world.session.get(f"{world.url}/oauth/callback/mailhub?{query}") as reply:
        assert 400 <= reply.status < 500


ODD = [b"\xff", b"\xed\xa0\x80", b"\xc3\xa9", b"a b", b'"', b"\x7f", b"*", b"..", b"%", b"%00", b"%ff", b"%2e%2e%2f"]


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_odd_bytes_anywhere_are_refused_and_never_a_fault_of_ours(
    world: Kit, odd: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    good = b"Bearer " + AGENT.encode()
    body = b'{"action":"mailhub.list_messages","user":"alice@example.com"}'
    heads = [
        b"GET /executions HTTP/1.1\r\nAuthorization: Bearer " + odd,
        b"GET /executions/" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /executions?status=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /executions?cursor=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /executions?user=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /actions/" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /approvals/jat_" + odd + b" HTTP/1.1",
        b"GET /connect/jat_" + odd + b" HTTP/1.1",
        b"GET /oauth/callback/mailhub?state=" + odd + b"&code=" + odd + b" HTTP/1.1\r\nCookie: jat_flow=" + odd,
        b"GET /oauth/callback/" + odd + b"?state=x HTTP/1.1",
        b"POST /execute HTTP/1.1\r\nAuthorization: " + good + b"\r\nIdempotency-Key: " + odd,
        b"POST /execute HTTP/1.1\r\nAuthorization: " + good + b"\r\nPrefer: wait=" + odd,
        b"POST /approvals/jat_x HTTP/1.1\r\nOrigin: " + odd,
        b"GET /healthz HTTP/1.1\r\nX: " + odd,
        b"GET /events HTTP/1.1\r\nAuthorization: " + good + b"\r\nLast-Event-ID: 0" + odd,
        b"GET /executions?task=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /actions?q=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /actions?format=" + odd + b"&cursor=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /connections?user=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"GET /connections?user=alice&cursor=" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"DELETE /connections/grt_" + odd + b" HTTP/1.1\r\nAuthorization: " + good,
        b"POST /executions/exe_" + odd + b"/claim HTTP/1.1\r\nAuthorization: " + good,
        b"POST /executions/exe_" + odd + b"/complete HTTP/1.1\r\nAuthorization: " + good,
        b"GET /executions/exe_" + odd + b"/events HTTP/1.1\r\nAuthorization: " + good,
    ]
    edit(world, "[agents.mailbot]\n", "[agents.mailbot]\nconnections = true\n")
    assert await reload(world)
    for head in heads:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        content = body if head.startswith(b"POST /execute") else b""
        writer.write(head + f"\r\nHost: 127.0.0.1:{world.port}\r\nConnection: close\r\n"
                     f"Content-Length: {len(content)}\r\n\r\n".encode() + content)  # fmt: skip
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        status = int(answer.split(b" ", 2)[1])
        assert status < 500, (head, answer[:400])
        assert b"Traceback" not in answer
        assert b'File "' not in answer


async def printed(world: Kit) -> list[str]:
    for _ in range(200):
        if world.printed:
            return world.printed
        await asyncio.sleep(0.01)
    raise LookupError("nothing was printed")
