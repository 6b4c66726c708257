"""What operators see of a running service: metrics, log, traces; and what nobody may see there (THREAT_MODEL 40)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jit_auth.errors import StorageError
from jit_auth.model import Audit as Row
from jit_auth.model import Change, Insert, Outbox, Unit
from jit_auth.watch import Watch
from jit_auth.watch.metrics import Metrics
from jit_auth.watch.traces import Traces, pause_ids
from jit_auth.web.metrics import Scrapes
from tests.fakes.serving import serving
from tests.integration.operators.conftest import ADMINS, TOKENS, admin
from tests.integration.service.kit import AGENT, Kit, kit
from tests.ports import free_port
from tests.project.tree import ROOT

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SEND = {"to": ["bo@example.com"], "subject": "a very private subject"}
PRIVATE = ("alice", "ana@", "bo@", "private subject", "jat_", "mail.send", "finance")


async def metrics(world: Kit) -> str:
    """The text, as of now."""
    async with world.session.get(
        world.url + "/metrics", headers={"Authorization": f"Bearer {TOKENS['viewer']}"}
    ) as reply:
        assert reply.status == 200
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return await reply.text()


def value(text: str, name: str, **labels: str) -> float:
    """The sum over all samples of that name that have these labels."""
    total = 0.0
    for line in text.splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if (
            match
            and match[1] == name
            and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', match[2] or "")).items()
        ):
            total += float(match[3])
    return total


async def test_a_call_a_pause_and_an_approval_are_counted(world: Kit) -> None:
    before = await metrics(world)
    await world.execute("list_messages")
    await world.execute("delete_message", params={"id": "1"})
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    await world.call("GET", "/actions", token="wrong")
    await world.decide(await world.approval_link(paused))
    assert (await world.ended(paused))["status"] == "succeeded"
    after = await metrics(world)

    def rise(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    mailhub = {"connector": "mailhub"}
    assert rise("jit_auth_executions_total", state="succeeded", **mailhub) == 2
    assert rise("jit_auth_executions_total", state="paused", risk="high", effect="create", **mailhub) == 1
    assert rise("jit_auth_executions_total", state="denied", effect="delete", **mailhub) == 1
    assert rise("jit_auth_decisions_total", decision="allow", **mailhub) == 1
    assert rise("jit_auth_decisions_total", decision="deny", **mailhub) == 1
    assert rise("jit_auth_decisions_total", decision="require_approval", **mailhub) == 2  # at the call and at the send
    assert rise("jit_auth_sends_total", provider="mailhub", outcome="done") == 2
    assert rise("jit_auth_send_seconds_count", provider="mailhub") == 2
    assert rise("jit_auth_decision_to_send_seconds_count") == 2
    assert rise("jit_auth_pause_seconds_count", state="executing") == 1
    assert rise("jit_auth_votes_total", verdict="approve") == 1
    assert rise("jit_auth_cards_total", channel="terminal", did="shown") >= 1
    assert rise("jit_auth_http_requests_total", method="POST", route="/execute", status="2xx") == 2
    assert rise("jit_auth_http_requests_total", method="POST", route="/approvals/{ticket}", status="2xx") == 1
    assert rise("jit_auth_http_problems_total", status="401", code="unauthenticated") == 1
    assert rise("jit_auth_http_problems_total", status="403", code="none") == 1  # the denied execution
    assert rise("jit_auth_audit_rows_total") >= 8
    assert rise("jit_auth_commit_seconds_count") > 0
    assert value(after, "jit_auth_database_up") == 1
    assert value(after, "jit_auth_process_resident_memory_bytes") > 0
    for word in PRIVATE:
        assert word not in after, word


async def test_what_waits_is_counted(world: Kit) -> None:
    assert world.service is not None
    store = world.service.store
    for number in range(3):
        await world.execute("send_message", params=SEND | {"subject": str(number)})
    row = Outbox(id="out_1", kind="event", endpoint="webhook:x", url="http://x.example/", payload="{}",
                 due=store.now() + 10_000, until=store.now() + 100_000)  # fmt: skip
    await store.apply(Unit(None, (Insert(row),), Row(actor="engine", what=())))
    text = await metrics(world)
    assert value(text, "jit_auth_paused_executions") == 3
    assert value(text, "jit_auth_outbox_rows") == 1
    assert value(text, "jit_auth_outbox_oldest_due_seconds") == 0
    assert value(text, "jit_auth_lost_intents") == 0


async def test_a_round_that_fails_every_time_is_told_by_its_age(world: Kit) -> None:
    assert world.service is not None
    failed = asyncio.Semaphore(0)

    async def away() -> None:
        failed.release()
        raise StorageError("The database is away.")

    world.service.store.look = away  # type: ignore[method-assign]  # twice, a second apart
    for _ in range(2):
        await asyncio.wait_for(failed.acquire(), 30)
    text = await metrics(world)
    ages = {name: value(text, "jit_auth_worker_round_age_seconds", round=name)
            for name in ("lease", "sweep", "stops", "due", "cards", "owed")}  # fmt: skip
    assert ages["stops"] > 1
    assert min(ages["due"], ages["cards"], ages["owed"]) < ages["stops"]
    assert len(re.findall("^jit_auth_worker_round_age_seconds", text, re.MULTILINE)) == len(ages)


async def test_what_waits_is_counted_on_postgresql_too(replicas: tuple[Kit, Kit]) -> None:
    one, two = replicas
    await one.execute("send_message", params=SEND)
    assert two.service is not None
    store = two.service.store
    row = Outbox(id="out_1", kind="event", endpoint="webhook:x", url="http://x.example/", payload="{}",
                 due=store.now() + 10_000, until=store.now() + 100_000)  # fmt: skip
    await store.apply(Unit(None, (Insert(row),), Row(actor="engine", what=())))
    backlog = await store.backlog()
    assert (backlog.paused, backlog.lost, backlog.outbox, backlog.outbox_age) == (1, 0, 1, 0)


async def test_an_intent_that_nobody_finished_is_counted(world: Kit) -> None:
    done = (await world.execute("list_messages")).json["id"]
    assert world.service is not None
    store = world.service.store
    execution = await store.execution(done)
    assert execution is not None
    to = {"state": "executing", "intent": True, "process": store.process, "due": store.now() - 1}
    await store.apply(Unit(None, (Change(execution, to),), Row(actor="engine", what=())))
    assert (await store.backlog()).lost == 1


async def test_a_fault_in_watching_is_a_line_of_the_log_and_no_more(
    world: Kit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("wrote", "batched", "answered", "took"):
        monkeypatch.delattr(Metrics, name)
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    await world.decide(await world.approval_link(paused))
    assert (await world.ended(paused))["status"] == "succeeded"
    assert world.mail.counts["POST"] == 1
    assert {record.name for record in caplog.records if record.exc_info} == {"jit_auth.watch.watch"}


async def test_halted_and_stopped_are_seen(world: Kit) -> None:
    before = await metrics(world)
    await admin(world, "halt", {"reason": "x"})
    text = await metrics(world)
    assert value(text, "jit_auth_halted") == 1
    assert value(text, "jit_auth_epoch") == value(before, "jit_auth_epoch") + 1
    await admin(world, "resume", {"reason": "x"})
    assert value(await metrics(world), "jit_auth_halted") == 0


async def test_metrics_are_for_admins(world: Kit) -> None:
    for role in TOKENS.values():
        async with world.session.get(world.url + "/metrics", headers={"Authorization": f"Bearer {role}"}) as reply:
            assert reply.status == 200
    for token in (AGENT, "wrong", ""):
        answer = await world.call("GET", "/metrics", token=token)
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert (await world.call("GET", "/metrics?x=1", token=TOKENS["viewer"])).status == 400
    assert (await world.call("POST", "/metrics", token=TOKENS["viewer"])).status == 405
    async with world.session.get(world.url + "/metrics", headers={"Host": "evil.example"}) as reply:
        assert reply.status == 421


async def test_the_own_listener_has_metrics_alone_and_answers_under_loopback_names() -> None:
    async def text() -> bytes:
        return b"jit_auth_x 1\n"

    scrapes = Scrapes(text, None)  # type: ignore[arg-type]  # nobody is asked who they are
    assert scrapes.alone(None) is None
    app = scrapes.alone(("127.0.0.1", 9464))
    assert app is not None
    async with TestClient(TestServer(app)) as client:
        for host in ("127.0.0.1:9464", "localhost:9464", "[::1]:9464"):
            reply = await client.get("/metrics", headers={"Host": host})
            assert (reply.status, await reply.text()) == (200, "jit_auth_x 1\n"), host
        for host in ("evil.example", "127.0.0.1.evil.example", ""):
            assert (await client.get("/metrics", headers={"Host": host})).status == 421, host
        for method, path in (("GET", "/"), ("POST", "/execute"), ("GET", "/healthz"), ("POST", "/metrics")):
            assert (await client.request(method, path)).status in (404, 405), path
    wide = scrapes.alone(("0.0.0.0", 9464))
    assert wide is not None
    async with TestClient(TestServer(wide)) as client:
        assert (await client.get("/metrics", headers={"Host": "jit-auth.internal:9464"})).status == 200


class Collected(InMemorySpanExporter):
    """Finished spans."""

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if span.name == name]


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[tuple[Kit, Collected]]:
    """The service with its spans kept in memory."""
    collected = Collected()
    watch = Watch(traces=Traces({}, SimpleSpanProcessor(collected)))
    async with kit(tmp_path, config=ADMINS, watch=watch) as found, found.running():
        await found.connected()
        collected.clear()
        yield found, collected


async def test_a_call_is_one_trace_from_the_agent_to_the_send(traced: tuple[Kit, Collected]) -> None:
    world, collected = traced
    seen = len(world.mail.seen)
    body = {"action": "mailhub.list_messages", "user": "alice@example.com", "params": {}}
    assert (await world.call("POST", "/execute", body, traceparent=PARENT)).status == 200
    names = [span.name for span in collected.get_finished_spans()]
    assert names == ["jit_auth.decide", "jit_auth.intent", "jit_auth.send", "jit_auth.commit", "POST /execute"]
    assert {span.context.trace_id for span in collected.get_finished_spans()} == {0x0AF7651916CD43DD8448EB211C80319C}
    (left,) = world.mail.seen[seen:]
    assert not {"traceparent", "tracestate", "baggage"} & {name.lower() for name in left.headers}


async def test_a_resumed_call_is_linked_to_its_pause(traced: tuple[Kit, Collected]) -> None:
    world, collected = traced
    paused = (await world.execute("send_message", params=SEND)).json["id"]
    await world.decide(await world.approval_link(paused))
    await world.ended(paused)
    (pause,) = collected.named("jit_auth.pause")
    assert (pause.context.trace_id, pause.context.span_id) == pause_ids(paused)
    sent = collected.named("jit_auth.send")[-1]
    for _ in range(200):
        found = [span for span in collected.named("jit_auth.resume") if span.context.trace_id == sent.context.trace_id]
        if found:
            break
        await asyncio.sleep(0.01)
    (resume,) = found
    assert pause_ids(paused) in [(link.context.trace_id, link.context.span_id) for link in resume.links]
    text = "".join(span.to_json() for span in collected.get_finished_spans())
    for word in PRIVATE:
        assert word not in text, word


async def test_serve_speaks_json_serves_metrics_and_sends_spans(tmp_path: Path) -> None:
    came: list[ExportTraceServiceRequest] = []

    async def collect(request: web.Request) -> web.Response:
        came.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app, port = web.Application(), free_port()
    app.add_routes([web.post("/v1/traces", collect)])
    async with serving(app) as collector, kit(tmp_path) as world:
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace("[server]", f'[server]\nmetrics_listen = "127.0.0.1:{port}"'))
        environ = os.environ | {"PYTHONPATH": str(ROOT), "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "jit_auth", "serve", "-c", str(config),
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, env=environ,
        )  # fmt: skip
        assert process.stderr is not None
        lines: list[dict[str, Any]] = []
        while not lines or "listens on" not in lines[-1]["event"]:
            lines.append(json.loads(await asyncio.wait_for(process.stderr.readline(), 30)))
        answer = await world.execute("send_message", params=SEND)
        ticket = next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent")
        async with world.session.get(ticket) as page:
            assert page.status == 200
        async with world.session.get(f"http://127.0.0.1:{port}/metrics") as reply:
            assert 'jit_auth_executions_total{connector="mailhub"' in await reply.text()
        process.send_signal(signal.SIGTERM)
        lines += [json.loads(line) for line in (await process.stderr.read()).splitlines()]
        assert await asyncio.wait_for(process.wait(), 30) == 0
    access = {(line["method"], line["route"]): line for line in lines if line["logger"] == "jit_auth.access"}
    assert access["POST", "/execute"]["execution"] == answer.json["id"]
    assert access["POST", "/execute"]["agent"] == "mailbot"
    assert access["GET", "/connect/{ticket}"]["status"] == 200
    spans = {
        span.name for export in came for of in export.resource_spans for scope in of.scope_spans for span in scope.spans
    }
    assert {"POST /execute", "jit_auth.decide", "jit_auth.pause", "GET /connect/{ticket}"} <= spans
    whole = json.dumps(lines) + "".join(str(export) for export in came)
    for word in PRIVATE:
        assert word not in whole, word
    assert len(lines[0]["time"]) > 20
