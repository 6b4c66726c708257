"""`dry_run`: what a call would come to, and nothing of it left behind but its line in the record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from jit_auth.engine import preview
from tests.integration.people.conftest import POLICIES
from tests.integration.service.kit import ADMIN, AGENT, OTHER, Answer, Kit, kit

CONFIG = '[channels.email]\nsmtp_url = "smtp://127.0.0.1:9"\nfrom = "approvals@example.com"\n'
LIMITS = "[limits]\nopen_per_agent = 2\n"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path, policies=POLICIES, config=CONFIG + LIMITS) as made, made.running():
        yield made


async def dry(world: Kit, action: str, token: str = AGENT, **body: Any) -> Answer:
    return await world.execute(action, token=token, dry_run=True, **body)


async def record(world: Kit) -> list[dict[str, Any]]:
    rows = (await world.call("GET", "/admin/audit?limit=200", token=ADMIN)).json["items"]
    return [fact for row in rows for fact in row["what"]]


async def test_it_tells_what_would_be_decided_and_asked(world: Kit) -> None:
    seen = await dry(world, "note", params={"text": "secret words"}, reason="why")
    assert seen.status == 200
    assert (seen.json["id"], seen.json["status"]) == (None, None)
    assert seen.json["decision"]["effect"] == "require_approval"
    consent, approval = seen.json["waiting_for"]
    assert consent == {
        "kind": "consent", "provider": "mailhub", "missing_scopes": ["mail.send"], "new_agent": False,
        "expires_at": consent["expires_at"],
    }  # fmt: skip
    assert (approval["from"], approval["need"], approval["approved_by"]) == (["group:finance"], 1, [])
    assert not {"id", "url"} & set(approval)
    real = (await world.execute("note", params={"text": "secret words"}, reason="why")).json
    same = (
        "action",
        "user",
        "agent",
        "chain",
        "account",
        "summary",
        "params",
        "reason",
        "digest",
        "labels",
        "decision",
    )
    assert {name: seen.json[name] for name in same} == {name: real[name] for name in same}


async def test_nothing_is_created_asked_counted_or_bound(world: Kit) -> None:
    for _ in range(3):
        seen = await world.execute("note", params={"text": "y"}, key="k", dry_run=True)
        assert seen.status == 200
    assert (await world.call("GET", "/executions")).json["items"] == []
    assert world.printed == []
    real = await world.execute("note", params={"text": "y"}, key="k")
    assert (real.status, real.json.get("joined")) == (202, None)
    assert world.mail.messages == []
    facts = [fact for fact in await record(world) if fact["do"] == "preview"]
    assert len(facts) == 3
    assert facts[0]["action"] == "mailhub.note"
    assert "text" not in str(facts[0])


async def test_an_allowed_one_is_not_sent_and_a_denied_one_is_told(world: Kit) -> None:
    await world.connected()
    sent = world.mail.counts.total()
    allowed = await dry(world, "note", params={"text": "x"})
    assert (allowed.json["decision"]["effect"], allowed.json["waiting_for"], allowed.json["error"]) == (
        "allow",
        [],
        None,
    )
    nobody = await dry(world, "delete_message", params={"id": "1"})
    assert (nobody.status, nobody.json["error"]["code"]) == (200, "no_approver")
    denied = await dry(world, "send_again", params={"subject": "a"})
    assert (denied.status, denied.json["error"]["code"]) == (200, "policy_denied")
    assert world.mail.counts.total() == sent


async def test_who_sees_no_people_sees_none_here(world: Kit) -> None:
    config = world.folder / "config.toml"
    config.write_text(config.read_text().replace('return_urls = ["http', 'sees_people = false\nreturn_urls = ["http'))
    assert world.service is not None
    assert await world.service.reload(lambda: load(config, channels=CHANNEL_TABLES))
    assert "zoe" not in str((await dry(world, "delete_message", params={"id": "1"})).json)
    approval = (await dry(world, "note", params={"text": "y"})).json["waiting_for"][1]
    assert (approval["from"], approval["approved_by"]) == (["group:finance"], 0)


async def test_what_is_refused_is_refused_alike(world: Kit) -> None:
    cases: list[dict[str, Any]] = [
        {"action": "mailhub.note", "user": "alice@example.com", "params": {}},
        {"action": "mailhub.nothing", "user": "alice@example.com", "params": {}},
        {"action": "gmail.send_message", "user": "alice@example.com", "params": {}},
        {"action": "mailhub.note", "user": "*", "params": {"text": "x"}},
        {"action": "mailhub.note", "params": {"text": "x"}},
        {"action": "mailhub.note", "user": "alice@example.com", "params": {"text": "x"}, "account": "no"},
        {"action": "mailhub.note", "user": "alice@example.com", "params": {"text": "x"}, "expires_in": 1},
        {"action": "mailhub.note", "user": "alice@example.com", "params": {"text": "x"}, "what": 1},
    ]
    for body in cases:
        for token in (AGENT, OTHER):
            real = await world.call("POST", "/execute", body, token=token)
            seen = await world.call("POST", "/execute", body | {"dry_run": True}, token=token)
            assert real.status >= 400
            assert (seen.status, seen.json) == (real.status, real.json), body
    wrong = await world.execute("note", params={"text": "x"}, dry_run="yes")
    assert (wrong.status, wrong.json["faults"][0]["pointer"]) == (422, "/dry_run")
    assert (await world.execute("note", params={"text": "y"}, dry_run=False)).status == 202


async def test_as_many_paused_ones_as_there_may_be(world: Kit) -> None:
    for text in ("a", "b"):
        assert (await world.execute("note", params={"text": text})).status == 202
    full = await dry(world, "note", params={"text": "c"})
    assert (full.status, full.json["code"]) == (429, "too_many_open")
    assert (await dry(world, "note", params={"text": "b"})).status == 200  # a real one would be answered with that


async def test_a_denial_is_told_as_it_would_be(world: Kit) -> None:
    await world.connected()
    asked = await world.execute("note", params={"text": "no"})
    await world.decide(await world.approval_link(asked.json["id"]), "deny")
    assert (await dry(world, "note", params={"text": "no"})).json["error"]["code"] == "recently_denied"


async def test_there_are_few_dry_runs_and_they_come_back(world: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "MOST", 3)
    monkeypatch.setattr(preview, "PER", 3 * 3_600_000)
    for _ in range(3):
        assert (await dry(world, "note", params={"text": "z"})).status == 200
    over = await dry(world, "note", params={"text": "z"})
    assert (over.status, over.json["code"]) == (429, "too_many_dry_runs")
    assert int(over.headers["Retry-After"]) >= 1
    assert (await dry(world, "list_messages", token=OTHER)).status == 200
    assert (await world.execute("note", params={"text": "z"})).status == 202
    world.clock.offset += 3_700_000
    assert (await dry(world, "note", params={"text": "z"})).status == 200
    assert (await dry(world, "note", params={"text": "z"})).status == 429


async def test_a_halt_is_a_halt(world: Kit) -> None:
    await world.call("POST", "/admin/halt", {"reason": "x"}, token=ADMIN)
    seen = await dry(world, "note", params={"text": "x"})
    assert (seen.status, seen.json["code"]) == (503, "halted")
    await world.call("POST", "/admin/resume", {"reason": "x"}, token=ADMIN)
    assert (await dry(world, "note", params={"text": "x"})).status == 200


async def test_a_stopped_agent_is_told_so(world: Kit) -> None:
    await world.call("POST", "/admin/agents/mailbot/suspend", {}, token=ADMIN)
    seen = await dry(world, "note", params={"text": "x"})
    real = await world.execute("note", params={"text": "x"})
    assert seen.json["error"] == real.json["execution"]["error"]
