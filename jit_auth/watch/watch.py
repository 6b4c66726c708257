"""What looks on: it is told of requests and steps, and passes each on to the metrics, the log and the traces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING

from jit_auth.model import Execution
from jit_auth.watch.access import Access
from jit_auth.watch.here import HERE, Here
from jit_auth.watch.metrics import Metrics

if TYPE_CHECKING:  # an extra
    from jit_auth.watch.traces import Traces


class Watch:
    """One of a service. It stands on the path of every call: nothing here waits, or decides."""

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
        if self._traces is None:
            span, trace = None, ""
        else:
            span = self._traces.request(method, route, traceparent)
            trace = f"{span.get_span_context().trace_id:032x}"
        HERE.set(Here(id, trace=trace, span=span))

        def ended(status: int, code: str) -> None:
            seconds = perf_counter() - begun
            self.metrics.answered(method, route, status, code, seconds)
            if self._access is not None:
                self._access.write(method, route, status, code, seconds, HERE.get())
            if self._traces is not None and span is not None:
                self._traces.answered(span, status, code)

        return ended

    def took(self, what: str, execution: Execution, begun: float, came: str) -> None:
        """A part of an execution is done: it was judged, written, or sent."""
        seconds = perf_counter() - begun
        here = HERE.get()
        if here.agent != execution.agent or here.execution != execution.id:
            HERE.set(Here(here.request, execution.id, execution.agent, here.trace, here.span))
        self.metrics.took(what, execution, seconds, came)
        if self._traces is not None:
            self._traces.step(here.span, what, execution, seconds, came)

    @contextmanager
    def within(self, execution_id: str) -> Iterator[None]:
        """An execution is taken up again. What the task is about stays said after it: it may go on about it."""
        here = HERE.get()
        if self._traces is None:
            HERE.set(Here(here.request, execution_id))
            yield
            return
        span = self._traces.resumed(execution_id, here.span)
        HERE.set(Here(here.request, execution_id, "", f"{span.get_span_context().trace_id:032x}", span))
        try:
            yield
        finally:
            span.end()
            HERE.set(Here(here.request, execution_id, "", here.trace, here.span))
