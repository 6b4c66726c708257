"""What is taken away between the release and the claim, or after it: stops, rules, connectors, and races for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.functions.conftest import (
    ALICE,
    OPS,
    RULES,
    ask,
    beat,
    claim,
    claimed,
    complete,
    edit,
    now,
    released,
)
from tests.integration.operators.conftest import TOKENS, admin, facts
from tests.integration.operators.test_reload import reload
from tests.integration.service.kit import OTHER, POLICIES, Answer, Kit

STOPS: list[tuple[str, dict[str, str] | None]] = [
    ("revoke", {"agent": "mailbot"}),
    ("revoke", {"user": ALICE}),
    ("revoke", {"connector": "ops"}),
    ("agents/mailbot/suspend", None),
]


@pytest.mark.parametrize(("way", "body"), STOPS)
async def test_a_stop_ends_what_is_released(both: Kit, way: str, body: Any) -> None:
    told = await released(both, "ask")
    came = await admin(both, way, body)
    assert came.status == 200, came.json
    counted = came.json["executions"] if "executions" in came.json else came.json["cut"]["executions"]
    assert counted == 1
    answer = await claim(both, told)
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert answer.json["execution"]["status"] == "denied"
    assert await now(both, told) == answer.json["execution"]


@pytest.mark.parametrize(("way", "body"), STOPS)
async def test_a_stop_after_the_claim_ends_heartbeats_and_no_fact(world: Kit, way: str, body: Any) -> None:
    told = await released(world, "ask")
    secret = await claimed(world, told)
    assert (await admin(world, way, body)).status == 200
    assert (await now(world, told))["status"] == "executing"
    answer = await beat(world, told, secret)
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert (await complete(world, told, secret)).json["status"] == "succeeded"


@pytest.mark.parametrize(("way", "body"), STOPS)
async def test_a_stop_between_the_checks_and_the_claim_wins(world: Kit, meddler: Meddler, way: str, body: Any) -> None:
    told = await released(world, "ask")
    thrown: list[Answer] = []

    async def throw() -> None:
        thrown.append(await admin(world, way, body))

    meddler.do("before", "claim", throw)
    answer = await claim(world, told)
    assert thrown[0].status == 200
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert await facts(world, "claim") == []


async def test_a_cancel_between_the_checks_and_the_claim_wins(world: Kit, meddler: Meddler) -> None:
    told = await released(world)
    cancelled: list[Answer] = []

    async def cancel() -> None:
        cancelled.append(await world.call("POST", f"/executions/{told['id']}/cancel"))

    meddler.do("before", "claim", cancel)
    answer = await claim(world, told)
    assert cancelled[0].status == 200
    assert (answer.status, answer.json["code"]) == (409, "already_finished")


async def test_a_halt_between_the_checks_and_the_claim_wins(world: Kit, meddler: Meddler) -> None:
    told = await released(world)

    async def halt() -> None:
        assert (await admin(world, "halt", {"reason": "x"})).status == 200

    meddler.do("before", "claim", halt)
    answer = await claim(world, told)
    assert (answer.status, answer.json["code"]) == (503, "halted")
    assert (await now(world, told))["status"] == "released"


async def test_an_expiry_between_the_checks_and_the_claim_wins(world: Kit, meddler: Meddler) -> None:
    told = await released(world, expires_in=600)

    async def pass_by() -> None:
        world.clock.offset += 600_000

    meddler.do("before", "claim", pass_by)
    answer = await claim(world, told)
    assert (answer.status, answer.json["execution"]["status"]) == (409, "expired")


async def test_a_voter_who_was_stopped_voids_the_approval(world: Kit) -> None:
    told = await released(world, "ask")
    assert (await admin(world, "revoke", {"user": "ana@example.com"})).status in (200, 404)
    edit(world, 'from = ["user:ana@example.com"], for_max', 'from = ["user:bo@example.com"], for_max', "policies.toml")
    assert await reload(world)
    answer = await claim(world, told)
    assert (answer.status, answer.json["code"]) == (409, "not_released")
    (item,) = answer.json["execution"]["waiting_for"]
    assert item["from"] == ["user:bo@example.com"]


async def test_rules_that_deny_by_now_refuse_the_claim(world: Kit) -> None:
    told = await released(world)
    rules = RULES.replace('effect = "allow"', 'effect = "deny"\nreason = "No more"', 1)
    (world.folder / "policies.toml").write_text(POLICIES + rules)
    assert await reload(world)
    answer = await claim(world, told)
    assert (answer.status, answer.json["code"]) == (403, "policy_denied")


async def test_a_change_that_leaves_it_untouched_voids_nothing(world: Kit) -> None:
    told = await released(world, "ask")
    (world.folder / "policies.toml").write_text(POLICIES.replace("Mails leave", "All mails leave") + RULES)
    assert await reload(world)
    assert (await claim(world, told)).status == 200


async def test_an_action_that_is_no_longer_the_agents_is_released_to_nobody(world: Kit) -> None:
    told, gone = await released(world), await released(world, "ask")
    text = OPS.replace('id = "ops"', f'id = "ops"\nbase_url = "{world.mail.url}"\n[provider]\nkind = "none"')
    text = text.replace('run = "agent"', 'method = "POST"\npath = "/restart"', 1)
    (world.folder / "connectors" / "ops" / "connector.toml").write_text(text.partition("[actions.ask]")[0])
    edit(world, 'match = ["ops.ask"]', 'match = ["ops.*"]', "policies.toml")
    edit(world, '"ops.restart", ', "", "policies.toml")
    edit(world, 'actions = ["mailhub.*", "ops.*"]', 'actions = ["mailhub.*", "ops.restart"]')
    assert await reload(world)
    for each in (told, gone):
        answer = await claim(world, each)
        assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert world.mail.counts["POST"] == 0


async def test_a_claim_outlives_its_action(world: Kit) -> None:
    told = await released(world)
    secret = await claimed(world, told)
    path = world.folder / "connectors" / "ops" / "connector.toml"
    path.write_text(OPS.replace("[actions.restart]", "[actions.start]"))
    edit(world, '"ops.restart", ', "", "policies.toml")
    assert await reload(world)
    assert (await now(world, told))["status"] == "executing"
    assert (await beat(world, told, secret)).status == 403
    assert (await complete(world, told, secret)).json["status"] == "succeeded"


async def test_a_pass_is_spent_by_a_claim_and_not_by_a_release(world: Kit) -> None:
    first = (await ask(world, "ask")).json
    await world.decide(await world.approval_link(first["id"]), **{"for": "1h"})
    assert (await world.ended(first["id"]))["status"] == "released"
    one, two = await ask(world, "ask"), await ask(world, "ask")
    assert [one.json["status"], two.json["status"]] == ["released", "released"]
    answers = await asyncio.gather(claim(world, one.json), claim(world, two.json))
    assert sorted(answer.status for answer in answers) == [200, 409], "it had one use"
    (refused,) = [answer for answer in answers if answer.status == 409]
    assert (refused.json["code"], refused.json["execution"]["status"]) == ("not_released", "paused")


async def test_a_mixed_connector_needs_neither_account_nor_consent_for_its_function(world: Kit) -> None:
    answer = await world.execute("tidy")
    assert (answer.status, answer.json["status"], answer.json["waiting_for"]) == (202, "released", [])
    assert (answer.json["account"], answer.json["user"]) == (None, ALICE)
    assert (await world.execute("tidy", account="x")).json["code"] == "unknown_account"
    assert (await world.execute("tidy", user=None)).status == 422, "its other actions are done for somebody"
    assert (await claim(world, answer.json)).status == 200


async def test_two_replicas_and_many_claims_one_wins(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    for _ in range(5):
        told = await released(one)
        answers = await asyncio.gather(*(claim(kit, told) for kit in (one, two) * 4))
        assert sorted(answer.status for answer in answers) == [200] + [409] * 7
        assert {answer.json["code"] for answer in answers if answer.status == 409} == {"already_claimed"}
        (secret,) = [answer.json["claim"] for answer in answers if answer.status == 200]
        assert (await complete(two, told, secret)).json["status"] == "succeeded"
        assert (await complete(one, told, secret)).status == 200


async def test_a_claim_against_a_stop_and_a_cancel_on_another_replica(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    for _ in range(5):
        told = await released(one)
        claimed_, cancelled = await asyncio.gather(
            claim(one, told), two.call("POST", f"/executions/{told['id']}/cancel")
        )
        assert sorted([claimed_.status, cancelled.status]) == [200, 409]
    for _ in range(3):
        told = await released(one)
        claimed_, stopped = await asyncio.gather(claim(one, told), admin(two, "revoke", {"connector": "ops"}))
        assert stopped.status == 200
        if claimed_.status == 200:
            assert (await complete(one, told, claimed_.json["claim"])).status == 200
        else:
            assert (claimed_.status, claimed_.json["code"]) == (403, "revoked")
        assert (await claim(two, told)).status in (403, 409)
        assert (await admin(two, "connectors/ops/restore")).status == 200
        for _ in range(100):
            if (await ask(one)).status == 202:
                break
            await asyncio.sleep(0.05)


async def test_an_erasure_waits_for_what_is_claimed_and_ends_what_is_released(world: Kit) -> None:
    turn, begun = await released(world), await released(world, "ask")
    secret = await claimed(world, begun)
    erase = world.call("DELETE", f"/admin/users/{ALICE}", token=TOKENS["security"])
    answer = await erase
    assert answer.status == 503
    assert (await now(world, turn))["error"]["code"] == "revoked"
    assert (await beat(world, begun, secret)).status == 403, "so that it ends"
    world.clock.offset += 600_000
    assert (await now(world, begun))["status"] == "unknown"
    answer = await world.call("DELETE", f"/admin/users/{ALICE}", token=TOKENS["security"])
    assert answer.status == 200, answer.json
    done = await complete(world, begun, secret, result="for nobody")
    assert (done.status, done.json["status"], done.json["result"]) == (200, "succeeded", None)
    assert world.service is not None
    assert (await world.service.store.audit.verify()).breaks == ()


async def test_another_agent_sees_nothing_of_it(world: Kit) -> None:
    told = await released(world)
    for way, body in (("claim", {"digest": told["digest"]}), ("heartbeat", {"claim": "x"})):
        answer = await world.call("POST", f"/executions/{told['id']}/{way}", body, token=OTHER)
        assert (answer.status, answer.json["code"]) == (404, "not_found")
