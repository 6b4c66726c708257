"""Attacks on functions of agents' own: what their results carry, whose turn it is, and what a turn is taken of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.functions.conftest import ask, beat, claim, claimed, complete, edit, now, released
from tests.integration.operators.test_reload import reload
from tests.integration.service.kit import AGENT, OTHER, Answer, Kit

GITHUB = "ghp_" + "A1b2C3d4E5f6" * 3
SEND = {"to": ["bob@example.com"], "subject": "Hi", "body": "x"}


async def test_what_a_function_gives_is_kept_as_an_upstreams_answer_would_be(world: Kit) -> None:
    """It printed its environment: its own token, its claim, a link, somebody's key."""
    link = (await world.execute("list_messages")).json["waiting_for"][0]["url"]
    told = await released(world)
    secret = await claimed(world, told)
    leaks = [AGENT, secret, link.rpartition("/")[2], GITHUB]
    result = {"log": f"env: {AGENT} and {secret}", link: [GITHUB, {"in": f"x {link} y"}], "fine": "plain words", "n": 1}
    answer = await complete(world, told, secret, result=result)
    assert answer.status == 200, answer.json
    assert (await complete(world, told, secret, result=result)).status == 200, "the same again is the same"
    assert (await complete(world, told, secret, result="another")).status == 409
    seen = (await world.call("GET", f"/executions/{told['id']}")).json
    assert (seen["result"]["body"]["fine"], seen["result"]["body"]["n"]) == ("plain words", 1)
    for shown in (answer.json, seen):
        assert not [leak for leak in leaks if leak in json.dumps(shown)]
    stored = b"".join(path.read_bytes() for path in world.folder.glob("jit-auth.db*"))
    assert b"plain words" not in stored, "what is left of it is sealed"
    assert not [leak for leak in leaks if leak.encode() in stored]


async def test_no_turn_is_taken_of_a_call_that_the_service_makes(world: Kit) -> None:
    """Nor is its outcome told by its agent: paused, denied, succeeded, of unknown outcome."""
    paused = await world.execute("send_message", params=SEND)
    denied = await world.execute("delete_message", params={"id": "x"})
    await world.connected()
    done = await world.execute("note", params={"text": "x"})
    world.mail.faults = ["hang-up"]
    lost = await world.execute("note", params={"text": "y"})
    assert lost.json["status"] == "unknown", lost.json
    for one in (paused.json, denied.json["execution"], done.json, lost.json):
        before = await now(world, one)
        answers: list[Answer] = [
            await claim(world, one, digest=one["digest"] or "x"),
            await beat(world, one, "jat_clm_" + "a" * 43),
            await complete(world, one, "jat_clm_" + "a" * 43, "failed"),
        ]
        assert [each.status for each in answers if each.status not in (403, 409)] == []
        assert "claim" not in json.dumps([each.json.get("claim") for each in answers if "claim" in each.json])
        assert await now(world, one) == before


async def test_an_edit_leaves_no_digest_to_claim_with(world: Kit) -> None:
    """Ana approves `web`, then the agent asks for the turn of what it asked for at first."""
    edit(world, 'from = ["user:ana@example.com"], for_max', 'from = ["user:ana@example.com", "user:bo@example.com"], '
         'editable = ["service"], for_max', "policies.toml")  # fmt: skip
    assert await reload(world)
    asked = (await ask(world, "ask")).json
    edited = await world.decide(await world.approval_link(asked["id"]), params={"service": "db"})
    assert edited.status == 200, edited.json
    other = (await claim(world, asked)).json
    assert other["code"] == "not_released"
    waiting = (await world.call("GET", f"/executions/{asked['id']}")).json
    link = next(
        line.split()[3]
        for line in reversed(world.printed)
        if line.split()[1] == waiting["waiting_for"][0]["id"] and "bo@" in line
    )
    assert (await world.decide(link)).status == 200
    turn = await world.ended(asked["id"])
    assert (turn["status"], turn["params"]) == ("released", {"service": "db"})
    assert turn["digest"] != asked["digest"]
    answer = await claim(world, asked)
    assert (answer.status, answer.json["code"]) == (409, "digest_mismatch")
    answer = await claim(world, turn)
    assert (answer.status, answer.json["params"]) == (200, {"service": "db"})


BOMBS = [
    b'{"claim":"%s","outcome":"succeeded","result":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"claim":"%s","outcome":"succeeded","result":' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}",
    b'{"claim":"%s","outcome":"failed","outcome":"succeeded"}',
    b'{"claim":"%s","outcome":"succeeded","result":1e999}',
    b'{"claim":"%s","outcome":"succeeded","result":9007199254740993}',
    b'{"claim":"%s","outcome":"succeeded","result":"\\ud800"}',
    b'{"claim":"%s","outcome":"succeeded","result":"a\\u0000b"}',
]


