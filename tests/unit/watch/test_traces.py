"""Spans: whose trace they belong to, what links them over a pause, and that they say nothing they should not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jit_auth.model import Decision, Execution
from jit_auth.watch.exporter import traces_of
from jit_auth.watch.traces import Traces, pause_ids

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PAUSED = Execution(
    id="exe_1", state="paused", agent="mailbot", chain=("mailbot",), user="ana@example.com", verified=True,
    action="mailhub.send", params={"to": "secret"}, digest="", decision=Decision("require_approval"),
    created=0, updated=0, expires=1,
)  # fmt: skip


class Collected(InMemorySpanExporter):
    """Finished spans by name."""

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.get_finished_spans() if span.name == name]
        return found


@pytest.fixture
def collected() -> Collected:
    return Collected()


@pytest.fixture
def traces(collected: Collected) -> Iterator[Traces]:
    found = Traces({}, SimpleSpanProcessor(collected))
    yield found
    found.close()


def test_a_request_is_in_the_agents_trace(traces: Traces, collected: Collected) -> None:
    span = traces.request("POST", "/execute", PARENT)
    traces.step(span, "decide", PAUSED, 0.5, "require_approval")
    traces.answered(span, 202, "")
    request, decided = collected["POST /execute"], collected["jit_auth.decide"]
    assert request.context.trace_id == decided.context.trace_id == 0x0AF7651916CD43DD8448EB211C80319C
    assert request.parent is not None
    assert request.parent.span_id == 0xB7AD6B7169203331
    assert decided.parent is not None
    assert decided.parent.span_id == request.context.span_id
    assert (decided.end_time or 0) - (decided.start_time or 0) == 500_000_000
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/execute",
        "http.response.status_code": 202,
    }


@pytest.mark.parametrize("wrong", [None, "", "x", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", PARENT * 2])
def test_what_is_no_traceparent_is_none(traces: Traces, collected: Collected, wrong: str | None) -> None:
    traces.answered(traces.request("POST", "/execute", wrong), 200, "")
    assert collected["POST /execute"].parent is None


def test_over_a_pause_a_link_leads_back(traces: Traces, collected: Collected) -> None:
    span = traces.request("POST", "/execute", PARENT)
    traces.step(span, "commit", PAUSED, 0.001, "new")
    traces.answered(span, 202, "")
    click = traces.request("POST", "/approvals/{ticket}", None)
    resumed = traces.resumed("exe_1", click)
    traces.step(resumed, "send", PAUSED, 0.1, "done")
    resumed.end()
    traces.answered(click, 200, "")
    request, pause, resume = collected["POST /execute"], collected["jit_auth.pause"], collected["jit_auth.resume"]
    assert (pause.context.trace_id, pause.context.span_id) == pause_ids("exe_1")
    assert [link.context for link in pause.links] == [request.context]
    assert [(link.context.trace_id, link.context.span_id) for link in request.links] == [pause_ids("exe_1")]
    back, cause = resume.links
    assert (back.context.trace_id, back.context.span_id) == pause_ids("exe_1")
    assert cause.context == collected["POST /approvals/{ticket}"].context
    assert resume.parent is None
    traces_of_all = {span.context.trace_id for span in (request, pause, resume, collected["POST /approvals/{ticket}"])}
    assert len(traces_of_all) == 4
    sent = collected["jit_auth.send"]
    assert sent.parent is not None
    assert sent.parent.span_id == resume.context.span_id


def test_another_look_at_a_paused_one_is_no_second_pause(traces: Traces, collected: Collected) -> None:
    traces.step(None, "commit", PAUSED, 0.001, "new")
    traces.step(None, "commit", PAUSED, 0.001, "paused")
    assert collected["jit_auth.pause"].links == ()


def test_ids_of_later_spans_are_random_again(traces: Traces, collected: Collected) -> None:
    traces.step(None, "commit", PAUSED, 0.001, "new")
    traces.answered(traces.request("GET", "/actions", None), 200, "")
    assert collected["GET /actions"].context.trace_id != pause_ids("exe_1")[0]


def test_a_pause_that_is_made_up_from_an_id_is_the_same_everywhere() -> None:
    assert pause_ids("exe_1") == pause_ids("exe_1") != pause_ids("exe_2")
    assert all(number > 0 for number in pause_ids("exe_1"))


def test_spans_hold_no_person_and_no_parameter(traces: Traces, collected: Collected) -> None:
    span = traces.request("POST", "/execute", PARENT)
    for what, came in (("decide", "allow"), ("commit", "new"), ("send", "lost")):
        traces.step(span, what, PAUSED, 0.001, came)
    traces.answered(span, 500, "internal")
    text = "".join(found.to_json() for found in collected.get_finished_spans())
    assert "mailbot" in text
    assert "ana@" not in text
    assert "secret" not in text


def test_without_an_endpoint_there_are_none() -> None:
    assert traces_of({}) is None
    assert traces_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_SERVICE_NAME": "x"}) is None
    assert traces_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"}) is None
