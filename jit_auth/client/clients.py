"""The two clients: the same operations, in the calling thread or on the event loop."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack

from jit_auth.client.address import Address, address
from jit_auth.client.aio import Aio
from jit_auth.client.blocking import Blocking
from jit_auth.client.connections import AsyncConnections, Connections
from jit_auth.client.hooks import verify_webhook
from jit_auth.client.model import Execution, Json, Preview
from jit_auth.client.operations import Body, Operations
from jit_auth.client.pages import AsyncPages, Items, Page
from jit_auth.client.protocol import Repeats, Speaker, Steps

if TYPE_CHECKING:
    from jit_auth.client.guard import Source

P = ParamSpec("P")
T = TypeVar("T")
REPEATS = Repeats()
TIMEOUT = 120.0
"""Seconds until an answer counts as lost: longer than any call that the service waits for."""


class _Client:
    """What both have: an address, and operations on it."""

    verify_webhook = staticmethod(verify_webhook)

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        repeats: Repeats = REPEATS,
        timeout: float = TIMEOUT,
        allow_http: bool = False,
    ) -> None:
        """Without `url`, `token`: JIT_AUTH_URL, JIT_AUTH_TOKEN. Raises NotConfigured.

        `allow_http`: send the token over plain http to hosts other than loopback.
        """
        self._address: Address = address(url, token, allow_http=allow_http)
        self._operations = Operations(Speaker(self._address.url, repeats))
        self._timeout = timeout

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._address.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _guard(
        self,
        action: str,
        user: Source,
        key: Source,
        timeout: float | None,
        body: Mapping[str, Any],
        run: Callable[[Steps[Any]], Any],
        run_async: Callable[[Steps[Any]], Any],
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        from inspect import iscoroutinefunction  # here, as guard: most programs guard nothing

        from jit_auth.client.guard import Guard
        from jit_auth.client.guarded import guarded, guarded_async

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            made = Guard(self._operations, action, function, user, key, timeout, body)
            if iscoroutinefunction(function):
                return guarded_async(made, function, run_async)
            return guarded(made, function, run)

        return decorate


class Client(_Client):
    """A blocking client; threads may share one. Closed by `close` or the end of a `with`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        repeats: Repeats = REPEATS,
        timeout: float = TIMEOUT,
        allow_http: bool = False,
    ) -> None:
        super().__init__(url, token, repeats=repeats, timeout=timeout, allow_http=allow_http)
        self._wire = Blocking(self._address, timeout)
        self.connections = Connections(self._operations, self._wire)

    def execute(
        self,
        action: str,
        *,
        user: str | None = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **body: Unpack[Body],
    ) -> Execution:
        """Ask for one action, in a user's name; the execution as it is when the service answers.

        A denial is an execution too. The same key and body again, also after a restart, find the same execution;
        without a key this call gets one of its own. Raises Refused, Unreachable.
        """
        return self._wire.run(self._operations.execute(action, user, params, idempotency_key, body))

    def preview(
        self,
        action: str,
        *,
        user: str | None = None,
        params: Mapping[str, Any] | None = None,
        **body: Unpack[Body],
    ) -> Preview:
        """What would be decided, and who asked. Nothing is created, nobody is asked. Raises Refused, Unreachable."""
        return self._wire.run(self._operations.preview(action, user, params, body))

    def wait(self, id: str | Execution, timeout: float | None = None) -> Execution:
        """Until it has ended, or is released to the agent; after `timeout` seconds as it is then, open still.

        Raises Refused, Unreachable.
        """
        return self._wire.run(self._operations.wait(id, timeout))

    def get(self, id: str | Execution) -> Execution:
        """As it is now. Raises Refused (404 for one that is not this agent's), Unreachable."""
        return self._wire.run(self._operations.get(id))

    def list(self, **filters: Any) -> Page:
        """This agent's executions, newest first; iterating reads on, page by page.

        Filters: status (one, or several), user, task, updated_since, limit (of one page), cursor.
        """

        def read(cursor: str | None) -> Items:
            more = {"cursor": cursor} if cursor is not None else {}
            return self._wire.run(self._operations.page({**filters, **more}))

        return Page(read(None), read)

    def cancel(self, id: str | Execution) -> Execution:
        """Withdraw one that is open. Raises Refused: 409 `already_finished`, `executing`."""
        return self._wire.run(self._operations.cancel(id))

    def actions(self, format: str | None = None, *, q: str | None = None) -> builtins.list[Json]:
        """All that this agent may use, with JSON Schema; `format` openai or anthropic: as tools for these APIs."""
        return self._wire.run(self._operations.actions(format, q))

    def action(self, name: str) -> Json:
        """One action that this agent may use. Raises Refused (404)."""
        return self._wire.run(self._operations.action(name))

    def guard(
        self,
        action: str,
        *,
        user: Source = None,
        key: Source = None,
        timeout: float | None = None,
        **body: Unpack[Body],
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorate a function, plain or async: its body runs when `action` is released for its arguments, and once.

        The arguments are the action's params, by name. `user` and `key` are strings or functions of the call's
        arguments. The same key gives the first run's value, after a restart too; without one each call asks anew.
        `timeout`: seconds to wait for people, then Paused. Raises what `Execution.unwrap` raises, Refused, Unreachable,
        GuardRefused.
        """
        return self._guard(action, user, key, timeout, body, self._wire.run, self._wire.run_in_threads)

    def close(self) -> None:
        """Close its connections."""
        self._wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()


class AsyncClient(_Client):
    """As Client, with coroutines; the same one may serve one event loop after the other."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        repeats: Repeats = REPEATS,
        timeout: float = TIMEOUT,
        allow_http: bool = False,
    ) -> None:
        super().__init__(url, token, repeats=repeats, timeout=timeout, allow_http=allow_http)
        self._wire = Aio(self._address, timeout)
        self._blocking = Blocking(self._address, timeout)
        """For plain functions that are guarded: they cannot wait for a loop."""
        self.connections = AsyncConnections(self._operations, self._wire)

    async def execute(
        self,
        action: str,
        *,
        user: str | None = None,
        params: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        **body: Unpack[Body],
    ) -> Execution:
        return await self._wire.run(self._operations.execute(action, user, params, idempotency_key, body))

    async def preview(
        self,
        action: str,
        *,
        user: str | None = None,
        params: Mapping[str, Any] | None = None,
        **body: Unpack[Body],
    ) -> Preview:
        return await self._wire.run(self._operations.preview(action, user, params, body))

    async def wait(self, id: str | Execution, timeout: float | None = None) -> Execution:  # noqa: ASYNC109 (at its end it gives a value)
        return await self._wire.run(self._operations.wait(id, timeout))

    async def get(self, id: str | Execution) -> Execution:
        return await self._wire.run(self._operations.get(id))

    def list(self, **filters: Any) -> AsyncPages:
        """`await` gives a page, `async for` goes through all executions."""

        async def read(cursor: str | None) -> Items:
            more = {"cursor": cursor} if cursor is not None else {}
            return await self._wire.run(self._operations.page({**filters, **more}))

        return AsyncPages(lambda: read(None), read)

    async def cancel(self, id: str | Execution) -> Execution:
        return await self._wire.run(self._operations.cancel(id))

    async def actions(self, format: str | None = None, *, q: str | None = None) -> builtins.list[Json]:
        return await self._wire.run(self._operations.actions(format, q))

    async def action(self, name: str) -> Json:
        return await self._wire.run(self._operations.action(name))

    def guard(
        self,
        action: str,
        *,
        user: Source = None,
        key: Source = None,
        timeout: float | None = None,
        **body: Unpack[Body],
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """As Client.guard; a plain function stays one, and blocks."""
        return self._guard(action, user, key, timeout, body, self._blocking.run, self._wire.run)

    async def close(self) -> None:
        self._blocking.close()
        await self._wire.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *fault: object) -> None:
        await self.close()
