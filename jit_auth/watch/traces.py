"""OpenTelemetry spans of what `Watch` is told. Needs the extra `otel`; imported only where traces are on.

A request of an agent is a span of the agent's own trace, where it sends a `traceparent`. What is done meanwhile (to
judge, to write, to send) are its children. A pause ends that trace, perhaps for days and in another process: whoever
takes the execution up again begins a new one, with a link to the pause. The ids of the pause's span are derived from
the execution's id, so that nothing has to be kept to link to it.

Nothing is added to what leaves for a provider: those bytes were approved. Attributes are ids and words of closed sets,
and of a caller's headers `traceparent` alone is read. (`tracestate` is whatever somebody wrote.)
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from jit_auth import __version__
from jit_auth.model import Execution

PATIENCE = 5.0
"""Seconds that the last spans get to leave when the service stops."""
_PARENT = TraceContextTextMapPropagator()
_STEPS = {"decide": "jit_auth.decide", "commit": "jit_auth.commit", "send": "jit_auth.send"}


class _Ids(RandomIdGenerator):
    """Random ids, but for a span whose ids are told beforehand."""

    told: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return self.told[0] if self.told is not None else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.told[1] if self.told is not None else super().generate_span_id()


def pause_ids(execution_id: str) -> tuple[int, int]:
    """Trace and span id of an execution's pause: derived, so that any process can link to it."""
    digest = hashlib.sha256(b"jit_auth pause\0" + execution_id.encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


class Traces:
    """The spans of one service. Used in the loop; what leaves does so from a thread of the SDK."""

    def __init__(self, environ: Mapping[str, str], processor: SpanProcessor) -> None:
        """`environ` may hold OTEL_SERVICE_NAME; the SDK reads its own besides. `processor` takes the spans."""
        named = {} if "OTEL_SERVICE_NAME" in environ else {"service.name": "jit_auth"}
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create({**named, "service.version": __version__}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("jit_auth", __version__)

    def close(self) -> None:
        """Send what is left, for some seconds at most: a collector that is away holds up no stop."""
        thread = threading.Thread(target=self._provider.shutdown, name="jit-auth-traces", daemon=True)
        thread.start()
        thread.join(PATIENCE)

    def request(self, method: str, route: str, traceparent: str | None) -> Span:
        """The span of a request; `answered` ends it."""
        parent = Context() if traceparent is None else _PARENT.extract({"traceparent": traceparent}, Context())
        return self._tracer.start_span(
            f"{method} {route}",
            parent,
            SpanKind.SERVER,
            {"http.request.method": method, "http.route": route},
        )

    def answered(self, span: Span, status: int, code: str) -> None:
        """A request was answered."""
        span.set_attribute("http.response.status_code", status)
        if code:
            span.set_attribute("jit_auth.code", code)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def resumed(self, execution_id: str, cause: Span | None) -> Span:
        """An execution is taken up again: a trace of its own, linked to the pause and to what set it going."""
        links = [Link(_pause(execution_id))]
        if cause is not None:
            links.append(Link(cause.get_span_context()))
        return self._tracer.start_span(
            "jit_auth.resume", Context(), attributes={"jit_auth.execution": execution_id}, links=links
        )

    def step(self, parent: Span | None, what: str, execution: Execution, seconds: float, came: str) -> None:
        """A part that is just over. `came`: of a send its outcome, of a commit the state before."""
        end = time.time_ns()
        told = _about(execution)
        if what == "send":
            told["jit_auth.outcome"] = came
        span = self._tracer.start_span(
            "jit_auth.intent" if what == "commit" and execution.intent else _STEPS[what],
            _under(parent),
            SpanKind.CLIENT if what == "send" else SpanKind.INTERNAL,
            told,
            start_time=end - int(seconds * 1e9),
        )
        if what == "send" and came not in ("done", "failed"):
            span.set_status(StatusCode.ERROR)
        span.end(end)
        if what == "commit" and execution.state == "paused" and came != "paused" and not execution.attempt:
            self._paused(parent, execution, end)

    def _paused(self, parent: Span | None, execution: Execution, at: int) -> None:
        links = [Link(parent.get_span_context())] if parent is not None else []
        self._ids.told = pause_ids(execution.id)
        try:
            span = self._tracer.start_span("jit_auth.pause", Context(), attributes=_about(execution), links=links,
                                           start_time=at)  # fmt: skip
        finally:
            self._ids.told = None
        span.end(at)
        if parent is not None:
            parent.add_link(_pause(execution.id))


def _pause(execution_id: str) -> SpanContext:
    trace, span = pause_ids(execution_id)
    return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _under(parent: Span | None) -> Context:
    return Context() if parent is None else set_span_in_context(parent, Context())


def _about(execution: Execution) -> dict[str, str | int]:
    return {
        "jit_auth.execution": execution.id,
        "jit_auth.action": execution.action,
        "jit_auth.agent": execution.agent,
        "jit_auth.state": execution.state,
        "jit_auth.attempt": execution.attempt,
    }
