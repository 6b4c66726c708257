"""Who is told of a turn: webhooks, the agent's callback, streams, waits; and what a person's own stop does to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jit_auth.engine.withdrawals import Withdrawals
from tests.fakes.receiver import receiving
from tests.integration.functions.conftest import (
    ALICE,
    RULES,
    ask,
    claim,
    claimed,
    complete,
    edit,
    equip,
    now,
    released,
)
from tests.integration.operators.conftest import ADMINS
from tests.integration.service.kit import AGENT, POLICIES, Kit, kit

SECRET = "whsec_" + "d2ViaG9va3dlYmhvb2t3ZWJob29rd2ViaG9vaw=="


async def test_events_go_to_webhooks_and_to_the_agents_callback(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = f'{ADMINS}[webhooks.ops]\nurl = "{receiver.url}/ops"\nsecret = "{SECRET}"\n'
        async with kit(tmp_path, config=config, policies=POLICIES + RULES) as world:
            equip(world)
            edit(world, "return_urls", f'callback_urls = ["{receiver.url}/hooks/"]\nreturn_urls')
            async with world.running():
                answer = await ask(world, "ask", callback_url=f"{receiver.url}/hooks/a")
                await world.decide(await world.approval_link(answer.json["id"]))
                told = await world.ended(answer.json["id"])
                await complete(world, told, await claimed(world, told), result="a secret result")
                kinds = ["execution.paused", "approval.requested", "approval.decided", "execution.released",
                         "execution.finished"]  # fmt: skip

                def whole(found: list[Any]) -> bool:
                    own = [each for each in found if each.type in kinds]
                    return len(own) == 2 * len(kinds)

                await receiver.until(whole)
                for path in ("/ops", "/hooks/a"):
                    mine = [each for each in receiver.told if each.path == path and each.type in kinds]
                    assert sorted(each.type for each in mine) == sorted(kinds)
                    (turn,) = [each for each in mine if each.type == "execution.released"]
                    data = turn.json["data"]
                    assert (data["execution"], data["action"], data["status"]) == (told["id"], "ops.ask", "released")
                    for each in mine:
                        text = each.body.decode()
                        assert "jat_clm_" not in text
                        assert "a secret result" not in text


async def test_a_stream_tells_the_turn_and_the_end(world: Kit) -> None:
    answer = await ask(world, "ask")
    told = answer.json
    blocks: list[str] = []

    async def read() -> None:
        headers = {"Authorization": f"Bearer {AGENT}"}
        async with world.session.get(f"{world.url}/executions/{told['id']}/events", headers=headers) as reply:
            async for line in reply.content:
                if line.startswith(b"event: "):
                    blocks.append(line.decode().strip().removeprefix("event: "))

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    await world.decide(await world.approval_link(told["id"]))
    turn = await world.ended(told["id"])
    await complete(world, turn, await claimed(world, turn))
    async with asyncio.timeout(10):
        await reading
    assert blocks[-2:] == ["execution.released", "execution.finished"]


async def test_a_user_who_stops_the_agent_ends_its_turn(both: Kit) -> None:
    told, other = await released(both), await released(both, user="bob@example.com")
    service = both.service
    assert service is not None
    engine = service.engine
    memory = engine.approvals.memory
    withdrawals = Withdrawals(service.store, memory, engine.current, engine.dispatcher)
    await withdrawals.stop(ALICE, "mailbot")
    ended = await now(both, told)
    assert (ended["status"], ended["error"]["code"], ended["error"]["by"]) == ("denied", "revoked", "user")
    assert (await claim(both, told)).status == 403
    assert (await claim(both, other)).status == 200


async def test_content_is_removed_after_its_time_from_what_is_over_alone(tmp_path: Path) -> None:
    config = ADMINS + '[retention]\nparams = "1d"\nresults = "1h"\n'
    async with kit(tmp_path, config=config, policies=POLICIES + RULES) as world:
        equip(world)
        async with world.running():
            turn = await released(world, expires_in=1_209_600)
            done = await released(world)
            secret = await claimed(world, done)
            await complete(world, done, secret, result="soon gone")
            world.clock.offset += 2 * 86_400_000
            service = world.service
            assert service is not None
            await service.store.sweep()
            gone = (await world.call("GET", f"/executions/{done['id']}")).json
            assert gone["removed"] == ["params", "result"]
            still = (await world.call("GET", f"/executions/{turn['id']}")).json
            assert (still["status"], still["params"]) == ("released", {"service": "web"})
            assert (await complete(world, done, secret, result="soon gone")).status == 200, "it cannot be compared"
            assert (await complete(world, done, secret, "failed")).status == 409
            assert (await claim(world, turn)).status == 200


async def test_what_waits_to_be_claimed_is_counted(both: Kit) -> None:
    assert both.service is not None
    told = [await released(both) for _ in range(2)]
    assert (await both.service.store.backlog()).released == 2
    await claimed(both, told[0])
    backlog = await both.service.store.backlog()
    assert (backlog.released, backlog.paused, backlog.lost) == (1, 0, 0)
