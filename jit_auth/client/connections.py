"""A user's accounts, connected before a call needs them: for agents with `connections = true`."""

from __future__ import annotations

import builtins
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

    def create(
        self,
        user: str,
        actions: Sequence[str],
        *,
        account: str | None = None,
        another_account: bool = False,
        return_url: str | None = None,
    ) -> Json:
        """Ask for what these actions need: `url` is for the user's browser, None where nothing is missing.

        `account`: that one; `another_account`: one that is not connected yet. Sent once, never repeated.
        """
        return self._wire.run(self._operations.connect(user, actions, account, another_account, return_url))

    def list(self, user: str) -> builtins.list[Json]:
        """What a user has connected that this agent may use, of all pages."""
        return self._wire.run(self._operations.connections(user))

    def delete(self, id: str) -> Json:
        """Disconnect: this agent uses it no longer; where nobody else does, it is revoked at the provider."""
        return self._wire.run(self._operations.disconnect(id))


class AsyncConnections:
    """As Connections."""

    def __init__(self, operations: Operations, wire: Aio) -> None:
        self._operations = operations
        self._wire = wire

    async def create(
        self,
        user: str,
        actions: Sequence[str],
        *,
        account: str | None = None,
        another_account: bool = False,
        return_url: str | None = None,
    ) -> Json:
        return await self._wire.run(self._operations.connect(user, actions, account, another_account, return_url))

    async def list(self, user: str) -> builtins.list[Json]:
        return await self._wire.run(self._operations.connections(user))

    async def delete(self, id: str) -> Json:
        return await self._wire.run(self._operations.disconnect(id))
