"""The same claim for the same key: an answer that was lost costs nothing, and nobody else gets anything by it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from tests.integration.attacks.meddler import Meddler
from tests.integration.functions.conftest import MINUTE, OPS, ask, beat, claim, complete, edit, now, released
from tests.integration.operators.conftest import TOKENS, admin, facts
from tests.integration.operators.test_reload import reload
from tests.integration.service.kit import AGENT, OTHER, Answer, Kit

KEY = "5f1c6a4be0d84b7e9a35-4711"


async def take(world: Kit, told: Any, key: str | None = KEY, *, token: str = AGENT, digest: str = "") -> Answer:
    headers = {} if key is None else {"Idempotency_Key": key}
    body = {"digest": digest or told["digest"]}
    return await world.call("POST", f"/executions/{told['id']}/claim", body, token=token, **headers)


async def refused(answer: Answer) -> None:
    assert (answer.status, answer.json["code"]) == (409, "already_claimed")


async def test_the_same_key_gets_the_same_claim_and_any_other_a_refusal(both: Kit) -> None:
    told = await released(both)
    first = await take(both, told)
    both.clock.offset += MINUTE
    again = await take(both, told)
    assert (first.status, again.status) == (200, 200)
    assert again.json["claim"] == first.json["claim"]
    assert again.json["claim_expires_at"] > first.json["claim_expires_at"], "its time begins when it is got"
    for other in (None, KEY + "1", KEY[:-1], KEY.upper()):
        await refused(await take(both, told, other))
    assert (await complete(both, told, again.json["claim"])).json["status"] == "succeeded"
    assert [fact["attempt"] for fact in await facts(both, "claim")] == [1]
    assert [fact["attempt"] for fact in await facts(both, "claim.again")] == [1]
    assert both.service is not None
    assert (await both.service.store.audit.verify()).breaks == ()


async def test_a_key_is_good_until_the_claim_was_used(both: Kit) -> None:
    begun, done, late = [await released(both) for _ in range(3)]
    for told in (begun, done, late):
        assert (await take(both, told)).status == 200
    secret = (await take(both, begun)).json["claim"]
    assert (await beat(both, begun, secret)).status == 200
    await refused(await take(both, begun))
    assert (await complete(both, begun, secret)).status == 200
    await refused(await take(both, begun))
    assert (await complete(both, done, (await take(both, done)).json["claim"])).status == 200
    await refused(await take(both, done))
    both.clock.offset += 10 * MINUTE
    await refused(await take(both, late))
    assert (await now(both, late))["status"] == "unknown"
    await refused(await take(both, late))


async def test_who_claimed_without_a_key_claims_once(world: Kit) -> None:
    told = await released(world)
    assert (await take(world, told, None)).status == 200
    for key in (None, KEY, "claim", ""):
        assert (await take(world, told, key)).status in (400, 409)


async def test_a_key_is_bound_to_its_execution_its_digest_and_its_agent(world: Kit) -> None:
    one, two = await released(world), await released(world, params={"service": "db"})
    first, second = await take(world, one), await take(world, two)
    assert first.json["claim"] != second.json["claim"]
    assert (await take(world, one, digest=two["digest"])).json["code"] == "digest_mismatch"
    assert (await take(world, one, token=OTHER)).status == 404
    assert (await take(world, one, token=TOKENS["security"])).status == 401


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_a_key_that_is_none(world: Kit, key: str) -> None:
    answer = await take(world, await released(world), key)
    assert (answer.status, answer.json["code"]) == (400, "bad_key")


async def test_nothing_in_the_store_gives_the_claim_or_the_key(world: Kit) -> None:
    told = await released(world)
    secret = (await take(world, told)).json["claim"]
    raw = b"".join(path.read_bytes() for path in world.folder.glob("jit-auth.db*"))
    assert KEY.encode() not in raw
    assert secret.encode() not in raw
    assert base64.urlsafe_b64decode(secret.removeprefix("jat_clm_") + "=") not in raw
    assert secret not in json.dumps((await world.call("GET", "/admin/audit", token=TOKENS["viewer"])).json)


@pytest.mark.parametrize("cut", [{"agent": "mailbot"}, {"user": "alice@example.com"}, {"connector": "ops"}])
async def test_a_stop_after_the_claim_ends_what_its_key_gives(world: Kit, cut: dict[str, str]) -> None:
    told = await released(world)
    assert (await take(world, told)).status == 200
    assert (await admin(world, "revoke", cut)).status == 200
    answer = await take(world, told)
    assert answer.json["code"] in ("already_claimed", "agent_suspended")
    assert "claim" not in answer.json


async def test_a_halt_and_a_denial_after_the_claim(world: Kit) -> None:
    told, asked = await released(world), await released(world, "ask")
    for each in (told, asked):
        assert (await take(world, each)).status == 200
    assert (await admin(world, "halt", {"reason": "x"})).status == 200
    assert (await take(world, told)).json["code"] == "halted"
    assert (await admin(world, "resume", {"reason": "x"})).status == 200
    assert (await take(world, told)).status == 200
    assert (await take(world, asked)).status == 200
    edit(world, 'effect = "allow"\n\n[[rule]]\nid = "ops-ask"', 'effect = "deny"\n\n[[rule]]\nid = "ops-ask"',
         "policies.toml")  # fmt: skip
    edit(world, 'from = ["user:ana@example.com"], for_max', 'from = ["user:alice@example.com"], for_max',
         "policies.toml")  # fmt: skip
    assert await reload(world)
    await refused(await take(world, told))
    await refused(await take(world, asked))


async def test_an_action_that_has_changed_since_gives_nothing_again(world: Kit) -> None:
    told = await released(world)
    assert (await take(world, told)).status == 200
    path = world.folder / "connectors" / "ops" / "connector.toml"
    path.write_text(
        OPS.replace("[actions.ask]", 'params.times = { type = "integer", required = true }\n[actions.ask]', 1)
    )
    assert await reload(world)
    await refused(await take(world, told))


async def test_a_pass_is_used_once_by_a_claim_and_its_repeats(world: Kit) -> None:
    first = (await ask(world, "ask")).json
    await world.decide(await world.approval_link(first["id"]), **{"for": "1h"})
    told = (await ask(world, "ask")).json
    assert told["status"] == "released"
    taken = [await take(world, told) for _ in range(3)]
    assert [answer.status for answer in taken] == [200, 200, 200]
    assert len({answer.json["claim"] for answer in taken}) == 1
    assert len(await facts(world, "pass.used")) == 1


async def test_a_stop_between_the_checks_and_the_repeat_wins(world: Kit, meddler: Meddler) -> None:
    told = await released(world)
    assert (await take(world, told)).status == 200
    meddler.do("before", "claim.again", lambda: admin(world, "revoke", {"connector": "ops"}))
    await refused(await take(world, told))


async def test_two_replicas_one_key_and_many_tries_are_one_claim(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    for _ in range(3):
        told = await released(one)
        tries = [take(kit, told, key) for kit in (one, two) for key in ("first" * 5, "second" * 5) * 2]
        answers = await asyncio.gather(*tries)
        keys = [key for _ in (one, two) for key in ("first", "second") * 2]
        won = {key for key, answer in zip(keys, answers, strict=True) if answer.status == 200}
        assert len(won) == 1, "one of the keys"
        given = {answer.json["claim"] for answer in answers if answer.status == 200}
        assert len(given) == 1
        assert [answer.status for answer in answers].count(200) == 4
        assert (await complete(two, told, given.pop())).status == 200


async def test_a_stop_on_another_replica_ends_what_a_key_gives(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    told = await released(one)
    assert (await take(one, told)).status == 200
    assert (await take(two, told)).status == 200
    assert (await admin(two, "revoke", {"connector": "ops"})).status == 200
    await refused(await take(one, told))


async def test_a_restart_leaves_a_claim_with_a_key_in_its_agents_hands(resting: Kit) -> None:
    async with resting.running():
        told = await released(resting)
        secret = (await take(resting, told)).json["claim"]
    async with resting.running():
        assert (await now(resting, told))["status"] == "executing"
        assert (await take(resting, told)).json["claim"] == secret
        assert (await claim(resting, told)).json["code"] == "already_claimed"


@pytest.mark.parametrize("limit", ["history.same_action_1h < 1", "task.count < 1"])
async def test_what_is_counted_is_not_counted_twice_by_a_repeat(world: Kit, limit: str) -> None:
    edit(world, 'match = ["ops.restart", "mailhub.tidy"]\n', f'match = ["ops.restart"]\nwhen = "{limit}"\n',
         "policies.toml")  # fmt: skip
    assert await reload(world)
    told = await released(world, task={"id": "t1"})
    taken = [await take(world, told) for _ in range(2)]
    assert [answer.status for answer in taken] == [200, 200], taken[-1].json
    assert taken[0].json["claim"] == taken[1].json["claim"]
    assert (await ask(world, task={"id": "t1"})).status == 403, "the first one counts"


@pytest.mark.parametrize("when", ["before", "between"])
async def test_a_claim_under_a_pass_that_was_ended_is_not_given_again(world: Kit, meddler: Meddler, when: str) -> None:
    """The end of a pass raises no stop: its row's version is what a repeat is compared with."""
    first = (await ask(world, "ask")).json
    await world.decide(await world.approval_link(first["id"]), **{"for": "1h"})
    told = (await ask(world, "ask")).json
    assert (await take(world, told)).status == 200
    (used,) = await facts(world, "pass.used")

    async def end() -> None:
        assert (await admin(world, "revoke", {"grant": used["pass"]})).status == 200

    if when == "before":
        await end()
    else:
        meddler.do("before", "claim.again", end)
    await refused(await take(world, told))
    assert await facts(world, "claim.again") == []
