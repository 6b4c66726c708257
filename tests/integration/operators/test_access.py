"""The blast radius: by command and by HTTP the same, with the service up and down, on both databases."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.cli.main import main
from jit_auth.model import Audit as Row
from jit_auth.model import Insert, Pass, Unit
from tests.integration.operators.conftest import ADMINS, ROLES, TOKENS, Ran, admin, facts
from tests.integration.service.kit import AGENT, OTHER, Answer, Kit, kit

ALICE = "alice@example.com"
SEND = {"to": ["x@y.example"], "subject": "hi"}
DAY = 86_400_000
ALIAS = '[people."dora@example.com"]\naliases = ["d.smith@example.com"]\n'


async def told(world: Kit, capsys: pytest.CaptureFixture[str], *words: str) -> Ran:
    """`jit-auth ...`, in a thread of this process: starting one takes longer than the report."""
    code = await asyncio.to_thread(main, [*words, "-c", str(world.folder / "config.toml")])
    printed = capsys.readouterr()
    return Ran(code, printed.out, printed.err)


async def look(world: Kit, query: str, role: str = "viewer") -> Answer:
    return await world.call("GET", f"/admin/access?{query}", token=TOKENS[role])


def named(items: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    (found,) = [item for item in items if item[key] == value]
    return found


@pytest.fixture(params=["sqlite", "postgres"])
async def used(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    """mailbot has read twice and noted twice for alice; otherbot waits for her consent."""
    storage = "sqlite:///jit-auth.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    async with kit(tmp_path, storage=storage, config=ADMINS + ALIAS) as found, found.running():
        await found.connected()
        for action, params in (("list_messages", {}), ("list_messages", {}), ("note", {"text": "x"})):
            assert (await found.execute(action, params=params)).json["status"] == "succeeded"
        assert (await found.execute("delete_message", params={"id": "1"})).status == 403
        assert (await found.execute("list_messages", token=OTHER)).status == 202
        yield found


async def test_an_agent_and_what_of_it_was_used(used: Kit) -> None:
    came = await look(used, "agent=mailbot")
    assert came.status == 200, came.json
    report = came.json
    assert (report["agent"], report["declared"], report["suspended"]) == ("mailbot", ["mailhub.*"], False)
    read = named(report["actions"], "name", "mailhub.list_messages")
    assert read["used"] >= 2
    assert read["last_use"]
    assert read["risk"] == "low"
    deleted = named(report["actions"], "name", "mailhub.delete_message")
    assert (deleted["used"], deleted["last_use"]) == (0, None), "it was asked for, and never sent"
    assert "mailhub.delete_message" in report["never_used"]
    assert tomllib.loads(report["narrower"])["actions"] == ["mailhub.list_messages", "mailhub.note"]
    assert [user["user"] for user in report["users"]["acted_for"]] == [ALICE]
    assert (report["users"]["total"], report["users"]["declared"]) == (1, ["*"])
    (account,) = report["accounts"]
    assert (account["user"], account["provider"], account["reachable"]) == (ALICE, "mailhub", True)
    assert report["scopes"] == {"mailhub": sorted(account["scopes"])}
    assert account["scopes"]
    assert report["last_use"] >= read["last_use"]


async def test_a_user_and_who_can_act_for_them(used: Kit) -> None:
    report = (await look(used, "user=Alice@Example.com")).json
    assert report["user"] == ALICE
    assert [agent["agent"] for agent in report["agents"]] == ["mailbot", "otherbot"]
    mailbot, otherbot = report["agents"]
    assert named(mailbot["actions"], "name", "mailhub.note")["used"] == 2
    assert [account["reachable"] for account in mailbot["accounts"]] == [True]
    assert [action["name"] for action in otherbot["actions"]] == ["mailhub.list_messages"]
    assert (otherbot["accounts"], otherbot["last_use"]) == ([], None)
    assert [account["agents"] for account in report["accounts"]] == [["mailbot"]]
    assert report["last_use"] == mailbot["last_use"]


async def test_uses_are_counted_for_ninety_days_and_never_forgotten(used: Kit) -> None:
    used.clock.offset += 91 * DAY
    report = (await look(used, "agent=mailbot")).json
    read = named(report["actions"], "name", "mailhub.list_messages")
    assert (read["used"], bool(read["last_use"])) == (0, True)
    assert "mailhub.list_messages" not in report["never_used"]
    (mailbot, _) = (await look(used, f"user={ALICE}")).json["agents"]
    assert named(mailbot["actions"], "name", "mailhub.note")["used"] == 0


async def test_what_is_cut_is_said_to_be(used: Kit) -> None:
    assert (await admin(used, "agents/mailbot/suspend")).status == 200
    assert (await admin(used, "revoke", {"connector": "mailhub"})).status == 200
    await admin(used, "halt", {"reason": "x"})
    report = (await look(used, "agent=mailbot")).json
    assert (report["suspended"], report["halted"], report["stopped_connectors"]) == (True, True, ["mailhub"])
    assert all(action["stopped"] for action in report["actions"])
    assert (await admin(used, "revoke", {"user": ALICE})).status == 200
    report = (await look(used, "agent=mailbot")).json
    assert (report["accounts"], report["scopes"]) == ([], {})
    assert [user["user"] for user in report["users"]["acted_for"]] == [ALICE]
    report = (await look(used, f"user={ALICE}")).json
    assert (report["accounts"], report["halted"]) == ([], True)


async def test_approvals_for_a_while_are_in_it(used: Kit) -> None:
    assert used.service is not None
    now = used.service.store.now()
    one = Pass(
        id="pas_" + "0" * 26, digest="sha256:x", agent="mailbot", chain=("mailbot",), user=ALICE,
        action="mailhub.send_message", voters=("ana@example.com",), uses=3, until=now + DAY, created=now,
    )  # fmt: skip
    await used.service.store.apply(Unit(None, (Insert(one),), Row(actor="engine", what=({"do": "test"},))))
    for query in ("agent=mailbot", f"user={ALICE}"):
        (found,) = (await look(used, query)).json["approvals"]
        assert (found["action"], found["by"], found["uses_left"]) == ("mailhub.send_message", ["ana@example.com"], 3)
    assert (await look(used, "agent=otherbot")).json["approvals"] == []
    used.clock.offset += 2 * DAY
    assert (await look(used, "agent=mailbot")).json["approvals"] == []


async def test_by_command_it_is_the_same_document(used: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    for words, query in ((("agent", "mailbot"), "agent=mailbot"), (("user", "ALICE@example.com"), f"user={ALICE}")):
        ran = await told(used, capsys, "access", *words, "--json")
        assert ran.code == 0, ran.err
        assert {**ran.json, "at": ""} == {**(await look(used, query)).json, "at": ""}


async def test_an_agent_that_the_files_forgot_is_still_told_of(
    resting: Kit, capsys: pytest.CaptureFixture[str]
) -> None:
    async with resting.running():
        await resting.connected()
        await resting.execute("note", params={"text": "x"})
    text = (resting.folder / "config.toml").read_text()
    (resting.folder / "config.toml").write_text(text.replace("[agents.mailbot]", "[agents.newbot]"))
    ran: Ran = await told(resting, capsys, "access", "agent", "mailbot", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["configured"], ran.json["actions"], ran.json["narrower"]) == (False, [], None)
    assert "mailhub.note" in [use["name"] for use in ran.json["no_longer_allowed"]]
    assert [account["why_not"] for account in ran.json["accounts"]] == ["user_not_permitted"]
    (resting.folder / "connectors" / "mailhub" / "connector.toml").write_text("nonsense = [")
    ran = await told(resting, capsys, "access", "user", ALICE)
    assert ran.code == 0, ran.err
    assert "without the connectors" in ran.err
    assert "agent mailbot: may no longer act for them" in ran.out
    assert "mailhub.note" in ran.out


async def test_for_people(used: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    ran = await told(used, capsys, "access", "agent", "mailbot")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("agent mailbot: active; last use 2")
    assert "mailhub.delete_message" in ran.out
    assert ran.out.rstrip().endswith('actions = ["mailhub.list_messages", "mailhub.note"]')
    ran = await told(used, capsys, "access", "user", "d.smith@example.com")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("user dora@example.com: last use never")


NOWHERE = [
    ("agent=nobody", 404, "not_found"),
    ("user=nobody@example.com", 404, "not_found"),
    ("agent=", 404, "not_found"),
    ("user=*", 400, "bad_user"),
    ("", 400, "bad_query"),
    (f"agent=mailbot&user={ALICE}", 400, "bad_query"),
    ("agent=mailbot&agent=otherbot", 400, "bad_query"),
    ("agents=mailbot", 400, "unknown_field"),
]


async def test_what_nobody_knows_is_not_found_with_the_nearest(world: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    for query, status, code in NOWHERE:
        came = await look(world, query)
        assert (came.status, came.json["code"]) == (status, code), query
    assert "'mailbot'" in (await look(world, "agent=mailbott")).json["hint"]
    assert "'alice@example.com'" in (await look(world, "user=alise@example.com")).json["hint"]
    ran = await told(world, capsys, "access", "agent", "mailbott")
    assert (ran.code, ran.out) == (1, "")
    assert "mailbot" in ran.err
    with pytest.raises(SystemExit, match="2"):
        main(["access", "robot", "x"])


async def test_admins_of_any_role_read_and_nobody_else(world: Kit) -> None:
    paths = ("access?agent=mailbot", "audit", "explain?execution=exe_00000000000000000000000000")
    for path in paths:
        for token in (AGENT, OTHER, "wrong"):
            assert (await world.call("GET", f"/admin/{path}", token=token)).status == 401, path
        for role in ROLES:
            status = 404 if "explain" in path else 200
            assert (await world.call("GET", f"/admin/{path}", token=TOKENS[role])).status == status, path
        for method in ("HEAD", "POST", "DELETE"):
            async with world.session.request(method, f"{world.url}/admin/{path}") as reply:
                assert reply.status == 405, (method, path)


async def test_looking_is_on_record(used: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    await look(used, "agent=mailbot")
    await look(used, f"user={ALICE}")
    await look(used, "user=dora@example.com")
    ran = await told(used, capsys, "access", "user", ALICE)
    assert ran.code == 0, ran.err
    seen = await facts(used, "access.read")
    assert [fact["actor"] for fact in seen] == ["admin:viewer"] * 3 + ["operator"]
    assert (seen[0].get("agent"), seen[1].get("of"), seen[2].get("of")) == ("mailbot", ALICE, None)
    assert seen[3]["as"]
