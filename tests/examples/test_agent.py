"""The agent that readers copy: follows an execution, repeats with the same key, tells a denial from a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from examples.demo.agent import Execution, JitAuth, Refused

PAUSED = {"id": "exe_1", "status": "paused", "updated_at": "t1", "waiting_for": [{"kind": "consent"}]}


class Service:
    """Answers in the shapes of the service, one prepared answer after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        self.asked: list[tuple[str, str, str, Any]] = []

    def then(self, status: int, body: dict[str, Any], **headers: str) -> None:
        self.answers.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.asked.append((request.method, request.path_qs, request.headers.get("Idempotency-Key", ""), body))
        if request.headers["Authorization"] != "Bearer tok":
            return web.json_response({"code": "unauthenticated", "detail": "No."}, status=401)
        status, answer, headers = self.answers.pop(0)
        return web.json_response(answer, status=status, headers=headers)


@pytest.fixture
async def there() -> AsyncIterator[tuple[Service, JitAuth]]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    async with TestServer(app) as server:
        yield service, JitAuth(str(server.make_url("/")), "tok")


async def execute(agent: JitAuth) -> Execution:
    return await asyncio.to_thread(lambda: agent.execute("m.read", user="a@b.example", params={"n": 1}, key="k1"))


async def test_follows_a_pause_to_its_end_and_tells_each_change_once(there: tuple[Service, JitAuth]) -> None:
    service, agent = there
    service.then(202, PAUSED)
    service.then(200, PAUSED)
    service.then(200, {**PAUSED, "updated_at": "t2", "waiting_for": []})
    service.then(200, {"id": "exe_1", "status": "succeeded", "updated_at": "t3"})
    told: list[str] = []
    done = await asyncio.to_thread(
        lambda: agent.follow(
            agent.execute("m.read", user="a@b.example", params={}, key="k1", reason="why"),
            lambda execution: told.append(execution["updated_at"]),
        )
    )
    assert done["status"] == "succeeded"
    assert told == ["t1", "t2"]
    body = {"action": "m.read", "user": "a@b.example", "params": {}, "reason": "why"}
    assert service.asked[0] == ("POST", "/execute", "k1", body)
    assert service.asked[1][:2] == ("GET", "/executions/exe_1?wait=25")


async def test_a_denial_is_an_answer(there: tuple[Service, JitAuth]) -> None:
    service, agent = there
    denied = {"id": "exe_2", "status": "denied", "error": {"code": "policy_denied"}}
    service.then(403, {"code": "policy_denied", "detail": "No.", "execution": denied})
    assert await execute(agent) == denied


async def test_a_call_that_was_not_admitted_is_an_error_with_its_code(there: tuple[Service, JitAuth]) -> None:
    service, agent = there
    service.then(422, {"code": "invalid_params", "detail": "No field 'n'."})
    with pytest.raises(Refused, match="invalid_params: No field 'n'") as refused:
        await execute(agent)
    assert refused.value.problem["code"] == "invalid_params"
    with pytest.raises(Refused, match="unauthenticated"):
        await execute(JitAuth(agent.url, "other"))


async def test_a_busy_service_is_asked_again_with_the_same_key(there: tuple[Service, JitAuth]) -> None:
    service, agent = there
    service.then(503, {"code": "busy"}, Retry_After="0")
    service.then(429, {"code": "too_many"}, Retry_After="0")
    service.then(200, {"id": "exe_3", "status": "succeeded"})
    assert (await execute(agent))["id"] == "exe_3"
    assert [key for _, _, key, _ in service.asked] == ["k1"] * 3
