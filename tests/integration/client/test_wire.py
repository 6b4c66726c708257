"""What goes over the wire and what comes of it: repeats, keys, broken connections, problems, the token."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Callable

import pytest

from jit_auth.client import AsyncClient, Refused, Unreachable
from tests.integration.client.kit import EXECUTION, QUICK, TOKEN, Repeats, Scripted, Speaks, scripted
from tests.ports import free_port

PROBLEM = {"status": 422, "code": "invalid_params", "detail": "No field 'n'.", "hint": "Correct what `faults` names.",
           "faults": [{"pointer": "/params/n", "message": "is unknown"}]}  # fmt: skip


async def test_execute_says_what_it_was_given_under_a_key_of_its_own(server: Scripted, speaks: Speaks) -> None:
    server.then(200, EXECUTION).then(200, EXECUTION)
    found = await speaks("execute", "m.read", user="a@b.example", params={"n": 1}, reason="why", expires_in=60)
    assert (found.ok, found.open, found.unwrap()) == (True, False, {"n": 1})
    await speaks("execute", "m.read", user="a@b.example", params={})
    told = json.loads(server.bodies[0])
    assert told == {"action": "m.read", "user": "a@b.example", "params": {"n": 1}, "reason": "why", "expires_in": 60}
    assert server.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert server.seen[0].content_type == "application/json"
    first, second = server.keys
    assert first
    assert second
    assert first != second


async def test_connections_are_kept(server: Scripted, speaks: Speaks) -> None:
    for _ in range(3):
        server.then(200, EXECUTION)
        await speaks("get", "exe_1")
    assert len(set(server.ports)) == 1


@pytest.mark.parametrize("broken", ["hang-up", "cut"])
async def test_a_lost_answer_is_asked_for_again_with_the_same_key(
    server: Scripted, speaks: Speaks, broken: str
) -> None:
    server.breaks(broken).breaks(broken).then(200, EXECUTION)
    found = await speaks("execute", "m.pay", user="a@b.example", params={})
    assert found.id == "exe_1"
    assert len(server.keys) == 3
    assert len(set(server.keys)) == 1
    assert len(set(server.bodies)) == 1


async def test_busy_services_are_asked_again_when_they_say(server: Scripted, speaks: Speaks) -> None:
    server.then(503, {"code": "busy"}, Retry_After="0").then(429, {"code": "too_many"}, Retry_After="0")
    server.then(503, {"code": "busy"}, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT").then(200, EXECUTION)
    assert (await speaks("execute", "m.pay", params={}, idempotency_key="mine")).ok
    assert server.keys == ["mine"] * 4


async def test_a_pause_asked_for_that_is_too_long_is_not_waited_for(server: Scripted, speaks: Speaks) -> None:
    server.then(503, {"code": "halted", "detail": "Halted.", "hint": "Later."}, Retry_After="3600")
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        await speaks("execute", "m.pay", params={})
    assert time.monotonic() - began < 2
    assert (refused.value.code, refused.value.status, refused.value.retry_after) == ("halted", 503, 3600.0)


async def test_repeats_end(made: Callable[..., Speaks], server: Scripted) -> None:
    for _ in range(1000):
        server.breaks()
    began = time.monotonic()
    with pytest.raises(Unreachable):
        await made(server.url, repeats=Repeats(seconds=0.1, first=0.01, longest=0.02))("get", "exe_1")
    assert time.monotonic() - began < 3
    assert 3 < len(server.seen) < 40


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 500, 502, 504])
async def test_nothing_else_is_repeated(server: Scripted, speaks: Speaks, status: int) -> None:
    server.then(status, {"code": "some_code", "detail": "No.", "hint": "Look."})
    with pytest.raises(Refused) as refused:
        await speaks("execute", "m.pay", params={})
    assert (refused.value.status, refused.value.code, refused.value.hint) == (status, "some_code", "Look.")
    assert len(server.seen) == 1


async def test_what_makes_something_without_a_key_is_never_sent_twice(server: Scripted, speaks: Speaks) -> None:
    server.breaks().then(503, {"code": "busy"}, Retry_After="0").then(201, {"id": "con_1", "url": "http://x/connect/y"})
    with pytest.raises(Unreachable):
        await speaks("connections.create", "a@b.example", ["m.read"])
    with pytest.raises(Refused):
        await speaks("connections.create", "a@b.example", ["m.read"])
    made = await speaks("connections.create", "a@b.example", ["m.read"], return_url="http://127.0.0.1:9/back/")
    assert made["id"] == "con_1"
    assert json.loads(server.bodies[-1]) == {
        "user": "a@b.example", "actions": ["m.read"], "return_url": "http://127.0.0.1:9/back/",
    }  # fmt: skip


async def test_a_denial_is_a_value_and_a_refusal_is_not(server: Scripted, speaks: Speaks) -> None:
    denied = {"id": "exe_2", "action": "m.pay", "status": "denied", "error": {"code": "policy_denied"}}
    server.then(403, {"code": "policy_denied", "status": 403, "execution": denied})
    found = await speaks("execute", "m.pay", params={})
    assert (found.id, found.status, found.error_code) == ("exe_2", "denied", "policy_denied")
    server.then(403, {"code": "action_not_permitted", "status": 403, "detail": "Not this agent's.", "hint": "Ask."})
    with pytest.raises(Refused, match=r"Not this agent's\. \(action_not_permitted\) Ask\."):
        await speaks("execute", "m.pay", params={})


async def test_faults_are_told_by_their_pointers(server: Scripted, speaks: Speaks) -> None:
    server.then(422, PROBLEM)
    with pytest.raises(Refused, match="/params/n: is unknown") as refused:
        await speaks("execute", "m.pay", params={"n": 1})
    assert refused.value.faults == ({"pointer": "/params/n", "message": "is unknown"},)
    assert refused.value.for_model().startswith("Change the call")


async def test_the_service_is_away(made: Callable[..., Speaks]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    gone = made(url, repeats=Repeats(seconds=0.0))
    with pytest.raises(Unreachable, match=f"jit_auth does not answer at {url}/execute: connection refused") as away:
        await gone("execute", "m.pay", params={})
    told = "".join(traceback.format_exception(away.value))
    assert TOKEN not in told
    assert "aiohttp" not in told.replace("/aio.py", "")
    assert "ConnectionRefused" not in told
    assert away.value.url == f"{url}/execute"


async def test_no_answer_in_time(made: Callable[..., Speaks]) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        slow = made(f"http://127.0.0.1:{port}", repeats=Repeats(seconds=0.0), timeout=0.2)
        with pytest.raises(Unreachable, match="no answer in time"):
            await slow("get", "exe_1")


@pytest.mark.parametrize(
    ("status", "body", "content"),
    [(200, "<html>", "text/html"), (200, "[1]", "application/json"), (200, '{"a": 1}', "application/json"),
     (204, "", "text/plain"), (200, "[" * 100_000, "application/json")],
)  # fmt: skip
async def test_something_else_answers(server: Scripted, speaks: Speaks, status: int, body: str, content: str) -> None:
    server.then(status, body, Content_Type=content)
    with pytest.raises(Unreachable, match="is no jit_auth") as foreign:
        await speaks("execute", "m.pay", params={})
    assert foreign.value.code == "not_jit_auth"


async def test_a_proxys_error_page_is_told_as_such(server: Scripted, speaks: Speaks) -> None:
    server.then(502, "<html>Bad gateway", Content_Type="text/html")
    with pytest.raises(Refused) as refused:
        await speaks("get", "exe_1")
    assert refused.value.code == "http_502"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_the_token_is_not_taken_elsewhere(
    server: Scripted, speaks: Speaks, made: Callable[..., Speaks], status: int
) -> None:
    server.then(status, "", Location=f"{server.url.replace('127.0.0.1', 'localhost')}/elsewhere")
    with pytest.raises(Refused, match="redirects"):
        await speaks("execute", "m.pay", params={})
    assert len(server.seen) == 1


async def test_ids_stay_in_their_place(server: Scripted, speaks: Speaks) -> None:
    server.then(404, {"code": "not_found", "detail": "No.", "hint": "Look."})
    with pytest.raises(Refused):
        await speaks("get", "../actions?x=1#y")
    assert server.seen[0].raw_path == "/executions/..%2Factions%3Fx%3D1%23y"
    for odd in ("", ".", ".."):
        with pytest.raises(ValueError, match="is no id"):
            await speaks("get", odd)


async def test_a_key_that_no_header_can_hold_is_no_call(server: Scripted, speaks: Speaks) -> None:
    for key in ("", "x\r\nX-Admin: 1", "k" * 256, "schlüssel"):
        with pytest.raises(ValueError, match="idempotency key"):
            await speaks("execute", "m.pay", params={}, idempotency_key=key)
    assert server.seen == []


async def test_numbers_that_are_none_are_not_sent(server: Scripted, speaks: Speaks) -> None:
    with pytest.raises(ValueError, match="JSON"):
        await speaks("execute", "m.pay", params={"n": float("nan")})
    assert server.seen == []


async def test_lists_are_read_page_by_page(server: Scripted, speaks: Speaks) -> None:
    server.then(200, {"items": [{"id": "exe_3", "status": "paused"}], "next": "c 1"})
    server.then(200, {"items": [], "next": "c2"})
    server.then(200, {"items": [{"id": "exe_1", "status": "new_word", "more": {}}], "next": None})
    found = await speaks.all(status=["paused", "executing"], user=None, limit=1)
    assert [each.id for each in found] == ["exe_3", "exe_1"]
    assert server.asked == [
        "GET /executions?status=paused%2Cexecuting&limit=1",
        "GET /executions?status=paused%2Cexecuting&limit=1&cursor=c+1",
        "GET /executions?status=paused%2Cexecuting&limit=1&cursor=c2",
    ]


async def test_one_page_alone(server: Scripted, speaks: Speaks) -> None:
    server.then(200, {"items": [{"id": "exe_3", "status": "paused"}], "next": "c1"})
    page = await speaks("list")
    assert ([each.id for each in page.items], page.next) == (["exe_3"], "c1")
    assert len(server.seen) == 1


async def test_actions_as_the_model_apis_want_them(server: Scripted, speaks: Speaks) -> None:
    server.then(200, {"items": [{"name": "a.b"}], "next": "a.b"}).then(200, {"items": [{"name": "c.d"}], "next": None})
    assert await speaks("actions") == [{"name": "a.b"}, {"name": "c.d"}]
    tools = [{"type": "function", "function": {"name": "a__b"}}]
    server.then(200, tools)
    assert await speaks("actions", format="openai", q="mail") == tools
    server.then(200, {"name": "a.b"})
    assert await speaks("action", "a.b") == {"name": "a.b"}
    assert server.asked[2:] == ["GET /actions?format=openai&q=mail", "GET /actions/a.b"]


async def test_a_dry_run_creates_nothing(server: Scripted, speaks: Speaks) -> None:
    server.then(200, {"id": None, "status": None, "action": "m.pay", "decision": {"effect": "require_approval"}})
    found = await speaks("preview", "m.pay", user="a@b.example", params={})
    assert (found.id, found.status, found.open, found.ok) == (None, None, False, False)
    assert found.effect == "require_approval"
    assert json.loads(server.bodies[0])["dry_run"] is True
    assert server.keys == [None]


async def test_connections_are_listed_and_deleted(server: Scripted, speaks: Speaks) -> None:
    server.then(200, {"items": [{"id": "con_1"}], "next": "x"}).then(200, {"items": [{"id": "con_2"}], "next": None})
    assert await speaks("connections.list", user="a@b.example") == [{"id": "con_1"}, {"id": "con_2"}]
    server.breaks().then(404, {"code": "not_found"}).then(404, {"code": "not_found", "detail": "No."})
    assert await speaks("connections.delete", "con_1") == {"id": "con_1"}  # the lost one had ended it
    with pytest.raises(Refused):
        await speaks("connections.delete", "con_1")


async def test_wait_holds_and_gives_up(server: Scripted, speaks: Speaks) -> None:
    paused = {"id": "exe_1", "status": "paused"}
    server.then(200, paused).then(200, EXECUTION)
    assert (await speaks("wait", "exe_1", 90)).ok
    assert server.asked[0] == "GET /executions/exe_1?wait=60"
    server.then(200, paused)
    assert (await speaks("wait", "exe_1", 0)).open
    server.then(200, {"id": "exe_1", "status": "released"})
    assert (await speaks("wait", "exe_1")).status == "released"


async def test_cancel(server: Scripted, speaks: Speaks) -> None:
    server.breaks().then(200, {"id": "exe_1", "status": "cancelled"})
    assert (await speaks("cancel", "exe_1")).status == "cancelled"
    server.then(409, {"code": "already_finished", "detail": "It has ended.", "hint": "Read it."})
    with pytest.raises(Refused, match="already_finished"):
        await speaks("cancel", "exe_1")


async def test_neither_client_shows_the_token(speaks: Speaks, server: Scripted) -> None:
    assert repr(speaks.client) == f"{type(speaks.client).__name__}('{server.url}')"
    assert TOKEN not in repr(vars(speaks.client)["_address"])


def test_one_client_serves_one_loop_after_the_other() -> None:
    port = free_port()
    client = AsyncClient(f"http://127.0.0.1:{port}", TOKEN, repeats=QUICK)

    async def once() -> str:
        async with scripted(port) as server:
            server.then(200, EXECUTION)
            found: str = (await client.get("exe_1")).id
            return found

    assert [asyncio.run(once()) for _ in range(2)] == ["exe_1"] * 2
    asyncio.run(client.close())