@pytest.mark.parametrize("body", BOMBS, ids=range(len(BOMBS)))
async def test_a_result_that_is_a_bomb_or_reads_two_ways_settles_nothing(world: Kit, body: bytes) -> None:
    told = await released(world)
    secret = await claimed(world, told)
    headers = {"Authorization": f"Bearer {AGENT}", "Content-Type": "application/json"}
    url = f"{world.url}/executions/{told['id']}/complete"
    async with world.session.post(url, data=body.replace(b"%s", secret.encode()), headers=headers) as reply:
        found = await reply.json(content_type=None)
        assert (reply.status, found["code"]) == (400, "bad_json")
    assert (await now(world, told))["status"] == "executing"
    assert (await complete(world, told, secret)).status == 200


async def test_a_claim_is_good_for_its_own_execution_and_agent_alone(world: Kit) -> None:
    mine, next_one = await released(world), await released(world, "ask")
    theirs = (await world.call("POST", "/execute", {"action": "ops.restart", "user": "alice@example.com",
              "params": {"service": "web"}}, token=OTHER)).json  # fmt: skip
    secret, other = await claimed(world, mine), await claimed(world, next_one)
    answer = await claim(world, theirs, token=OTHER)
    assert answer.status == 200
    foreign: list[tuple[Any, str, str]] = [
        (mine, other, AGENT), (mine, answer.json["claim"], AGENT), (theirs, secret, OTHER), (mine, secret + "A", AGENT),
        (mine, secret.upper(), AGENT), (mine, "\u0430" + secret, AGENT),
    ]  # fmt: skip
    for told, wrong, token in foreign:
        for way, more in (("heartbeat", {}), ("complete", {"outcome": "succeeded"})):
            body = {"claim": wrong, **more}
            refused = await world.call("POST", f"/executions/{told['id']}/{way}", body, token=token)
            assert (refused.status, refused.json["code"]) == (403, "wrong_claim")
    body = {"claim": secret, "outcome": "succeeded"}
    stolen = await world.call("POST", f"/executions/{mine['id']}/complete", body, token=OTHER)
    assert (stolen.status, stolen.json["code"]) == (404, "not_found")
    assert (await complete(world, mine, secret)).json["status"] == "succeeded"


TRIFECTA = """
[[rule]]
id = "trifecta"
match = ["*"]
when = "'external' in action.exposes && task.private && task.untrusted"
effect = "require_approval"
approval = { from = ["user:ana@example.com"] }
"""


async def test_a_turn_from_before_the_task_had_read_anything_is_not_taken_after(world: Kit) -> None:
    """The agent has the turn for an effect that others see, lets it lie, reads a mailbox, and takes it then."""
    path = world.folder / "connectors" / "ops" / "connector.toml"
    path.write_text(path.read_text().replace('risk = "medium"', 'risk = "medium"\nexposes = ["external"]'))
    policies = world.folder / "policies.toml"
    policies.write_text(policies.read_text() + TRIFECTA)
    assert await reload(world)
    await world.connected()
    early = await released(world, task={"id": "t"})
    other = await released(world, task={"id": "u"})
    assert (await world.execute("list_messages", task={"id": "t"})).json["status"] == "succeeded"
    answer = await claim(world, early)
    assert (answer.status, answer.json["code"]) == (409, "not_released")
    (asked,) = answer.json["execution"]["waiting_for"]
    assert asked["kind"] == "approval"
    assert (await claim(world, other)).status == 200
    without = await ask(world)
    assert without.json["status"] == "paused", "a call without a task may have touched anything"


async def test_a_function_that_reads_taints_its_task_once_it_may_have_run(world: Kit) -> None:
    """Also where its agent says that it failed, or says nothing."""
    path = world.folder / "connectors" / "ops" / "connector.toml"
    path.write_text(path.read_text().replace('risk = "medium"', 'risk = "medium"\nexposes = ["private", "untrusted"]'))
    policies = world.folder / "policies.toml"
    policies.write_text(policies.read_text() + TRIFECTA.replace('match = ["*"]', 'match = ["mailhub.send_again"]')
                        .replace('"user:ana@example.com"', '"user:bo@example.com"'))  # fmt: skip
    assert await reload(world)
    await world.connected()

    async def asks(task: str) -> bool:
        answer = await world.execute("send_again", params={"subject": "x"}, task={"id": task}, dry_run=True)
        return any(item["from"] == ["user:bo@example.com"] for item in answer.json["waiting_for"])

    for task, ends in (("failed", "failed"), ("silent", None), ("done", "succeeded")):
        told = await released(world, task={"id": task})
        assert not await asks(task), "nothing has run"
        secret = await claimed(world, told)
        assert await asks(task)
        if ends is not None:
            await complete(world, told, secret, ends)
        assert await asks(task)
    assert not await asks("fresh")
