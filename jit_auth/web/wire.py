"""What arrives and is no HTTP: refused in the one shape of errors, where aiohttp would answer text and log a trace.

Attack: a log filled, or written in, by anybody who can connect (nothing of what came is logged or sent back).
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from jit_auth.web import problem


def unreadable() -> web.Response:
    """The answer where head or body cannot be read; the connection ends with it."""
    response = problem.plain(
        400, "bad_request", "This is no HTTP request that can be read.", "Send HTTP/1.1, framed as RFC 9112 has it."
    )
    response.force_close()
    return response


def strict(app: web.Application) -> None:
    """Have the application's connections answer so."""

    def make(*, loop: asyncio.AbstractEventLoop | None = None, **options: Any) -> web.Server:
        app._set_loop(loop)
        app.freeze()
        handler: Any = app._handle
        return _Server(handler, request_factory=app._make_request, loop=app._loop, **options)

    app._make_handler = make  # type: ignore[method-assign]  # what makes connections is handed over nowhere else


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        return unreadable()

    def log_exception(self, *args: Any, **told: Any) -> None:
        # Reading on to the end of a body that was refused already: aiohttp would log a trace for each.
        if not isinstance(told.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **told)


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)
