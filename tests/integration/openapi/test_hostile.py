"""Ten thousand hostile bodies: none is answered with a server's error, each refusal says its code."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.connections.conftest import let
from tests.integration.openapi.hostile import Good, Hostile, corpus
from tests.integration.operators.conftest import ADMINS, TOKENS
from tests.integration.service.kit import AGENT, Kit, kit
from tests.integration.slack.service import known

COUNT = 10_000
AT_A_TIME = 4
SLACK = """
[channels.slack]
bot_token = "xoxb-1"
signing_secret = "s"
api_url = "http://127.0.0.1:9/api/"
team = "T012"
"""
USERS = '[users]\nverify = "app"\napp_url = "http://127.0.0.1:9/confirm"\napp_secret = "the-application"\n'
SEND = {"to": ["x@y.example"], "subject": "hi", "body": "hello"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path, config=ADMINS + SLACK, users=USERS) as found:
        known(found)
        let(found, "mailbot")
        async with found.running():
            yield found


def signed(body: bytes) -> dict[str, str]:
    """As Slack signs."""
    stamp = str(int(time.time()))
    mac = hmac.new(b"s", b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}


async def targets(world: Kit) -> list[Good]:
    """Good calls at every door that takes a body."""
    agent = {"Authorization": f"Bearer {AGENT}"}
    admin = {"Authorization": f"Bearer {TOKENS['security']}"}
    paused = await world.execute("send_message", params=SEND)
    assert paused.status == 202, paused.json
    consent = next(item["url"] for item in paused.json["waiting_for"] if item["kind"] == "consent")
    connect = consent.removeprefix(world.url)
    approve = (await world.approval_link(paused.json["id"])).removeprefix(world.url)
    execution = f"/executions/{paused.json['id']}"
    pressed = {
        "type": "block_actions",
        "user": {"id": "U0ANA", "team_id": "T012"},
        "team": {"id": "T012"},
        "channel": {"id": "C0"},
        "actions": [{"action_id": "approve", "block_id": "x", "value": "apr_0"}],
        "trigger_id": "1",
        "response_url": "http://127.0.0.1:9/",
    }
    call = {
        "action": "mailhub.send_message",
        "user": "alice@example.com",
        "params": SEND,
        "reason": "because",
        "expires_in": 600,
        "account": None,
        "return_url": "http://127.0.0.1:9/back/",
    }
    wish = {
        "user": "alice@example.com",
        "actions": ["mailhub.list_messages", "mailhub.note"],
        "account": None,
        "another_account": False,
        "return_url": "http://127.0.0.1:9/back/",
    }
    why = {"reason": "because"}
    return [
        Good("POST", "/execute", call, agent | {"Idempotency-Key": "k", "Prefer": "respond-async"}),
        Good("POST", "/execute", call, agent | {"Prefer": "respond-async"}),
        Good("POST", "/connections", wish, agent),
        Good("POST", "/execute", call | {"action": "mailhub__note", "dry_run": True}, agent),
        Good("POST", approve, {"decision": "deny", "feedback": "no", "for": "1h", "params": {"body": "x"}}),
        Good("POST", f"{approve}/all", {"decisions": [{"id": "apr_0", "decision": "deny", "digest": "sha256:0"}]}),
        Good("POST", connect, {"decision": "refuse"}),
        Good(
            "POST", f"{connect}/confirm", {"nonce": "n", "user": "a@b.c"}, {"Authorization": "Bearer the-application"}
        ),
        Good("POST", f"{connect}/undo", {}),
        Good("POST", "/slack/interactions", pressed, form="payload", sign=signed),
        Good("POST", f"{execution}/cancel", {}, agent),
        Good("POST", f"{execution}/resolve", {"outcome": "failed", "note": "seen"}, admin),
        Good("POST", "/admin/agents/otherbot/suspend", why, admin),
        Good("POST", "/admin/agents/otherbot/restore", why, admin),
        Good("POST", "/admin/connectors/mailhub/restore", why, admin),
        Good("POST", "/admin/revoke", {"agent": "otherbot", **why}, admin),
        Good("POST", "/admin/halt", why, admin),
        Good("POST", "/admin/resume", why, admin),
    ]


async def test_no_body_is_too_hostile(world: Kit, caplog: pytest.LogCaptureFixture) -> None:
    host = world.url.removeprefix("http://")
    goods = await targets(world)
    seen: Counter[int] = Counter()
    wrong: list[str] = []
    for number, good in enumerate(goods):
        bodies = corpus(good, host, COUNT // len(goods), number)
        await asyncio.gather(*(_sent(world.port, bodies, seen, wrong, good) for _ in range(AT_A_TIME)))
    assert wrong == [], f"{len(wrong)}: " + "\n".join(wrong[:20])
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert sum(seen.values()) > 0.98 * COUNT // len(goods) * len(goods)
    assert {200, 400, 401, 404, 413, 417, 421, 422} <= set(seen), seen


async def _sent(port: int, bodies: Iterator[Hostile], seen: Counter[int], wrong: list[str], good: Good) -> None:
    """Each on a connection that is kept as long as it goes well."""
    link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for hostile in bodies:
        fresh = link is None or not hostile.framed
        if fresh and link is not None:
            link[1].close()
        if link is None or fresh:
            link = await asyncio.open_connection("127.0.0.1", port)
        try:
            status, fault, over = await asyncio.wait_for(_answered(*link, hostile), 20)
        except TimeoutError:
            status, fault, over = 0, "no answer", True
        except (ConnectionError, asyncio.IncompleteReadError):
            status, fault, over = 0, "cut" if hostile.framed and fresh else "", True
        seen[status] += 1
        if fault:
            wrong.append(f"{status} {good.path[:40]} {fault}: {hostile.raw[:300]!r} ... {hostile.raw[-200:]!r}")
        if over or not hostile.framed:
            link[1].close()
            link = None
    if link is not None:
        link[1].close()


async def _answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hostile: Hostile
) -> tuple[int, str, bool]:
    """Status, what is wrong with the answer, whether the connection ends."""
    writer.write(hostile.raw)
    if not hostile.framed:
        writer.write_eof()  # whatever it promised does not come
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        if status != 100:
            break
    length = re.search(r"^content-length: (\d+)", head, re.MULTILINE | re.IGNORECASE)
    body = await reader.readexactly(int(length[1]) if length else 0)
    over = re.search(r"^connection: close", head, re.MULTILINE | re.IGNORECASE) is not None
    if status >= 500:
        return status, body.decode(errors="replace")[:300], over
    if status < 400:
        return status, "", over
    if "application/problem+json" in head:
        told = json.loads(body)
        return status, "" if told["code"] and told["status"] == status else "no code", over
    return status, "" if "text/html" in head and b"<main" in body else f"no page: {body[:200]!r}", over
