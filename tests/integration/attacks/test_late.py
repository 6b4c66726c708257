"""Time as an enemy: approvals that age, outages that outlive them, rows that hold up the worker (THREAT_MODEL 9)."""

from __future__ import annotations

import asyncio

import pytest

from jit_auth.core.view import Came
from tests.integration.attacks.meddler import Meddler
from tests.integration.service.kit import POLICIES, Kit

SEND = {"to": ["x@y.example"], "subject": "hi"}
MINUTE = 60_000


async def approved_in_an_outage(world: Kit) -> str:
    """An approved call whose every attempt finds the provider unreachable."""
    assert world.service is not None
    attempts = world.service.engine.dispatcher._attempts

    async def unreachable(*_: object, **__: object) -> Came:
        return Came("never_left", message="unreachable")

    object.__setattr__(attempts, "make", unreachable)
    answer = await world.execute("send_message", params=SEND)
    await world.decide(await world.approval_link(answer.json["id"]))
    for _ in range(100):
        found = (await world.call("GET", f"/executions/{answer.json['id']}")).json
        if found["status"] == "executing":
            return str(answer.json["id"])
        await asyncio.sleep(0.01)
    raise AssertionError(found)


async def test_an_outage_that_outlives_the_approval_ends_the_call(ready: Kit) -> None:
    execution_id = await approved_in_an_outage(ready)
    assert ready.service is not None
    ready.clock.offset += 20 * MINUTE
    await ready.service.worker.turn()
    found = (await ready.call("GET", f"/executions/{execution_id}")).json
    assert (found["status"], found["error"] and found["error"]["code"]) == ("failed", "provider_unavailable"), found


async def test_a_send_in_the_last_moment_of_its_approval_is_asked_again(ready: Kit, meddler: Meddler) -> None:
    answer = await ready.execute("send_message", params=SEND)
    link = await ready.approval_link(answer.json["id"])

    async def slow() -> None:
        ready.clock.offset += 16 * MINUTE

    meddler.do("before", "send", slow)
    assert (await ready.decide(link)).status == 200
    for _ in range(200):
        found = (await ready.call("GET", f"/executions/{answer.json['id']}")).json
        if found["waiting_for"] and found["waiting_for"][0]["id"] != answer.json["waiting_for"][0]["id"]:
            break
        await asyncio.sleep(0.01)
    assert found["status"] == "paused"
    assert ready.mail.counts["POST"] == 0
    assert (await ready.decide(link)).json["code"] == "superseded"


async def test_a_vote_in_the_moment_of_expiry_counts_for_nothing(ready: Kit, meddler: Meddler) -> None:
    answer = await ready.execute("send_message", params=SEND)
    link = await ready.approval_link(answer.json["id"])

    async def slow() -> None:
        ready.clock.offset += 61 * MINUTE

    meddler.do("before", "vote", slow)
    late = await ready.decide(link)
    assert (late.status, late.json["code"]) == (410, "expired")
    assert ready.service is not None
    await ready.service.worker.turn()
    assert (await ready.ended(answer.json["id"]))["error"]["code"] == "expired"
    assert ready.mail.counts["POST"] == 0


async def test_a_consent_at_the_very_end_sends_nothing_late(world: Kit, meddler: Meddler) -> None:
    answer = await world.execute("note", params={"text": "x"}, expires_in=60)

    async def slow() -> None:
        world.clock.offset += 61_000

    meddler.do("before", "send", slow)
    await world.connect(answer)
    done = await world.ended(answer.json["id"])
    assert (done["status"], done["error"]["code"]) == ("expired", "expired")
    assert world.mail.counts["POST"] == 0


@pytest.mark.parametrize("retry", ["idempotent", "key:Idempotency-Key"])
async def test_a_lost_write_is_not_repeated_after_days(resting: Kit, retry: str) -> None:
    """The service goes down between a lost answer and its repeat, and comes back when the provider has forgotten."""
    file = resting.folder / "connectors" / "mailhub" / "connector.toml"
    file.write_text(file.read_text().replace('retry = "idempotent"', f'retry = "{retry}"'))
    async with resting.running() as world:
        await world.connected()
        world.mail.counts.clear()
        world.mail.faults = ["hang-up"] * 20
        how = {"prefer": "wait=0", "expires_in": 14 * 24 * 3600}
        write = (await world.execute("note_again", params={"text": "x"}, **how)).json["id"]
        read = (await world.execute("list_messages", **how)).json["id"]
    sent = resting.mail.counts.copy()
    assert sent["POST"] > 0
    resting.mail.faults.clear()
    resting.clock.offset += 2 * 24 * 60 * MINUTE
    async with resting.running() as world:
        ended = await world.ended(write)
        assert (ended["status"], ended["error"]["code"]) == ("unknown", "outcome_unknown")
        assert (await world.ended(read))["status"] == "succeeded"
    assert resting.mail.counts == sent | {"GET": sent["GET"] + 1}


async def test_stuck_rows_do_not_starve_the_others(resting: Kit) -> None:
    """Forty executions that can no longer be built are due for ever: the worker still expires the forty-first."""
    resting.policies = POLICIES.replace(
        'effect = "deny"', 'effect = "require_approval"\napproval = { from = ["user:ana@example.com"] }'
    )
    resting.write()
    async with resting.running() as world:
        bad = [(await world.execute("delete_message", params={"id": "1"}, expires_in=60)).json["id"] for _ in range(40)]
    file = resting.folder / "connectors" / "mailhub" / "connector.toml"
    text = file.read_text()
    text = text.replace('path = "/messages/{id}"', 'path = "/messages/{other}"').replace(
        "params.id = ", "params.other = "
    )
    file.write_text(text)
    async with resting.running() as world:
        good = await world.execute("note", params={"text": "x"}, expires_in=70)
        assert good.status == 202
        resting.clock.offset += 120_000
        assert world.service is not None
        await world.service.worker.turn()
        assert (await world.call("GET", f"/executions/{good.json['id']}")).json["status"] == "expired"
        for execution_id in bad:
            assert (await world.call("GET", f"/executions/{execution_id}")).json["status"] in ("expired", "denied")
