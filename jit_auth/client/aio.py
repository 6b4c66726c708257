"""Calls over aiohttp, which is imported when the first one is made."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from jit_auth.client.address import Address
from jit_auth.client.errors import NotConfigured
from jit_auth.client.protocol import Answer, Call, Lost, Pause, Steps
from jit_auth.client.words import line

if TYPE_CHECKING:
    from aiohttp import ClientSession

T = TypeVar("T")


class Aio:
    """Drives operations on the running event loop; one session per loop."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._session: ClientSession | None = None
        self._loop: Any = None
        self._plain = {"Authorization": f"Bearer {address.token}", "Accept": "application/json"}
        self._posted = self._plain | {"Content-Type": "application/json"}

    async def run(self, steps: Steps[T]) -> T:
        """What an operation gives in the end."""
        try:
            wanted = next(steps)
            while True:
                if isinstance(wanted, Pause):
                    import asyncio

                    await asyncio.sleep(wanted.seconds)
                    wanted = steps.send(None)
                    continue
                try:
                    answer = await self._send(wanted)
                except Lost as lost:
                    wanted = steps.throw(lost)
                else:
                    wanted = steps.send(answer)
        except StopIteration as done:
            value: T = done.value
            return value

    async def _send(self, call: Call) -> Answer:
        """One request, once. Raises Lost."""
        session = self._open()
        import aiohttp
        from yarl import URL

        headers = self._plain if call.body is None else self._posted
        if call.key is not None:
            headers = headers | {"Idempotency-Key": call.key}
        timeout = aiohttp.ClientTimeout(total=self._timeout + call.hold)
        try:
            async with session.request(
                call.method,
                URL(self._address.url + call.target, encoded=True),
                data=call.body,
                headers=headers,
                allow_redirects=False,
                timeout=timeout,
            ) as reply:
                body = await reply.read()
                return Answer(reply.status, {name.lower(): value for name, value in reply.headers.items()}, body)
        except TimeoutError:
            raise Lost("no answer in time") from None
        except (aiohttp.ClientError, OSError) as fault:
            raise Lost(_why(fault)) from None

    async def close(self) -> None:
        """Close what is kept; a later call opens anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> ClientSession:
        import asyncio

        loop = asyncio.get_running_loop()
        if self._session is not None and self._loop is loop:
            return self._session
        if self._session is not None:
            self._forget(self._session)
        try:
            import aiohttp
        except ImportError:
            raise NotConfigured("AsyncClient needs aiohttp.", hint="pip install aiohttp, or use Client.") from None
        self._loop = loop
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        if hasattr(self._session, "_retry_connection"):  # it would repeat by itself, and nobody would know
            self._session._retry_connection = False
        return self._session

    @staticmethod
    def _forget(session: ClientSession) -> None:
        """Of a loop that is gone: there is nobody left who could close it properly."""
        connector = session.connector
        session.detach()
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
