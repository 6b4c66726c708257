"""Guarded functions at the whole service: released by people, run once, also by an agent that dies in between."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.client import AsyncClient, Client, Denied, Failed, GuardRefused, Unknown
from tests.integration.client.kit import QUICK
from tests.integration.service.kit import AGENT, POLICIES, Kit, kit
from tests.project.tree import ROOT

OPS = """
id = "ops"
name = "Operations"

[actions.restart]
title = "Restart a service"
summary = "Restart {service}"
run = "agent"
risk = "high"
effect = "update"
params.service = { type = "string", required = true }
params.times = { type = "integer", default = 1 }

[actions.short]
title = "Restart in a hurry"
run = "agent"
risk = "medium"
effect = "update"
claim_timeout = "1s"
params.service = { type = "string", required = true }
"""
RULES = """
[[rule]]
id = "ops-ask"
match = ["ops.restart"]
effect = "require_approval"
approval = { from = ["user:ana@example.com", "user:bo@example.com"], editable = ["service"] }

[[rule]]
id = "ops-allow"
match = ["ops.short"]
effect = "allow"

[[rule]]
id = "ops-never"
match = ["ops.*"]
when = "has(params.service) && params.service == 'forbidden'"
effect = "deny"
"""
AGENT_PROGRAM = """
import os, sys, time
from jit_auth.client import Client, Unknown

jit = Client()

@jit.guard("ops.short", key=lambda service: f"short-{service}")
def restart(service):
    with open(sys.argv[1], "a") as runs:
        runs.write(service + chr(10))
    print("running", flush=True)
    if sys.argv[2] == "die":
        time.sleep(60)
    return service

try:
    print(restart("db"), flush=True)
except Unknown as unknown:
    print("unknown", unknown.execution.advice, flush=True)
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path, policies=POLICIES + RULES) as found:
        (tmp_path / "connectors" / "ops").mkdir()
        (tmp_path / "connectors" / "ops" / "connector.toml").write_text(OPS)
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace('actions = ["mailhub.*"]', 'actions = ["mailhub.*", "ops.*"]'))
        async with found.running():
            yield found


async def asked(world: Kit) -> str:
    """The one execution that waits for people."""
    for _ in range(500):
        if items := (await world.call("GET", "/executions?status=paused")).json["items"]:
            found: str = items[0]["id"]
            return found
        await asyncio.sleep(0.01)
    raise LookupError("nothing was asked")


async def link(world: Kit, person: str) -> str:
    """That person's, for what is asked now about the one that waits."""
    waiting = (await world.call("GET", f"/executions/{await asked(world)}")).json["waiting_for"]
    begin = f"approve {waiting[0]['id']} {person}@example.com "
    for _ in range(500):
        if found := [line.removeprefix(begin) for line in world.printed if line.startswith(begin)]:
            return found[0]
        await asyncio.sleep(0.01)
    raise LookupError(f"no {begin}in {world.printed}")


async def test_people_decide_before_it_runs(world: Kit) -> None:
    runs: list[tuple[str, int]] = []
    async with AsyncClient(world.url, AGENT, repeats=QUICK) as jit:

        @jit.guard("ops.restart", key=lambda service, times: f"restart-{service}", reason="it hangs")
        async def restart(service: str, times: int = 1) -> dict[str, Any]:
            runs.append((service, times))
            return {"restarted": service}

        call = asyncio.ensure_future(restart("db"))
        first = await link(world, "ana")
        assert runs == []
        await world.decide(first)
        assert await call == await restart("db") == {"restarted": "db"}
        assert runs == [("db", 1)]
        (done,) = [each async for each in jit.list(status="succeeded")]
        assert done.unwrap() == {"restarted": "db"}

        call = asyncio.ensure_future(restart("web"))
        await world.decide(await link(world, "ana"), "deny", feedback="Not now")
        with pytest.raises(Denied, match="approval_denied"):
            await call
        with pytest.raises(Denied, match="policy_denied"):
            await restart("forbidden")
        assert runs == [("db", 1)]


async def test_what_an_approver_changed_is_what_runs(world: Kit) -> None:
    runs: list[str] = []
    with Client(world.url, AGENT, repeats=QUICK) as jit:

        @jit.guard("ops.restart")
        def restart(service: str, times: int) -> str:
            runs.append(service)
            return service

        call = asyncio.ensure_future(asyncio.to_thread(restart, "db", times=2))
        assert (await world.decide(await link(world, "ana"), params={"service": "standby"})).status == 200
        assert (await world.decide(await link(world, "bo"))).status == 200
        assert await call == "standby"
        assert runs == ["standby"]


