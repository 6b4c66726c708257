"""Two replicas on one PostgreSQL."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Answer, Service, World, until
from tests.postgres import postgres_server, postgres_url  # noqa: F401  (fixtures)

ANA = "ana@example.com"
OK = (200, {"Content-Type": "application/json"}, b'{"ok":true}')


@pytest.fixture
def replicas(world: World, tmp_path: Path, postgres_url: str) -> Iterator[tuple[Service, Service]]:  # noqa: F811  (a fixture)
    made = []
    for name in "ab":
        config = files.CONFIG.replace('url = "sqlite:///jit-auth.db"', f'url = "{postgres_url}"')
        if made:
            config = config.replace('public_url = "http://127.0.0.1:{port}"', f'public_url = "{made[0].url}"')
        made.append(Service(tmp_path / name, {**files.everything(world), "config.toml": config}))
    # Both at once on an empty database: creating the schema is safe.
    for each in made:
        each.start(ready=False)
    for each in made:
        until(each.ready, 20)
    yield made[0], made[1]
    for each in made:
        each.stop()


def test_two_replicas_are_one_service(replicas: tuple[Service, Service], world: World, person: str) -> None:
    a, b = replicas
    told, item = a.paused(a.agent.execute("echo.ask", person, params={"text": "x"}))
    link = a.link(item["id"], ANA)
    assert not b.approvals(item["id"]), "the process that made the request prints it"
    assert b.agent.get(f"/executions/{told['id']}").json == told
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(a.agent.get(f"/executions/{told['id']}?wait=30")))
    thread.start()
    assert b.vote(link.replace(a.url, b.url)).status == 200
    thread.join(40)
    assert (answers[0].status, answers[0].json["status"]) == (200, "succeeded")
    assert answers[0].seconds < 20
    assert a.vote(link).status == 409

    # One key on both at once is one execution.
    before = len(world.upstream.of("/v1/risky"))
    calls: list[Answer] = []

    def call(where: Service) -> None:
        calls.append(where.agent.execute("echo.risky", person, {"Idempotency-Key": "both"}, params={"text": "both"}))

    threads = [threading.Thread(target=call, args=(where,)) for where in (a, b) * 5]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert {answer.status for answer in calls} <= {200, 202}, [answer.body for answer in calls]
    assert len({answer.json["id"] for answer in calls}) == 1
    assert a.agent.settled(calls[0].json)["status"] == "succeeded"
    assert len(world.upstream.of("/v1/risky")) == before + 1

    # A consent begun at one and finished at the other.
    told, item = b.paused(b.agent.execute("mailhub.list_messages", person), "consent")
    assert item["url"].startswith(a.url)
    world.consent(item["url"], user=person.partition("@")[0])
    assert b.agent.settled(told)["status"] == "succeeded"
    for where in (a, b):
        verified = where.command("audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_another_takes_over_within_60_s(replicas: tuple[Service, Service], world: World, person: str) -> None:
    a, b = replicas
    told: dict[str, Any] = a.agent.execute("echo.ask", person, params={"text": "x"}).json
    link = a.link(told["waiting_for"][0]["id"], ANA)
    world.upstream.tell("/v1/risky", 1.5, OK)
    before = len(world.upstream.of("/v1/risky"))
    sent = a.agent.execute("echo.risky", person, {"Prefer": "wait=0"}).json
    until(lambda: len(world.upstream.of("/v1/risky")) > before)
    a.end(signal.SIGKILL)
    assert b.vote(link.replace(a.url, b.url)).status == 200
    assert b.agent.settled(told)["status"] == "succeeded"
    assert b.agent.settled(sent, 60)["status"] == "unknown"
    assert len(world.upstream.of("/v1/risky")) == before + 1
    assert b.command("audit", "verify").returncode == 0


def test_a_replica_with_other_files_sends_nothing(replicas: tuple[Service, Service], world: World, person: str) -> None:
    a, b = replicas
    assert a.agent.execute("echo.say", person, params={"text": "x"}).status == 200
    b.end()
    more = '\n[[rule]]\nid = "closed"\nmatch = ["echo.say"]\neffect = "deny"\n'
    b.write("policies.toml", files.POLICIES + more)
    b.start()
    stale = until(lambda: answer if (answer := a.anyone.get("/readyz")).status == 503 else None, 15)
    assert "stale_bundle" in stale.body.decode()
    before = len(world.upstream.of("/v1/say"))
    refused = a.agent.execute("echo.say", person, params={"text": "x"})
    assert (refused.status, refused.code) == (503, "stale_bundle")
    assert len(world.upstream.of("/v1/say")) == before
    assert a.agent.execute("echo.ask", person, params={"text": "x"}).status == 202, "it still accepts and pauses"
    assert b.agent.execute("echo.say", person, params={"text": "x"}).status == 403
