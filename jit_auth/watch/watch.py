"""What looks on: it is told of requests, steps and units, and passes each on to the metrics, the log and the traces.

It stands on the path of every call, often between a commit and what follows from it. So nothing here waits or decides,
and a fault of ours is a line of the log: what was committed is never taken for lost because it could not be counted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING

from jit_auth.errors import StorageError
from jit_auth.model import Applied, Execution, Stale, Unit
from jit_auth.watch.access import Access
from jit_auth.watch.here import HERE, Here
from jit_auth.watch.metrics import Metrics

if TYPE_CHECKING:  # an extra
    from opentelemetry.trace import Span

    from jit_auth.watch.traces import Traces

log = logging.getLogger(__name__)


class Watch:
    """One of a service. `access` and `traces` are left out where there is no log of requests, no tracing."""

    def __init__(self, *, access: Access | None = None, traces: Traces | None = None) -> None:
        self.metrics = Metrics()
        self._access = access
        self._traces = traces
        self._numbers = count(1)
        self._name = os.urandom(5).hex()

    def request(self, method: str, route: str, traceparent: str | None) -> Callable[[int, str], None]:
        """A request begins; call what this gives, with status and code, as it ends."""
        begun = perf_counter()
        id = f"req_{self._name}{next(self._numbers):x}"
        span: Span | None = None
        try:
            if self._traces is not None:
                span = self._traces.request(method, route, traceparent)
            HERE.set(Here(id, trace=_trace(span), span=span))
        except Exception:
            log.exception("a request is not watched")

        def ended(status: int, code: str) -> None:
            try:
                seconds = perf_counter() - begun
                self.metrics.answered(method, route, status, code, seconds)
                if self._access is not None:
                    self._access.write(method, route, status, code, seconds, HERE.get())
                if self._traces is not None and span is not None:
                    self._traces.answered(span, status, code)
            except Exception:
                log.exception("a request was not watched to its end")

        return ended

    def wrote(self, unit: Unit, answer: Applied | Stale | StorageError) -> None:
        """A unit was written, refused or failed."""
        try:
            self.metrics.wrote(unit, answer)
        except Exception:
            log.exception("a unit was not counted")

    def batched(self, units: int, seconds: float) -> None:
        """A transaction of the journal is over."""
        try:
            self.metrics.batched(units, seconds)
        except Exception:
            log.exception("a transaction was not counted")

    def took(self, what: str, execution: Execution, begun: float, came: str) -> None:
        """A part of an execution is done: it was judged, written, or sent."""
        if what == "commit" and self._traces is None:
            return  # the journal's own time is counted by `batched`
        try:
            seconds = perf_counter() - begun
            here = HERE.get()
            if here.agent != execution.agent or here.execution != execution.id:
                HERE.set(Here(here.request, execution.id, execution.agent, here.trace, here.span))
            self.metrics.took(what, execution, seconds, came)
            if self._traces is not None:
                self._traces.step(here.span, what, execution, seconds, came)
        except Exception:
            log.exception("a step was not watched")

    @contextmanager
    def within(self, execution_id: str) -> Iterator[None]:
        """An execution is taken up again. What the task is about stays said after it: it may go on about it."""
        here = HERE.get()
        span: Span | None = None
        try:
            if self._traces is not None:
                span = self._traces.resumed(execution_id, here.span)
        except Exception:
            log.exception("a resumed execution is not traced")
        HERE.set(Here(here.request, execution_id, trace=_trace(span), span=span))
        try:
            yield
        finally:
            HERE.set(Here(here.request, execution_id, trace=here.trace, span=here.span))
            if span is not None:
                span.end()


def _trace(span: Span | None) -> str:
    return "" if span is None else f"{span.get_span_context().trace_id:032x}"
