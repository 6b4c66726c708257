"""What ends by time: a turn that nobody takes, an approval that grows old, a claim that runs out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.integration.functions.conftest import (
    MINUTE,
    RULES,
    ask,
    beat,
    claim,
    claimed,
    complete,
    equip,
    now,
    released,
)
from tests.integration.operators.conftest import ADMINS, TOKENS, admin, facts
from tests.integration.service.kit import POLICIES, Kit, kit


def at(told: Any, name: str) -> float:
    return datetime.fromisoformat(told[name]).timestamp()


async def test_a_turn_that_nobody_takes_expires(both: Kit) -> None:
    told = await released(both, expires_in=600)
    both.clock.offset += 599_000
    assert (await now(both, told))["status"] == "released"
    both.clock.offset += 1_000
    ended = await now(both, told)
    assert (ended["status"], ended["error"]["code"]) == ("expired", "expired")
    answer = await claim(both, told)
    assert (answer.status, answer.json["code"]) == (409, "already_finished")
    assert answer.json["execution"]["status"] == "expired"


async def test_a_claim_that_comes_when_it_has_just_run_out_is_refused(world: Kit) -> None:
    told = await released(world, expires_in=600)
    world.clock.offset += 600_000
    answer = await claim(world, told)
    assert (answer.status, answer.json["execution"]["status"]) == (409, "expired")


async def test_an_approval_that_is_not_claimed_in_time_is_asked_again(both: Kit) -> None:
    told = await released(both, "ask")
    first = (await both.call("GET", f"/executions/{told['id']}")).json
    assert first["waiting_for"] == []
    both.clock.offset += 15 * MINUTE
    again = await now(both, told)
    assert again["status"] == "paused"
    (item,) = again["waiting_for"]
    answer = await claim(both, told)
    assert (answer.status, answer.json["code"]) == (409, "not_released")
    assert (await both.decide(await both.approval_link(told["id"]))).status == 200
    turn = await both.ended(told["id"])
    assert turn["status"] == "released"
    assert (await claim(both, turn)).status == 200
    asked = [fact for fact in await facts(both, "ask") if fact["kind"] == "approval"]
    assert len(asked) == 2
    assert asked[1]["ask"] == item["id"]
    assert "ran out" in asked[1]["why"]


async def test_a_late_claim_itself_has_it_asked_again(world: Kit) -> None:
    told = await released(world, "ask")
    world.clock.offset += 15 * MINUTE + 1
    answer = await claim(world, told)
    assert (answer.status, answer.json["code"]) == (409, "not_released")
    assert answer.json["execution"]["status"] == "paused"


async def test_a_claim_runs_out_and_a_late_word_settles_it(both: Kit) -> None:
    told = await released(both)
    taken = await claim(both, told)
    secret = taken.json["claim"]
    assert at(taken.json, "claim_expires_at") - at(taken.json, "updated_at") == 600
    both.clock.offset += 10 * MINUTE - 1_000
    assert (await now(both, told))["status"] == "executing"
    both.clock.offset += 1_000
    lost = await now(both, told)
    assert (lost["status"], lost["error"]["code"]) == ("unknown", "outcome_unknown")
    assert (await beat(both, told, secret)).json["code"] == "claim_expired"
    done = await complete(both, told, secret, "failed", result={"why": "late"})
    assert (done.status, done.json["status"], done.json["result"]["body"]) == (200, "failed", {"why": "late"})
    assert both.service is not None
    assert (await both.service.store.audit.verify()).breaks == ()


async def test_heartbeats_make_it_last(both: Kit) -> None:
    told = await released(both)
    secret = await claimed(both, told)
    for _ in range(3):
        both.clock.offset += 9 * MINUTE
        answer = await beat(both, told, secret)
        assert answer.status == 200
        assert at(answer.json, "claim_expires_at") - at(answer.json, "updated_at") == 600
        assert (await now(both, told))["status"] == "executing"
    both.clock.offset += 10 * MINUTE
    answer = await beat(both, told, secret)
    assert (answer.status, answer.json["code"]) == (409, "claim_expired")
    assert (await now(both, told))["status"] == "unknown"


async def test_a_claim_outlasts_the_expiry_of_its_execution(world: Kit) -> None:
    told = await released(world, expires_in=600)
    world.clock.offset += 599_000
    secret = await claimed(world, told)
    world.clock.offset += 5 * MINUTE
    assert (await now(world, told))["status"] == "executing"
    assert (await complete(world, told, secret)).json["status"] == "succeeded"


async def test_people_are_asked_what_became_of_it_until_the_agent_says_so(tmp_path: Any) -> None:
    policies = POLICIES.replace("format = 1", 'format = 1\n[defaults]\nunknown_to = ["user:ana@example.com"]') + RULES
    async with kit(tmp_path, config=ADMINS, policies=policies) as world:
        equip(world)
        async with world.running():
            told = await released(world)
            secret = await claimed(world, told)
            world.clock.offset += 10 * MINUTE
            assert (await now(world, told))["status"] == "unknown"
            await now(world, told)
            (line,) = [line for line in world.printed if line.startswith("resolve ")]
            link = line.split()[3]
            async with world.session.get(link) as page:
                text = await page.text()
            assert page.status == 200
            assert "said no more" in text
            assert "function of the agent" in text
            assert (await complete(world, told, secret)).json["status"] == "succeeded"
            async with world.session.get(link) as page:
                assert "Did this happen?" not in await page.text()
            async with world.session.post(link, json={"outcome": "failed", "note": "no"}) as reply:
                assert reply.status == 409


async def test_the_stored_word_of_a_person_is_final(world: Kit) -> None:
    told = await released(world)
    secret = await claimed(world, told)
    world.clock.offset += 10 * MINUTE
    assert (await now(world, told))["status"] == "unknown"
    body = {"outcome": "succeeded", "note": "I looked"}
    resolved = await world.call("POST", f"/executions/{told['id']}/resolve", body, token=TOKENS["operator"])
    assert resolved.status == 200
    assert (await complete(world, told, secret)).json["code"] == "already_finished"


async def test_a_halt_stops_claims_and_the_clock_and_no_outcome(both: Kit) -> None:
    waiting, begun = await released(both, "ask"), await released(both)
    secret = await claimed(both, begun)
    both.clock.offset += 5 * MINUTE
    assert (await admin(both, "halt", {"reason": "x"})).status == 200
    answer = await claim(both, waiting)
    assert (answer.status, answer.json["code"]) == (503, "halted")
    both.clock.offset += 24 * 60 * MINUTE
    assert (await now(both, waiting))["status"] == "released"
    assert (await now(both, begun))["status"] == "executing"
    assert (await admin(both, "resume", {"reason": "x"})).status == 200
    assert (await now(both, begun))["status"] == "executing", "its ten minutes stood still"
    assert (await now(both, waiting))["status"] == "released", "and so did the fifteen of the approval"
    both.clock.offset += 5 * MINUTE
    assert (await now(both, begun))["status"] == "unknown"
    assert (await complete(both, begun, secret)).status == 200
    assert (await claim(both, waiting)).status == 200


async def test_what_became_of_it_is_put_down_while_everything_is_halted(world: Kit) -> None:
    told = await released(world)
    secret = await claimed(world, told)
    await admin(world, "halt", {"reason": "x"})
    assert (await beat(world, told, secret)).status == 200
    assert (await complete(world, told, secret)).json["status"] == "succeeded"
    assert (await ask(world)).json["code"] == "halted"


async def test_a_restart_forgets_nothing(resting: Kit) -> None:
    async with resting.running():
        turn, begun = await released(resting, "ask"), await released(resting)
        secret = await claimed(resting, begun)
    async with resting.running():
        assert (await now(resting, begun))["status"] == "executing"
        assert (await beat(resting, begun, secret)).status == 200
        assert (await complete(resting, begun, secret)).json["status"] == "succeeded"
        assert (await claim(resting, turn)).status == 200
    async with resting.running():
        resting.clock.offset += 10 * MINUTE
        assert (await now(resting, turn))["status"] == "unknown"
