"""Calls over aiohttp, which is imported when the first one is made."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from jit_auth.client.address import Address
from jit_auth.client.errors import NotConfigured
from jit_auth.client.protocol import Answer, Call, Lost, Steps, driven
from jit_auth.client.words import line

if TYPE_CHECKING:
    from aiohttp import ClientTimeout
    from yarl import URL

T = TypeVar("T")
EXECUTE = "/execute"


class Aio:
    """Drives operations on the running event loop; one session per loop."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._opened: _Opened | None = None
        self._plain = {"Authorization": f"Bearer {address.token}"}
        self._posted = self._plain | {"Content-Type": "application/json"}

    async def run(self, steps: Steps[T]) -> T:
        """What an operation gives in the end."""
        return await driven(steps, self._send)

    async def _send(self, call: Call) -> Answer:
        """One request, once. Raises Lost."""
        opened = self._open()
        headers = self._plain if call.body is None else self._posted
        if call.key is not None:
            headers = headers | {"Idempotency-Key": call.key}
        try:
            async with opened.session.request(
                call.method,
                opened.url(call.target),
                data=call.body,
                headers=headers,
                allow_redirects=False,
                timeout=opened.patience(call.hold) if call.hold else opened.plain,
            ) as reply:
                return Answer(reply.status, reply.headers, await reply.read())
        except TimeoutError:
            raise Lost("no answer in time") from None
        except (opened.broken, OSError) as fault:
            raise Lost(_why(fault)) from None

    async def close(self) -> None:
        """Close what is kept; a later call opens anew."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.session.close()

    def _open(self) -> _Opened:
        opened = self._opened
        if opened is not None and opened.running() is opened.loop:
            return opened
        if opened is not None:
            opened.forget()
        self._opened = opened = _Opened(self._address.url, self._timeout)
        return opened


class _Opened:
    """A session of one loop, and what is needed of aiohttp for each call. Raises NotConfigured without aiohttp."""

    def __init__(self, base: str, timeout: float) -> None:
        import asyncio

        try:
            import aiohttp
            from yarl import URL
        except ImportError:
            raise NotConfigured("AsyncClient needs aiohttp.", hint="pip install aiohttp, or use Client.") from None
        self.running = asyncio.get_running_loop
        self.loop = self.running()
        self.broken = aiohttp.ClientError
        self._timeouts, self._timeout = aiohttp.ClientTimeout, timeout
        self.plain = self.patience(0)
        self._urls, self._base = URL, base
        self._execute = URL(base + EXECUTE, encoded=True)
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        if hasattr(self.session, "_retry_connection"):  # it would repeat by itself, and nobody would know
            self.session._retry_connection = False

    def url(self, target: str) -> URL:
        return self._execute if target == EXECUTE else self._urls(self._base + target, encoded=True)

    def patience(self, hold: float) -> ClientTimeout:
        """Until an answer counts as lost."""
        return self._timeouts(total=self._timeout + hold)

    def forget(self) -> None:
        """Its loop is gone: there is nobody left who could close it properly."""
        connector = self.session.connector
        self.session.detach()
        if connector is not None:
            with contextlib.suppress(RuntimeError):
                connector._close()


def _why(fault: Exception) -> str:
    """In words, without the address (it is told beside it) or anything that was sent."""
    certificate = getattr(fault, "certificate_error", None)
    if certificate is not None:
        return f"its certificate is not trusted ({line(getattr(certificate, 'verify_message', ''), 200)})"
    cause = getattr(fault, "os_error", fault)
    if isinstance(cause, OSError) and cause.strerror:
        import os

        told = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror
        return line(told, 200).lower()
    return f"the connection broke ({type(fault).__name__})"
