"""A user's accounts, connected before a call needs them: for agents with `connections = true`."""

from __future__ import annotations

from collections.abc import Sequence

from jit_auth.client.aio import Aio
from jit_auth.client.blocking import Blocking
from jit_auth.client.model import Json
from jit_auth.client.operations import Operations


class Connections:
    """`client.connections`. Values are JSON objects as the service answers them."""

    def __init__(self, operations: Operations, wire: Blocking) -> None:
        self._operations = operations
        self._wire = wire

    def create(self, user: str, actions: Sequence[str], *, return_url: str | None = None) -> Json:
        """A consent link for the user's browser that covers what these actions need. Sent once, never repeated."""
        return self._wire.run(self._operations.connect(user, actions, return_url))

    def list(self, user: str | None = None) -> list[Json]:
        """What is connected, of all pages."""
        return self._wire.run(self._operations.connections(user))

    def delete(self, id: str) -> None:
        """Disconnect: what this agent may use it for ends, and the access is revoked at the provider."""
        self._wire.run(self._operations.disconnect(id))


class AsyncConnections:
    """As Connections."""

    def __init__(self, operations: Operations, wire: Aio) -> None:
        self._operations = operations
        self._wire = wire

    async def create(self, user: str, actions: Sequence[str], *, return_url: str | None = None) -> Json:
        return await self._wire.run(self._operations.connect(user, actions, return_url))

    async def list(self, user: str | None = None) -> list[Json]:
        return await self._wire.run(self._operations.connections(user))

    async def delete(self, id: str) -> None:
        await self._wire.run(self._operations.disconnect(id))
