"""Errors are RFC 9457 problem+json with a stable code, a sentence and a hint that says what to do."""

from __future__ import annotations

import pytest

from tests.acceptance.kit import Answer, Service


def problems(service: Service, person: str) -> dict[str, Answer]:
    agent = service.agent
    paused = agent.execute("echo.ask", person, params={"text": "x"}).json
    link = service.link(paused["waiting_for"][0]["id"], "ana@example.com")
    service.vote(link, "deny")
    return {
        "expires_in": agent.execute("echo.say", person, params={"text": "x"}, expires_in=1),
        "return_url": agent.execute("echo.say", person, params={"text": "x"}, return_url="http://evil.example/"),
        "no such execution": agent.get("/executions/exe_x"),
        "no such path": agent.get("/nothing"),
        "no such action": agent.get("/actions/echo.nothing_here"),
        "method": agent.get("/execute"),
        "host": agent.get("/executions", Host="evil.example"),
        "no token": service.anyone.get("/executions"),
        "bad json": agent.post("/execute", b"x"),
        "params": agent.execute("echo.say", person),
        "wait": agent.get("/executions/exe_x?wait=-1"),
        "cursor": agent.get("/executions?cursor=x"),
        "cancel": agent.post(f"/executions/{paused['id']}/cancel"),
        "resolve": service.admin.post(f"/executions/{paused['id']}/resolve", {"outcome": "failed", "note": "x"}),
        "second vote": service.vote(link),
        "unknown ticket": service.vote(service.url + "/approvals/jat_x"),
        "denied by policy": agent.execute("echo.say", person, params={"text": "forbidden"}),
        "no rule": agent.execute("echo.nothing", person),
    }


@pytest.mark.parametrize(
    "name",
    [
        "expires_in",
        "return_url",
        "no such execution",
        "no such path",
        "no such action",
        "method",
        "host",
        "no token",
        "bad json",
        "params",
        "wait",
        "cursor",
        "cancel",
        "resolve",
        "second vote",
        "unknown ticket",
        "denied by policy",
        "no rule",
    ],
)
def test_every_problem_says_what_to_do(service: Service, person: str, name: str) -> None:
    answer = problems(service, person)[name]
    assert answer.status >= 400, (answer.status, answer.body)
    assert answer.code
    assert answer.json["hint"], answer.body
