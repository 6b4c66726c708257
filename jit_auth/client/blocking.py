"""Calls over the standard library's http.client: kept-alive connections, shared by threads, never by processes."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any, TypeVar

from jit_auth.client.address import Address
from jit_auth.client.protocol import Answer, Call, Lost, Pause, Steps, driven
from jit_auth.client.words import line

if TYPE_CHECKING:
    from http.client import HTTPConnection

T = TypeVar("T")


class Blocking:
    """Drives operations in the calling thread. Several threads may use one."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._idle: list[HTTPConnection] = []
        self._keeps = True
        """False once closed: a heartbeat may still be on its way in a thread."""
        self._process = os.getpid()
        self._headers = {"Authorization": f"Bearer {address.token}", "Accept": "application/json"}
        self._tls: Any = None

    def run(self, steps: Steps[T]) -> T:
        """What an operation gives in the end."""
        try:
            wanted = next(steps)
            while True:
                if isinstance(wanted, Pause):
                    time.sleep(wanted.seconds)
                    wanted = steps.send(None)
                    continue
                try:
                    answer = self.send(wanted)
                except Lost as lost:
                    wanted = steps.throw(lost)
                else:
                    wanted = steps.send(answer)
        except StopIteration as done:
            value: T = done.value
            return value

    async def run_in_threads(self, steps: Steps[T]) -> T:
        """The same from an event loop, each call in a thread: between them it can be cancelled."""
        import asyncio

        return await driven(steps, lambda call: asyncio.to_thread(self.send, call))

    def send(self, call: Call) -> Answer:
        """One request, once. Raises Lost."""
        from http.client import HTTPException  # here, as all of http.client: it takes a while to import

        connection = self._connection()
        timeout = self._timeout + call.hold
        headers = dict(self._headers)
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.key is not None:
            headers["Idempotency-Key"] = call.key
        try:
            connection.timeout = timeout
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(timeout)
            body = call.body if call.body is not None or call.method == "GET" else b""
            connection.request(call.method, self._address.path + call.target, body, headers)
            reply = connection.getresponse()
            told = {name.lower(): value for name, value in reply.getheaders()}
            answer = Answer(reply.status, told, reply.read())
        except (OSError, HTTPException) as fault:
            connection.close()
            raise Lost(_why(fault)) from None
        except BaseException:
            connection.close()  # interrupted: what is left of the answer must not meet the next call
            raise
        if reply.will_close or not self._keeps:
            connection.close()
        else:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close what is kept; a later call opens anew, for itself alone."""
        self._keeps = False
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> HTTPConnection:
        if self._process != os.getpid():  # forked: those are the parent's
            self._idle, self._process = [], os.getpid()
        while True:
            try:
                kept = self._idle.pop()
            except IndexError:
                return self._new()
            if not _ended(kept):
                return kept
            kept.close()

    def _new(self) -> HTTPConnection:
        import http.client

        place = self._address
        if not place.secure:
            return http.client.HTTPConnection(place.host, place.port, timeout=self._timeout)
        if self._tls is None:
            import ssl

            self._tls = ssl.create_default_context()
        return http.client.HTTPSConnection(place.host, place.port, timeout=self._timeout, context=self._tls)


def _ended(connection: HTTPConnection) -> bool:
    """Whether the other end has closed a connection that is idle: nothing should be there to read."""
    sock = connection.sock
    if sock is None:
        return True
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            return bool(poll.poll(0))
        return bool(select.select([sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


def _why(fault: Exception) -> str:
    """In words, without the address (it is told beside it) or anything that was sent."""
    if isinstance(fault, TimeoutError):
        return "no answer in time"
    if isinstance(fault, OSError):
        if getattr(fault, "verify_message", None):
            return f"its certificate is not trusted ({line(fault.verify_message, 200)})"  # type: ignore[attr-defined]  # ssl is not imported for this
        return line(fault.strerror or type(fault).__name__, 200).lower()
    return f"the connection broke ({type(fault).__name__})"
