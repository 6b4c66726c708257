"""connector.toml as people write it: its tables and keys, nothing judged."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from jit_auth.config.provider import ProviderTable
from jit_auth.model import Body, Effect, Exposes, Risk


class ActionTable(Struct, frozen=True, kw_only=True):
    title: str
    method: str
    path: str
    risk: Risk
    effect: Effect
    summary: str | None = None
    show: tuple[str, ...] | None = None
    retry: str | None = None
    scopes: tuple[str, ...] | UnsetType = UNSET
    any_scopes: tuple[str, ...] | UnsetType = UNSET
    timeout: str = "30s"
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
    base_url: str
    provider: str | ProviderTable
    docs: str | None = None
    actions: dict[str, ActionTable]
