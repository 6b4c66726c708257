"""connector.toml as people write it: its tables and keys, nothing judged."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from jit_auth.config.provider import ProviderTable
from jit_auth.model import Body, Effect, Exposes, Risk


class ActionTable(Struct, frozen=True, kw_only=True):
    title: str
    run: Literal["agent"] | None = None
    method: str | None = None
    path: str | None = None
    risk: Risk
    effect: Effect
    summary: str | None = None
    show: tuple[str, ...] | None = None
    retry: str | None = None
    scopes: tuple[str, ...] | UnsetType = UNSET
    any_scopes: tuple[str, ...] | UnsetType = UNSET
    timeout: str = "30s"
    claim_timeout: str = "10m"
    expose_headers: tuple[str, ...] = ()
    secret_fields: tuple[str, ...] = ()
    unauthorized_is_unexecuted: bool = False
    exposes: tuple[Exposes, ...] = ()
    reads: tuple[Literal["email", "slack"], ...] = ()
    body: Body = "json"
    params: dict[str, dict[str, Any]] = {}


class ConnectorTable(Struct, frozen=True, kw_only=True):
    id: str | None = None
    """The folder's name, where it is not said again."""
    name: str | None = None
    base_url: str | None = None
    provider: str | ProviderTable | None = None
    docs: str | None = None
    actions: dict[str, ActionTable]

    @property
    def calls(self) -> bool:
        """Whether any action is a call of ours, and so needs a base URL and a provider."""
        return any(action.run is None for action in self.actions.values()) or not self.actions
