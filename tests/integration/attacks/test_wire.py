"""The upstream as the enemy: it hangs up at every byte, answers nonsense, repeats itself; and what leaves is judged.

One intent, one request; what was shown is what was stored is what left (THREAT_MODEL 4, 9, 36).
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.core.digest import digest
from jit_auth.model import Place, Request
from tests.integration.attacks.meddler import Meddler
from tests.integration.attacks.upstream import CREATED, Upstream
from tests.integration.service.kit import Kit, kit

SEND = {"to": ["x@y.example"], "subject": "hi", "body": "h\u00e9llo \u202e"}


@pytest.fixture
async def raw(tmp_path: Path) -> AsyncIterator[tuple[Kit, Upstream]]:
    """The service, with alice connected, in front of an upstream that does as it is told."""
    async with kit(tmp_path) as world, Upstream().running() as upstream:
        world.mail.url = upstream.url
        world.write()
        async with world.running():
            await world.connected()
            upstream.got.clear()
            upstream.connections = 0
            yield world, upstream


async def note(world: Kit, action: str = "note", **more: Any) -> Any:
    return (await world.execute(action, params={"text": "x"}, **more)).json


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("cut", range(0, len(CREATED), 7))
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_cut_anywhere_in_the_answer_sends_never_once(raw: tuple[Kit, Upstream], cut: int, how: str) -> None:
    world, upstream = raw
    upstream.scripts = [[CREATED[:cut], how]]
    found = await note(world)
    assert len(upstream.got) == 1
    head = CREATED.index(b"\r\n\r\n") + 4
    if cut >= head:
        # The provider's code is known: it did it.
        assert (found["status"], found["result"]["status"]) == ("succeeded", 201)
        assert found["result"]["truncated"] is True
    else:
        assert (found["status"], found["error"]["code"]) == ("unknown", "outcome_unknown")


@pytest.mark.parametrize(
    "script",
    [
        [b"HTTP/1.1 100 Continue\r\n\r\n", CREATED],
        [b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 3, CREATED],
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "close"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", CREATED],
        [b"HTTP/1.1 100 Continue\r\n\r\n", "close"],
        [b"garbage\r\n\r\n"],
        [b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}", "close"],
        [b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "close"],
        [b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n", "close"],
        [b"HTTP/1.1 201 Created\r\nX: " + b"y" * 70_000, "close"],
        [b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n"],
        [CREATED + CREATED],
    ],
    ids=lambda script: repr(script)[:40],
)
async def test_a_senseless_answer_ends_the_call_and_is_no_reason_to_send_again(
    raw: tuple[Kit, Upstream], script: list[Any]
) -> None:
    world, upstream = raw
    upstream.scripts = [script]
    found = await note(world)
    assert found["status"] in ("succeeded", "unknown"), found
    assert len(upstream.got) == 1
    # Nothing of it becomes the answer to the next call.
    assert (await note(world))["result"]["body"] == {"id": "m-1"}
    assert len(upstream.got) == 2


async def test_what_follows_a_whole_answer_does_not_change_it(raw: tuple[Kit, Upstream]) -> None:
    """201 and a 401 behind it in one segment: recorded as `failed` (401), so that the agent calls again."""
    world, upstream = raw
    upstream.scripts = [[CREATED + b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"]]
    found = (await world.execute("note", params={"text": "x"})).json
    assert (found["status"], found["result"]["status"]) == ("succeeded", 201)


@pytest.mark.parametrize(
    "body",
    [
        b'{"n":12345678901234567890123456789012345678901234567890}', b'{"n":1e400}', b'{"n":-0.0,"m":1e-400}',
        b'{"a":1,"a":2}', b'"\\ud800"', b"\xff\xfe\xfd", b"[" * 100_000, b'{"a":' * 150 + b"1" + b"}" * 150,
        b'{"\\u0000":"\\u0000"}', b"\xef\xbb\xbf{}", b"", b"NaN", b'{"x":"' + b"y" * 900_000 + b'"}', b"9" * 5000,
        json.dumps({str(n): n for n in range(20_000)}).encode(),
    ],
    ids=lambda body: repr(body)[:24],
)  # fmt: skip
@pytest.mark.parametrize("media", ["application/json", "text/plain; charset=utf-16", "application/octet-stream"])
async def test_a_hostile_body_is_kept_and_ends_the_call(raw: tuple[Kit, Upstream], body: bytes, media: str) -> None:
    world, upstream = raw
    upstream.scripts = [[reply("200 OK", body, f"Content-Type: {media}")]]
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["status"]) == (200, "succeeded"), answer
    again = (await world.call("GET", f"/executions/{answer.json['id']}")).json
    assert again["result"] == answer.json["result"]
    assert len(upstream.got) == 1


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Encoding: gzip"], ["Content-Encoding: br"], ["Content-Encoding: gzip, gzip"],
        ["Content-Type: application/json; charset=rot13"], ["Content-Type: application/json; charset=\xff"],
        ["Link: \xe9\xff"], ["ETag: a", "ETag: b"], ["Retry-After: 999999999999999999999"],
        ["Set-Cookie: a=b", "X-Request-Id: r"],
    ],
    ids=str,
)  # fmt: skip
async def test_hostile_headers(raw: tuple[Kit, Upstream], headers: list[str]) -> None:
    world, upstream = raw
    body = b"{}" if "gzip" not in headers[0] else gzip.compress(b"0" * 5_000_000)
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]).encode("latin-1")
    upstream.scripts = [[head + b"\r\n\r\n" + body]]
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["status"]) == (200, "succeeded"), answer
    assert "set-cookie" not in answer.json["result"]["headers"]
    assert len(upstream.got) == 1


async def test_a_server_that_closes_before_it_reads(raw: tuple[Kit, Upstream]) -> None:
    """Fresh connections that die at once: nobody knows whether the request was read, so it is not repeated."""
    world, upstream = raw
    for how in ("close", "abort"):
        upstream.early = [how]
        before = upstream.connections
        found = await note(world)
        assert found["status"] in ("unknown", "failed", "succeeded"), found
        if found["status"] == "succeeded":
            assert len(upstream.got) == 1  # a pooled connection took it
        assert upstream.connections - before <= 2
        upstream.early.clear()
        upstream.got.clear()


@pytest.mark.parametrize("action", ["note", "note_again"])
async def test_an_answer_before_the_request_was_read_belongs_to_nobody(raw: tuple[Kit, Upstream], action: str) -> None:
    """An answer that lies ready on a kept connection would be taken for the answer to the next call."""
    world, upstream = raw
    stale = reply("200 OK", b'{"id":"of another"}', "Content-Type: application/json")
    upstream.scripts = [[CREATED + stale]]
    await note(world, action)
    await asyncio.sleep(0)
    assert (await note(world, action))["result"]["body"] == {"id": "m-1"}


async def test_what_is_shown_is_stored_is_sent(raw: tuple[Kit, Upstream]) -> None:
    world, upstream = raw
    for action, params in (("send_message", SEND), ("send_keyed", {"subject": "k"}), ("note", {"text": "\U0001f600"})):
        upstream.got.clear()
        answer = await world.execute(action, params=params)
        if answer.status == 202:
            link = await world.approval_link(answer.json["id"])
            async with world.session.get(link) as page:
                html = await page.text()
            assert answer.json["digest"] in html
            await world.decide(link, digest=answer.json["digest"])
        done = await world.ended(answer.json["id"])
        assert done["status"] == "succeeded", done
        assert done["digest"] == answer.json["digest"]
        (got,) = upstream.got
        method, path, _ = got.line.split(" ")
        ours = ("host", "content-length", "accept-encoding", "authorization")
        headers = tuple((name, value) for name, value in got.headers if name.lower() not in ours)
        assert [name.lower() for name, _ in got.headers].count("authorization") == 1
        assert world.service is not None
        row = await world.service.store.execution(done["id"])
        assert row is not None
        recomputed = digest(
            action=f"mailhub.{action}", provider="mailhub", params=params, user="alice@example.com", verified=True,
            chain=["mailbot"], account=row.account, request=Request(method, upstream.url + path, headers, got.body),
            places=(Place("header", "authorization"),), execution_id=done["id"],
        )  # fmt: skip
        assert recomputed == done["digest"]


async def test_the_providers_key_is_the_same_at_every_attempt(raw: tuple[Kit, Upstream]) -> None:
    world, upstream = raw
    upstream.scripts = [["close"], [b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n"]]
    answer = await world.execute("send_keyed", params={"subject": "k"})
    await world.decide(await world.approval_link(answer.json["id"]))
    for _ in range(200):
        found = (await world.call("GET", f"/executions/{answer.json['id']}")).json
        if found["status"] not in ("paused", "executing"):
            break
        world.clock.offset += 1000
        assert world.service is not None
        world.service.worker.wake()
        await asyncio.sleep(0.01)
    assert found["status"] == "succeeded"
    keys = [dict(got.headers)["Idempotency-Key"] for got in upstream.got]
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_scope_beyond_the_actions_own_is_asked_for_once(raw: tuple[Kit, Upstream]) -> None:
    """The provider says which scope it misses: the same call is not simply made again."""
    world, upstream = raw
    missing = 'WWW-Authenticate: Bearer error="insufficient_scope", scope="mail.full mail.send"'
    upstream.scripts = [[reply("403 Forbidden", b"", missing)]]
    answer = await world.execute("note", params={"text": "x"})
    assert len(upstream.got) == 1
    assert answer.status == 202
    (item,) = answer.json["waiting_for"]
    assert item["missing_scopes"] == ["mail.send", "mail.full"]
    await world.connect(answer)
    assert (await world.ended(answer.json["id"]))["status"] == "succeeded"
    assert len(upstream.got) == 2


async def test_the_database_goes_away_while_the_call_is_made(raw: tuple[Kit, Upstream]) -> None:
    world, upstream = raw
    assert world.service is not None
    meddler = Meddler(world.service.store)
    meddler.fail("before", "outcome", 3)
    found = await note(world)
    assert found["status"] == "succeeded"
    meddler.fail("after", "outcome")
    found = await note(world)
    assert (found["status"], found["result"]["body"]) == ("succeeded", {"id": "m-1"})
    assert len(upstream.got) == 2
