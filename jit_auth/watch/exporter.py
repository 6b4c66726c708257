"""Whether there are traces: where OpenTelemetry's own variables say where they go, and the extra is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jit_auth.watch.traces import Traces

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

log = logging.getLogger(__name__)


def traces_of(environ: Mapping[str, str]) -> Traces | None:
    """The traces of this process, sent by OTLP over HTTP; None where they are off. Close them at the end."""
    wanted = environ.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp" and any(environ.get(name) for name in ENDPOINTS)
    if not wanted:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from jit_auth.watch.traces import Traces
    except ImportError:
        log.warning("there are no traces: install the extra, pip install 'jit-auth[otel]'")
        return None
    return Traces(environ, BatchSpanProcessor(OTLPSpanExporter()))