async def test_many_at_once_are_one_run(world: Kit) -> None:
    runs: list[str] = []
    async with AsyncClient(world.url, AGENT, repeats=QUICK) as jit:

        @jit.guard("ops.short", key="one")
        async def restart(service: str) -> int:
            runs.append(service)
            await asyncio.sleep(0)
            return len(runs)

        assert await asyncio.gather(*(restart("db") for _ in range(8))) == [1] * 8
        assert runs == ["db"]


async def test_a_fault_is_on_record_and_stays(world: Kit) -> None:
    async with AsyncClient(world.url, AGENT, repeats=QUICK) as jit:

        @jit.guard("ops.short", key="fails")
        async def restart(service: str) -> None:
            raise ZeroDivisionError("secret")

        with pytest.raises(ZeroDivisionError):
            await restart("db")
        with pytest.raises(Failed) as failed:
            await restart("db")
        assert failed.value.execution.result is not None
        assert failed.value.execution.result["body"] == {"raised": "builtins.ZeroDivisionError"}
        assert "secret" not in str(failed.value.execution.raw)


async def test_functions_that_do_not_fit_are_refused_before_anybody_is_asked(world: Kit) -> None:
    async with AsyncClient(world.url, AGENT, repeats=QUICK) as jit:

        @jit.guard("ops.restart")
        async def restart(name: str) -> None: ...

        with pytest.raises(GuardRefused, match=r"the action has no parameter 'name'.*does not take 'service'"):
            await restart("db")

        @jit.guard("mailhub.note")
        async def note(text: str) -> None: ...

        with pytest.raises(GuardRefused, match="the service makes its calls itself"):
            await note("x")
    assert (await world.call("GET", "/executions")).json["items"] == []


async def test_a_claim_outlives_its_time_by_its_heartbeat(world: Kit) -> None:
    async with AsyncClient(world.url, AGENT, repeats=QUICK) as jit:

        @jit.guard("ops.short", key="slow")
        async def restart(service: str) -> str:
            await asyncio.sleep(1.8)
            return service

        assert await restart("db") == "db"
        assert [each.status async for each in jit.list()] == ["succeeded"]


async def test_an_agent_that_died_while_it_ran_has_run_it_once(world: Kit, tmp_path: Path) -> None:
    runs = tmp_path / "runs.txt"
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "JIT_AUTH_URL": world.url, "JIT_AUTH_TOKEN": AGENT,
    }  # fmt: skip

    async def agent(how: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", AGENT_PROGRAM, str(runs), how, env=environment, stdout=subprocess.PIPE
        )

    first = await agent("die")
    assert first.stdout is not None
    assert await first.stdout.readline() == b"running\n"
    first.send_signal(signal.SIGKILL)
    await first.wait()
    second = await agent("live")
    told, _ = await asyncio.wait_for(second.communicate(), 30)
    assert told == b"unknown never\n"
    assert runs.read_text() == "db\n"
    async with AsyncClient(world.url, AGENT) as jit:

        @jit.guard("ops.short", key="short-db")
        async def restart(service: str) -> str:
            return "run again"

        with pytest.raises(Unknown):
            await restart("db")


async def test_a_value_that_was_removed_is_no_value_and_no_second_run(tmp_path: Path) -> None:
    """After `[retention]` the same key must not be given None as if that had come of it."""
    async with kit(tmp_path, policies=POLICIES + RULES, config='[retention]\nresults = "1h"\n') as found:
        (tmp_path / "connectors" / "ops").mkdir()
        (tmp_path / "connectors" / "ops" / "connector.toml").write_text(OPS)
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace('actions = ["mailhub.*"]', 'actions = ["mailhub.*", "ops.*"]'))
        async with found.running(), AsyncClient(found.url, AGENT, repeats=QUICK) as jit:
            runs: list[str] = []

            @jit.guard("ops.short", key="k")
            async def restart(service: str) -> str:
                runs.append(service)
                return "pid 7"

            assert [await restart("web"), await restart("web")] == ["pid 7", "pid 7"]
            found.clock.offset += 2 * 3_600_000
            assert found.service is not None
            await found.service.store.sweep()
            with pytest.raises(GuardRefused) as refused:
                await restart("web")
            assert (refused.value.code, runs) == ("unrecorded", ["web"])
