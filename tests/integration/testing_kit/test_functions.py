"""Functions of the agent's own under test: released once, whoever dies."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from jit_auth.client import Client, Denied, Execution, Refused, Unknown
from jit_auth.testing import JitAuth
from tests.integration.testing_kit.conftest import ALICE, ANA


def ask(agent: Client, key: str | None = None) -> Execution:
    return agent.execute("ops.restart", user=ALICE, params={"service": "db"}, idempotency_key=key)


def test_a_guarded_function_runs_once(jit_auth: JitAuth, agent: Client) -> None:
    ran: list[str] = []

    @agent.guard("ops.restart", user=ALICE, key=lambda service: f"restart-{service}")
    def restart(service: str) -> str:
        ran.append(service)
        return "restarted"

    asked = ask(agent, "restart-db")
    with ThreadPoolExecutor() as threads:
        running = threads.submit(restart, "db")
        jit_auth.restart()
        jit_auth.approve(asked, by=ANA)
        assert running.result(20) == "restarted"
    assert restart("db") == "restarted"
    assert ran == ["db"]
    assert jit_auth.api.requests == ()


async def test_an_async_one(jit_auth: JitAuth, agent: Client) -> None:
    async with jit_auth.async_client() as client:

        @client.guard("ops.restart", user=ALICE, key="one")
        async def restart(service: str) -> str:
            return service.upper()

        asked = ask(agent, "one")
        running = asyncio.create_task(restart("db"))
        jit_auth.approve(asked, by=ANA)
        assert await running == "DB"


def test_a_denied_one_does_not_run(jit_auth: JitAuth, agent: Client) -> None:
    @agent.guard("ops.restart", user=ALICE, key="one")
    def restart(service: str) -> None:
        raise AssertionError("it ran")

    jit_auth.deny(ask(agent, "one"), by=ANA)
    with pytest.raises(Denied):
        restart("db")


def test_an_agent_that_dies_while_it_runs(jit_auth: JitAuth, agent: Client) -> None:
    @agent.guard("ops.restart", user=ALICE, key="one")
    def restart(service: str) -> None:
        raise AssertionError("it ran")

    asked = ask(agent, "one")
    with pytest.raises(Refused):
        jit_auth.abandon(asked)  # nobody has released it
    assert jit_auth.approve(asked, by=ANA).status == "released"
    assert jit_auth.abandon(asked).status == "unknown"
    with pytest.raises(Unknown):
        restart("db")


def test_a_released_one_that_nobody_claims_expires(jit_auth: JitAuth, agent: Client) -> None:
    released = jit_auth.approve(ask(agent), by=ANA)
    assert jit_auth.expire(released).status == "expired"
