"""What is refused at the door, and how: every refusal a problem with code, sentence and hint, and no trace left."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from jit_auth.model import Audit, Raise, Stop, Unit
from tests.integration.service.kit import ADMIN, AGENT, OTHER, Kit

NOTE = {"action": "mailhub.note", "user": "alice@example.com", "params": {"text": "x"}}


async def post(world: Kit, body: bytes, **headers: str) -> tuple[int, Any]:
    told = {"Authorization": f"Bearer {AGENT}", "Content-Type": "application/json"} | headers
    async with world.session.post(world.url + "/execute", data=body, headers=told) as reply:
        return reply.status, await reply.json(content_type=None)


def with_params(text: str) -> bytes:
    return b'{"action":"mailhub.note","user":"alice@example.com","params":' + text.encode() + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"1", b'"x"', b"{", b"\xef\xbb\xbf{}", b'{"action":"a","action":"b"}', b"\xff\xfe",
        with_params('{"text":"a","text":"b"}'), with_params('{"text":"\\ud800"}'), with_params('{"text":"\\u0000"}'),
        with_params('{"text":NaN}'), with_params('{"text":1e400}'), with_params('{"text":9007199254740993}'),
        with_params('{"text":' + "[" * 20 + "]" * 20 + "}"), with_params('{"text":' + "[" * 20000 + "]" * 20000 + "}"),
    ],
    ids=str,
)  # fmt: skip
async def test_bad_json(world: Kit, body: bytes) -> None:
    status, told = await post(world, body)
    assert (status, told["code"]) == (400, "bad_json"), told
    assert told["hint"]
    assert told["status"] == 400


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"acton": "x"}, 400, "unknown_field"),
        ({"task": {"name": "1"}}, 422, "invalid_params"),
        ({"callback_url": "http://x/"}, 422, "invalid_params"),
        ({"dry_run": 1}, 422, "invalid_params"),
        ({"action": "mailhub.nothing"}, 404, "unknown_action"),
        ({"action": "elsewhere.thing"}, 403, "action_not_permitted"),
        ({"action": 1}, 422, "invalid_params"),
        ({"user": "*"}, 400, "bad_user"),
        ({"user": "requester"}, 400, "bad_user"),
        ({"user": "group:finance"}, 400, "bad_user"),
        ({"user": "a\u200bb@example.com"}, 400, "bad_user"),
        ({"user": None}, 422, "invalid_params"),
        ({"params": {}}, 422, "invalid_params"),
        ({"params": {"text": 1}}, 422, "invalid_params"),
        ({"params": {"text": "x", "more": 1}}, 422, "invalid_params"),
        ({"params": []}, 422, "invalid_params"),
        ({"expires_in": 59}, 422, "invalid_params"),
        ({"expires_in": 1209601}, 422, "invalid_params"),
        ({"expires_in": "60"}, 422, "invalid_params"),
        ({"expires_in": True}, 422, "invalid_params"),
        ({"return_url": "http://127.0.0.1:9/back/../x"}, 422, "invalid_params"),
        ({"return_url": "http://127.0.0.1:9.evil.test/back/"}, 422, "invalid_params"),
        ({"return_url": "http://127.0.0.1:9@evil.test/back/"}, 422, "invalid_params"),
        ({"account": "nobody"}, 422, "unknown_account"),
    ],
    ids=str,
)
async def test_refused(world: Kit, change: dict[str, Any], status: int, code: str) -> None:
    answer = await world.call("POST", "/execute", NOTE | change, Idempotency_Key="free")
    assert (answer.status, answer.json["code"]) == (status, code), answer.json
    assert answer.json["detail"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (await world.call("GET", "/executions")).json["items"] == []
    assert world.service is not None
    (record,) = await world.service.store.audit.tail(1)
    assert record.what == ({"do": "refused", "code": code, "status": status},)
    # A call that was never admitted binds no key.
    assert (await world.call("POST", "/execute", NOTE, Idempotency_Key="free")).status == 202


async def test_faults_name_their_place(world: Kit) -> None:
    params = {"to": ["no address"], "subject": "x" * 999, "extra": 1}
    answer = await world.execute("send_message", params=params)
    assert {fault["pointer"] for fault in answer.json["faults"]} >= {"/params/to/0", "/params/subject"}
    assert all(fault["message"] for fault in answer.json["faults"])


async def test_ids_have_one_form(world: Kit) -> None:
    answer = await world.call("POST", "/execute", NOTE | {"user": "ALICE@Example.COM"})
    assert answer.json["user"] == "alice@example.com"


async def test_too_large(world: Kit) -> None:
    status, told = await post(world, with_params(json.dumps({"text": "x" * 65_536})))
    assert (status, told["code"]) == (413, "too_large")


async def test_who_is_calling(world: Kit) -> None:
    for header in ("", "Bearer", "Bearer nobody", f"Basic {AGENT}", f"Bearer {ADMIN}"):
        status, told = await post(world, json.dumps(NOTE).encode(), Authorization=header)
        assert (status, told["code"]) == (401, "unauthenticated")
    answer = await world.call("POST", "/execute", NOTE, token=OTHER)
    assert (answer.status, answer.json["code"]) == (403, "action_not_permitted")
    answer = await world.execute("list_messages", token=OTHER, user="bob@example.com")
    assert (answer.status, answer.json["code"]) == (403, "user_not_permitted")


async def test_other_hosts_get_421(world: Kit) -> None:
    status, told = await post(world, b"{}", Host="evil.test")
    assert (status, told["code"]) == (421, "wrong_host")
    async with world.session.get(world.url + "/readyz", headers={"Host": "evil.test"}) as reply:
        assert (reply.status, await reply.text()) == (200, "ok")


@pytest.mark.parametrize(
    "path",
    ["/executions?task=", "/executions?limit=x", "/executions?limit=0", "/executions?status=odd",
     "/executions?updated_since=yesterday", "/executions?cursor=x", "/executions?limit=1&limit=2",
     "/actions?format=x", "/executions/exe_x?wait=-1", "/executions/exe_x?wait=1.5"],
)  # fmt: skip
async def test_bad_queries(world: Kit, path: str) -> None:
    answer = await world.call("GET", path)
    assert answer.status == 400, answer
    assert answer.json["hint"]


async def test_later_routes_are_not_there(world: Kit) -> None:
    for path in ("/me", "/console"):
        answer = await world.call("GET", path, token=ADMIN)
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert (await world.call("PUT", "/execute")).status == 405


async def test_lists_are_pages_newest_first(world: Kit) -> None:
    await world.connected()
    ids = [(await world.execute("note", params={"text": str(number)})).json["id"] for number in range(5)]
    await world.execute("delete_message", params={"id": "1"})
    seen: list[str] = []
    path = "/executions?limit=2&status=succeeded"
    cursor = ""
    while True:
        page = (await world.call("GET", path + cursor)).json
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = "&cursor=" + page["next"]
    assert seen[:5] == ids[::-1]
    assert (await world.call("GET", "/executions?user=bob@example.com")).json["items"] == []
    assert (await world.call("GET", "/executions", token=OTHER)).json["items"] == []


async def test_actions_say_what_this_agent_may_use(world: Kit) -> None:
    found = (await world.call("GET", "/actions", token=OTHER)).json["items"]
    assert [action["name"] for action in found] == ["mailhub.list_messages"]
    one = (await world.call("GET", "/actions/mailhub.send_message")).json
    assert one["scopes"] == ["mail.send"]
    assert one["risk"] == "high"
    assert one["params"]["required"] == ["to", "subject"] or set(one["params"]["required"]) == {"to", "subject"}
    assert (await world.call("GET", "/actions/mailhub.send_message", token=OTHER)).status == 404


async def test_waiting_is_bounded_and_ends_when_it_moves(world: Kit) -> None:
    answer = await world.execute("list_messages", prefer="wait=1")
    assert answer.status == 202
    waiting = asyncio.create_task(world.call("GET", f"/executions/{answer.json['id']}?wait=30"))
    await asyncio.sleep(0)
    await world.connect(answer)
    assert (await waiting).json["status"] == "succeeded"
    quick = await world.execute("list_messages", prefer="respond-async")
    assert quick.status in (200, 202)
    assert (await world.ended(quick.json["id"]))["status"] == "succeeded"


@pytest.mark.parametrize(("kind", "id"), [("agent", "mailbot"), ("user", "alice@example.com"),
                                          ("provider", "mailhub"), ("connector", "mailhub")])  # fmt: skip
async def test_what_was_stopped_is_not_sent(world: Kit, kind: str, id: str) -> None:
    await world.connected()
    assert world.service is not None
    store = world.service.store
    paused = await world.execute("send_message", params={"to": ["x@y.example"], "subject": "hi"})
    link = await world.approval_link(paused.json["id"])
    stop = Stop(kind=kind, id=id, epoch=0, active=True, who="operator")
    await store.apply(Unit(None, (Raise((stop,)),), Audit(actor="operator", what=({"do": "stop"},))))
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    await world.decide(link)
    assert (await world.ended(paused.json["id"]))["error"]["code"] == "revoked"
    assert world.mail.counts["POST"] == 1  # the note that connected the account


async def test_halt_refuses_new_calls_and_sends_nothing(world: Kit) -> None:
    await world.connected()
    assert world.service is not None
    paused = await world.execute("send_message", params={"to": ["x@y.example"], "subject": "hi"})
    link = await world.approval_link(paused.json["id"])
    for active, epoch in ((True, 0), (False, 0)):
        stop = Stop(kind="all", id="", epoch=epoch, active=active, who="operator")
        unit = Unit(None, (Raise((stop,)),), Audit(actor="operator", what=({"do": "halt"},)))
        await world.service.store.apply(unit)
        await world.service.worker._renew()
        answer = await world.execute("note", params={"text": "x"})
        if active:
            assert (answer.status, answer.json["code"]) == (503, "halted")
            assert (await world.decide(link)).status == 200
            assert (await world.call("GET", f"/executions/{paused.json['id']}")).json["status"] == "paused"
            assert world.mail.counts["POST"] == 1
    world.service.worker.wake()
    assert (await world.ended(paused.json["id"]))["status"] == "succeeded"


async def test_no_secret_is_anywhere(world: Kit, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="jit_auth")
    await world.connected()
    world.mail.faults = ["echo"]
    await world.execute("note", params={"text": "x"})
    world.clock.offset += 3_600_000
    await world.execute("list_messages")
    assert world.service is not None
    rows = [str(row) async for row in world.service.store.audit.rows()]
    files = b"".join(path.read_bytes() for path in world.folder.glob("jit-auth.db*"))
    listed = json.dumps((await world.call("GET", "/executions")).json)
    import base64
    from urllib.parse import quote

    for family in world.provider.families:
        for token in filter(None, (family.access, family.refresh, *family.spent)):
            forms = [token, quote(token, safe=""), base64.b64encode(token.encode()).decode(),
                     base64.urlsafe_b64encode(token.encode()).decode().rstrip("="), token.encode().hex(),
                     hashlib.sha256(token.encode()).hexdigest()]  # fmt: skip
            for form in forms:
                assert form not in listed
                assert form not in caplog.text
                assert form not in "".join(rows)
                assert form.encode() not in files
    assert world.provider.client_secret not in listed + caplog.text
    assert b"alice@example.com" not in files
