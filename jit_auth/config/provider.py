"""A provider's fields as files may write them: in a connector, in PROVIDER/provider.toml, and in [providers.X]."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from jit_auth.config.secret import Secret
from jit_auth.model import Inject

TokenAuth = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]


class ProviderTable(Struct, frozen=True, kw_only=True):
    """Every field of `model.Provider` that a file may set; what is UNSET keeps the provider's own, or the default."""

    kind: str | UnsetType = UNSET
    issuer: str | UnsetType = UNSET
    authorize_url: str | UnsetType = UNSET
    token_url: str | UnsetType = UNSET
    refresh_url: str | UnsetType = UNSET
    revoke_url: str | UnsetType = UNSET
    userinfo_url: str | UnsetType = UNSET
    manage_url: str | UnsetType = UNSET
    hosts: tuple[str, ...] | UnsetType = UNSET
    scope_separator: str | UnsetType = UNSET
    scope_param: str | UnsetType = UNSET
    token_auth: TokenAuth | UnsetType = UNSET
    token_path: str | UnsetType = UNSET
    authorize_params: dict[str, str] | UnsetType = UNSET
    token_params: dict[str, str] | UnsetType = UNSET
    pkce: bool | UnsetType = UNSET
    base_scopes: tuple[str, ...] | UnsetType = UNSET
    implies: dict[str, tuple[str, ...]] | UnsetType = UNSET
    scope_titles: dict[str, str] | UnsetType = UNSET
    account_id: str | UnsetType = UNSET
    account_name: str | UnsetType = UNSET
    broken_errors: tuple[str, ...] | UnsetType = UNSET
    inject: Inject | UnsetType = UNSET
    ca_file: str | UnsetType = UNSET
    """PEM, relative to the file that names it."""


class SharedProviderTable(ProviderTable, frozen=True, kw_only=True):
    """PROVIDER/provider.toml: the same keys at its top, and which connectors may use it."""

    connectors: tuple[str, ...] | UnsetType = UNSET


class ClientTable(ProviderTable, frozen=True, kw_only=True):
    """[providers.X]: this deployment's OAuth client or shared credential, and what it overrides."""

    client_id: str | UnsetType = UNSET
    client_secret: Secret | UnsetType = UNSET
    secret: Secret | UnsetType = UNSET
    username: str | UnsetType = UNSET


def written(table: ProviderTable) -> dict[str, Any]:
    """The keys that a table has, with their values."""
    return {key: value for key, value in asdict(table).items() if value is not UNSET}
