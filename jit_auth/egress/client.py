"""The only door to hosts that connectors, agents or people named: judged, pinned, one request per call.

THREAT_MODEL 5, 9, 31, 36. Proxies (HTTP_PROXY ...) and netrc are not looked at. Nothing here repeats a request.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Callable, Sequence

from jit_auth.egress.address import Pins, Private, Target, judge, literal, parse
from jit_auth.egress.connection import Connection, Key
from jit_auth.egress.pool import IDLE, IDLE_FRESH, Pool
from jit_auth.egress.request import Writer
from jit_auth.egress.resolver import Resolve, Resolver, system
from jit_auth.errors import AddressRefused, NeverLeft
from jit_auth.model import Reply, Request

CONNECT = 10.0
"""Seconds for resolving, connecting and the TLS handshake together, unless `connect_by` is sooner."""
MAX_BODY = 1 << 20
_ADDRESSES = 4
"""Most addresses of one name that are tried."""
_REMEMBERED = 1024
_CLOSING = "The service is shutting down."


class Egress:
    """Sends requests. One instance serves one event loop; `close` when done."""

    def __init__(
        self,
        allow_private: Sequence[str] = (),
        *,
        resolve: Resolve = system,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`allow_private`: [connectors] allow_private_hosts. `resolve`: a name's addresses. Reads no environment."""
        self._private = Private(allow_private)
        self._resolver = Resolver(resolve)
        self._contexts: dict[str, ssl.SSLContext] = {} if ssl_context is None else {"": ssl_context}
        self._pool = Pool()
        self._writer = Writer()
        self._pinned: dict[tuple[str, str, int, tuple[str, ...]], tuple[str, ...] | None] = {}
        self._keys: dict[tuple[str, str, int, tuple[str, ...], str], tuple[Key, ...]] = {}
        self._closed = False

    async def send(
        self,
        request: Request,
        *,
        hosts: Sequence[str],
        timeout: int,  # noqa: ASYNC109  (a late answer is a Lost with a reason of its own, not a cancelled task)
        max_body: int = MAX_BODY,
        fresh: bool = False,
        on_left: Callable[[], None] | None = None,
        connect_by: float | None = None,
        ca: str = "",
    ) -> Reply:
        """Send one request, once, and give its answer.

        `hosts`: the only ones it may go to (exact or `*.domain`). `timeout`: milliseconds from the first byte written
        to the whole answer. `fresh`: only on a connection that is new or was idle for less than a second. `on_left` is
        called just before the first byte is written. `connect_by`: the loop's time (monotonic seconds) after which
        nothing may be written any more. `ca`: authorities (PEM) that may vouch for the host, beside the system's.

        Raises AddressRefused (the host, its addresses, or the request's form), NeverLeft (no byte was written: DNS,
        connect, TLS, `connect_by`) or Lost (written, and no whole answer). A body over `max_body`, in a coding that
        was not offered, or cut off after a 2xx status gives a reply that is `truncated`, with an empty body.
        """
        loop = asyncio.get_running_loop()
        target = parse(request.url)
        addresses = self._pin(target, hosts)
        data = self._writer.write(request, target)
        now = loop.time()
        deadline = now + CONNECT if connect_by is None else min(connect_by, now + CONNECT)
        if addresses is None:
            addresses = self._resolver.known(target.host, now) or await self._resolve(target.host, deadline)
        keys = self._judge(target, addresses, ca)
        connection = self._idle(keys, fresh, loop.time())
        if connection is None:
            connection = await self._connect(loop, keys, deadline)
        if connect_by is not None and loop.time() > connect_by:
            self._pool.free(connection)
            raise NeverLeft("The time to begin the request in had passed.")
        answer: asyncio.Future[Reply] = loop.create_future()
        if on_left is not None:
            on_left()
        until = loop.time() + timeout / 1000
        connection.exchange(data, bodiless=request.method == "HEAD", limit=max_body, answer=answer, until=until)
        try:
            return await answer
        except asyncio.CancelledError:
            connection.abort()
            raise

    async def judge(self, url: str, *, hosts: Sequence[str]) -> None:
        """All that is slow or may be refused before a connection is made: pins, DNS, classes.

        For use before an intent is written: a send within the next seconds finds the name resolved. Raises
        AddressRefused, NeverLeft.
        """
        loop = asyncio.get_running_loop()
        target = parse(url)
        addresses = self._pin(target, hosts)
        if addresses is None:
            now = loop.time()
            addresses = self._resolver.known(target.host, now) or await self._resolve(target.host, now + CONNECT)
        self._judge(target, addresses, "")

    async def close(self) -> None:
        """Close all connections; requests on their way are lost."""
        self._closed = True
        await self._resolver.close()
        await self._pool.close()

    # Where to

    def _pin(self, target: Target, hosts: Sequence[str]) -> tuple[str, ...] | None:
        """Is this host among the pins? Its address where it is a literal, None for a name. Decided once per origin."""
        scheme, host, port, _, _ = target
        plan = (scheme, host, port, tuple(hosts))
        try:
            return self._pinned[plan]
        except KeyError:
            pass
        address = literal(host)
        if host not in Pins(hosts):
            raise AddressRefused(f"{host} is none of the hosts that this provider declares.")
        if len(self._pinned) >= _REMEMBERED:
            self._pinned.clear()
        found = self._pinned[plan] = None if address is None else (str(address),)
        return found

    def _judge(self, target: Target, addresses: tuple[str, ...], ca: str) -> tuple[Key, ...]:
        """The connections' keys for those of the addresses that may be gone to. Depends on nothing but its input."""
        scheme, host, port, _, _ = target
        plan = (scheme, host, port, addresses, ca)
        try:
            return self._keys[plan]
        except KeyError:
            pass
        good = judge(scheme, host, addresses, self._private)
        if len(self._keys) >= _REMEMBERED:
            self._keys.clear()
        keys = self._keys[plan] = tuple(Key(scheme, host, port, address, ca) for address in good[:_ADDRESSES])
        return keys

    async def _resolve(self, host: str, deadline: float) -> tuple[str, ...]:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._resolver.ask(host)
        except (OSError, UnicodeError) as error:
            raise NeverLeft(f"The name {host} could not be resolved.") from error
        except asyncio.CancelledError:
            if self._closed:
                raise NeverLeft(_CLOSING) from None
            raise

    # By which connection

    def _idle(self, keys: tuple[Key, ...], fresh: bool, now: float) -> Connection | None:
        for key in keys:
            while (connection := self._pool.take(key, IDLE_FRESH if fresh else IDLE, now)) is not None:
                # A busy loop may not have read the server's EOF yet. Only for calls that must not be lost: to ask the
                # system gives up the interpreter's lock once more.
                if not fresh or connection.quiet():
                    return connection
                connection.close()
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop, keys: tuple[Key, ...], deadline: float) -> Connection:
        """A new connection to the first of the judged addresses that takes one; each gets its share of the time."""
        failure: Exception | None = None
        for left, key in zip(range(len(keys), 0, -1), keys, strict=True):
            now = loop.time()
            try:
                async with asyncio.timeout_at(now + max(0.0, deadline - now) / left):
                    return await self._open(loop, key)
            except OSError as error:  # TimeoutError and ssl.SSLError are such
                failure = error
        raise NeverLeft(f"No connection to {keys[0].host} could be made ({_why(failure)}).") from failure

    async def _open(self, loop: asyncio.AbstractEventLoop, key: Key) -> Connection:
        secure = key.scheme == "https"
        if self._closed:
            raise NeverLeft(_CLOSING)
        connection = Connection(key, self._pool.free, self._pool.gone)
        await loop.create_connection(
            lambda: connection,
            key.address,
            key.port,
            ssl=self._context(key.ca) if secure else None,
            server_hostname=key.host if secure else None,
        )
        self._pool.add(connection)
        if not connection.open:
            raise ConnectionResetError(errno.ECONNRESET, "closed before a byte was written")
        return connection

    def _context(self, ca: str) -> ssl.SSLContext:
        """What a certificate is checked by: the system's authorities, and those of `ca` for whoever named them."""
        known = self._contexts.get(ca)
        if known is not None:
            return known
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        if ca:
            context.load_verify_locations(cadata=ca)
        self._contexts[ca] = context
        return context


def _why(failure: Exception | None) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"certificate: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError):
        return "TLS"
    if isinstance(failure, TimeoutError):
        return "timeout"
    return (failure.strerror or "refused") if isinstance(failure, OSError) else "refused"
