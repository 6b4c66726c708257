"""The kill switch by HTTP and by command, on a running service (THREAT_MODEL 9, 25)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jit_auth.model import Audit, Insert, Pass, Session, Unit
from tests.fakes.browser import Browser
from tests.integration.attacks.meddler import Meddler
from tests.integration.operators.conftest import ADMINS, admin, command, facts
from tests.integration.service.kit import OTHER, Kit, kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
ALICE = "alice@example.com"


async def grants(world: Kit, user: str = ALICE) -> tuple[Any, ...]:
    assert world.service is not None
    return (await world.service.store.grants(user, "mailhub"))[0]


async def test_an_agent_that_is_revoked_is_cut_off_and_its_grants_are_given_back(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    came = await admin(world, "revoke", {"agent": "mailbot", "reason": "it mails strangers"}, role="operator")
    assert came.status == 200, came.json
    assert came.json["agent"] == "mailbot"
    assert came.json["cut"] == {"grants": 1, "consents": 1, "sessions": 0, "executions": 1, "passes": 0}
    assert (came.json["revoked"], came.json["pending"]) == (1, 0)
    assert not world.provider.families[-1].live
    assert len(world.provider.revoked) == len(set(world.provider.revoked)) == 2, "the outbox has posted them too"
    assert await grants(world) == ()
    ended = await world.ended(paused)
    assert (ended["status"], ended["error"]["code"]) == ("denied", "revoked")
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert world.mail.counts["POST"] == 0
    (fact,) = await facts(world, "agent.suspended")
    assert (fact["why"], fact["actor"]) == ("it mails strangers", "admin:operator")


async def test_a_grant_that_another_agent_uses_stays(world: Kit) -> None:
    other = await world.execute("list_messages", token=OTHER)
    async with Browser() as browser:
        await browser.get(other.json["waiting_for"][0]["url"])
        await browser.submit()
    assert (await world.ended(other.json["id"], token=OTHER))["status"] == "succeeded"
    came = await admin(world, "revoke", {"agent": "mailbot"})
    assert came.json["cut"]["grants"] == 0
    assert came.json["cut"]["consents"] == 1
    assert (await world.execute("list_messages", token=OTHER)).json["status"] == "succeeded"


async def test_restoring_an_agent_lifts_the_suspension_alone(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    assert (await admin(world, "revoke", {"agent": "mailbot"})).status == 200
    restored = await admin(world, "agents/mailbot/restore")
    assert (restored.status, restored.json) == (200, {"agent": "mailbot", "suspended": False})
    assert (await world.ended(paused))["error"]["code"] == "revoked"
    answer = await world.execute("note", params={"text": "x"})
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"]
    assert (await admin(world, "agents/mailbot/restore")).status == 200, "it is restored already"
    assert len(await facts(world, "agent.restored")) == 1


async def test_a_suspended_agent_keeps_its_consents_and_loses_its_calls(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    waiting = asyncio.create_task(world.call("GET", f"/executions/{paused}?wait=30"))
    stream = asyncio.create_task(world.call("GET", f"/executions/{paused}/events"))
    assert world.service is not None
    for _ in range(500):
        if len(world.service.engine.waits._waiting.get(paused, ())) == 2:
            break
        await asyncio.sleep(0.01)
    came = await admin(world, "agents/mailbot/suspend", {"reason": "odd"}, role="operator")
    assert came.json == {"agent": "mailbot", "suspended": True, "executions": 1}
    async with asyncio.timeout(5):
        assert (await waiting).json["error"]["code"] == "revoked"
        await asyncio.wait([stream])
    assert (await world.execute("note", params={"text": "x"})).json["code"] == "revoked"
    await admin(world, "agents/mailbot/restore")
    assert (await world.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    assert (await world.ended(paused))["status"] == "denied"


async def test_a_user_who_is_cut_is_not_banned(world: Kit) -> None:
    paused = await world.execute("send_message", params=SEND)
    waits = await world.execute("list_messages", token=OTHER)
    link = waits.json["waiting_for"][0]["url"]
    came = await admin(world, "revoke", {"user": "Alice@Example.com", "reason": "laptop lost"}, role="operator")
    assert came.json["user"] == ALICE
    assert came.json["cut"] == {"grants": 1, "consents": 1, "sessions": 0, "executions": 2, "passes": 0}
    assert came.json["revoked"] == 1
    async with world.session.get(link) as page:
        assert page.status == 404, "a link from before is none"
    for one, token in ((paused, None), (waits, OTHER)):
        ended = await world.ended(one.json["id"], **({"token": token} if token else {}))
        assert (ended["status"], ended["error"]["code"]) == ("denied", "revoked")
    again = await world.execute("note", params={"text": "x"})
    assert (again.status, [item["kind"] for item in again.json["waiting_for"]]) == (202, ["consent"])
    await world.connect(again)
    assert (await world.ended(again.json["id"]))["status"] == "succeeded"
    (fact,) = await facts(world, "user.revoked")
    assert "laptop" not in str(fact), "what is said of one person is committed to, not written out"


async def test_an_approver_who_is_cut_loses_the_links_of_before(world: Kit) -> None:
    answer = await world.execute("send_message", params=SEND)
    link = await world.approval_link(answer.json["id"])
    assert (await admin(world, "revoke", {"user": "ana@example.com"})).status == 200
    assert (await world.decide(link)).status == 404
    assert world.mail.counts["POST"] == 0


async def test_a_grant_is_ended_and_asked_for_anew(world: Kit) -> None:
    (grant,) = await grants(world)
    came = await admin(world, "revoke", {"grant": grant.id})
    assert (came.json["cut"]["grants"], came.json["revoked"]) == (1, 1)
    assert (await admin(world, "revoke", {"grant": grant.id})).json["cut"]["grants"] == 0
    answer = await world.execute("note", params={"text": "x"})
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"]


async def test_a_connector_is_refused_until_it_is_restored(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    came = await admin(world, "revoke", {"connector": "mailhub"}, role="operator")
    assert came.json["cut"]["executions"] == 1
    assert (await world.ended(paused))["error"]["code"] == "revoked"
    assert (await world.execute("note", params={"text": "x"})).json["code"] == "revoked"
    assert (await admin(world, "connectors/mailhub/restore")).json == {"connector": "mailhub", "stopped": False}
    assert (await world.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    assert (await world.ended(paused))["status"] == "denied"


async def test_a_provider_that_is_away_is_left_to_the_outbox(world: Kit) -> None:
    world.provider.faults = [(503, "text/plain", "away")] * 4
    (grant,) = await grants(world)
    came = await admin(world, "revoke", {"grant": grant.id})
    assert (came.status, came.json["revoked"], came.json["pending"]) == (200, 0, 1)
    for _ in range(400):
        if not world.provider.families[-1].live:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the worker has not tried again")


@pytest.mark.parametrize("body", [{"agent": "mailbot"}, {"user": ALICE}, {"connector": "mailhub"}, {"grant": ""}])
async def test_what_is_revoked_between_decision_and_intent_is_not_sent(
    world: Kit, meddler: Meddler, body: dict[str, str]
) -> None:
    if "grant" in body:
        body = {"grant": (await grants(world))[0].id}
    meddler.do("before", "send", lambda: admin(world, "revoke", body))
    answer = await world.execute("note", params={"text": "x"})
    assert answer.json.get("code", answer.json.get("status")) in ("revoked", "paused")
    assert world.mail.counts["POST"] == 0


NOTHING: list[tuple[Any, int, str]] = [
    ({"agent": "nobody"}, 404, "not_found"),
    ({"user": "nobody@example.com"}, 404, "not_found"),
    ({"user": "*"}, 400, "bad_user"),
    ({"grant": "grt_00000000000000000000000000"}, 404, "not_found"),
    ({"grant": "pas_00000000000000000000000000"}, 404, "not_found"),
    ({"grant": "nonsense"}, 404, "not_found"),
    ({"connector": "nothing"}, 404, "not_found"),
    ({}, 422, "invalid_params"),
    ({"agent": "mailbot", "user": ALICE}, 422, "invalid_params"),
    ({"agent": 7}, 422, "invalid_params"),
    ({"agent": "mailbot", "reason": ""}, 422, "invalid_params"),
    ({"agents": "mailbot"}, 400, "unknown_field"),
    ([], 400, "bad_json"),
]


async def test_what_names_nothing_cuts_nothing(world: Kit) -> None:
    for body, status, code in NOTHING:
        came = await admin(world, "revoke", body)
        assert (came.status, came.json["code"]) == (status, code), body
    for path in ("agents/nobody/suspend", "agents/nobody/restore", "connectors/nothing/restore"):
        assert (await admin(world, path)).status == 404, path
    assert (await world.execute("note", params={"text": "x"})).json["status"] == "succeeded"


async def test_by_command_beside_the_running_service(world: Kit) -> None:
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    ran = await command(world, "revoke", "agent", "mailbot", "--reason", "it mails strangers", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["cut"]["grants"] == 1
    assert ran.json["revoked"] + ran.json["pending"] == 1
    answer = await world.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (403, "revoked"), "the very next send"
    assert (await world.ended(paused))["error"]["code"] == "revoked"
    (fact,) = await facts(world, "agent.suspended")
    assert (fact["actor"], fact["why"]) == ("operator", "it mails strangers")
    assert fact["as"]
    ran = await command(world, "revoke", "user", "nobody@example.com")
    assert (ran.code, ran.out) == (1, "")
    assert "nobody@example.com" in ran.err


async def test_by_command_while_the_service_is_down(resting: Kit) -> None:
    async with resting.running():
        await resting.connected()
        paused = (await resting.execute("send_message", params=SEND)).json["id"]
    (resting.folder / "policies.toml").write_text("nonsense = [")
    ran = await command(resting, "revoke", "user", ALICE)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [
        f"cut user {ALICE}: 1 grant, 1 consent, 1 open call",
        "revoked at the provider: 1",
        "pending: 0",
    ]
    assert not resting.provider.families[-1].live
    resting.write()
    async with resting.running():
        assert (await resting.ended(paused))["error"]["code"] == "revoked"
        again = await resting.execute("note", params={"text": "x"})
        assert [item["kind"] for item in again.json["waiting_for"]] == ["consent"]


async def test_one_replica_cuts_and_the_other_sends_nothing_more(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    paused = (await two.execute("send_message", params=SEND)).json["id"]
    waiting = asyncio.create_task(two.call("GET", f"/executions/{paused}?wait=30"))
    assert (await two.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    posts = one.mail.counts["POST"]
    assert (await admin(one, "revoke", {"agent": "mailbot"})).json["cut"]["executions"] == 1
    answer = await two.execute("note", params={"text": "x"})
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert one.mail.counts["POST"] == posts
    async with asyncio.timeout(5):
        assert (await waiting).json["error"]["code"] == "revoked"
    await admin(two, "agents/mailbot/restore")
    assert (await one.execute("note", params={"text": "x"})).status == 202


async def test_a_user_is_cut_on_all_replicas_with_links_and_calls(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    paused = (await two.execute("send_message", params=SEND)).json["id"]
    waits = await two.execute("list_messages", token=OTHER)
    link = waits.json["waiting_for"][0]["url"]
    came = await admin(one, "revoke", {"user": ALICE})
    assert came.json["cut"] == {"grants": 1, "consents": 1, "sessions": 0, "executions": 2, "passes": 0}
    async with two.session.get(link) as page:
        assert page.status == 404
    assert (await two.ended(paused))["error"]["code"] == "revoked"
    again = await two.execute("note", params={"text": "x"})
    assert (again.status, [item["kind"] for item in again.json["waiting_for"]]) == (202, ["consent"])
    assert (await admin(two, "revoke", {"connector": "mailhub"})).status == 200
    assert (await one.execute("note", params={"text": "x"})).json["code"] == "revoked"
    assert (await one.ended(again.json["id"]))["error"]["code"] == "revoked"
    await admin(two, "connectors/mailhub/restore")
    assert (await one.execute("note", params={"text": "x"})).status == 202


async def test_the_command_tells_webhooks(tmp_path: Path) -> None:
    hook = '[webhooks.ops]\nurl = "http://127.0.0.1:9/"\nsecret = "whsec_' + "QUJD" * 11 + '"\n'
    async with kit(tmp_path, config=ADMINS + hook) as found:
        async with found.running():
            await found.connected()
        ran = await command(found, "revoke", "agent", "mailbot", "--reason", "odd")
        assert ran.code == 0, ran.err
        async with found.running():
            assert found.service is not None
            found.clock.offset += 7_200_000
            rows = [row for row in await found.service.store.outbox_due() if row.kind == "event"]
            told = {kind for row in rows for kind in ("agent.suspended", "grant.revoked") if kind in row.payload}
            assert told == {"agent.suspended", "grant.revoked"}
            assert not [row for row in rows if ALICE in row.payload or "odd" in row.payload]


async def test_sessions_and_approvals_for_a_while_are_cut(world: Kit) -> None:
    assert world.service is not None
    store = world.service.store
    now, far = store.now(), store.now() + 3_600_000
    session = Session(id="ses_1", person=ALICE, how="oidc", issuer="corp", at=now, used=now, until=far)

    def standing(letter: str) -> Pass:
        return Pass(
            id="pas_0" + letter * 25, digest="sha256:d", agent="mailbot", chain=("mailbot",), user=ALICE,
            action="mailhub.send_message", voters=("ana@example.com",), uses=3, until=far, created=now,
        )  # fmt: skip

    rows = (Insert(session), Insert(standing("a")), Insert(standing("b")))
    await store.apply(Unit(None, rows, Audit(actor="engine", what=({"do": "test"},))))
    one = await admin(world, "revoke", {"grant": standing("a").id, "reason": "too long"}, role="operator")
    assert (one.status, one.json["cut"]["passes"]) == (200, 1)
    assert [each.id for each in await store.circles.passes()] == [standing("b").id]
    assert (await admin(world, "revoke", {"grant": standing("a").id})).json["cut"]["passes"] == 0
    cut = (await admin(world, "revoke", {"user": ALICE})).json["cut"]
    assert (cut["sessions"], cut["passes"]) == (1, 1)
    assert await store.own.sessions(ALICE) == ()
    assert await store.circles.passes() == ()
