"""config.toml as people write it: its tables and keys, nothing resolved."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from jit_auth.config.people import PersonTable
from jit_auth.config.provider import ClientTable
from jit_auth.config.secret import Secret, SecretTable


class ServerTable(Struct, frozen=True, kw_only=True):
    public_url: str = "http://127.0.0.1:8080"
    listen: str = "127.0.0.1:8080"
    environment: str = "dev"
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    admin_tokens: tuple[Secret, ...] = ()
    metrics_listen: str | None = None


class StorageTable(Struct, frozen=True, kw_only=True):
    url: Secret = "sqlite:///jit-auth.db"
    insecure_db: bool = False


class VaultKeyTable(Struct, frozen=True, kw_only=True):
    id: str
    env: str | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        self.secret()

    def secret(self) -> SecretTable:
        """Where the key's 32 bytes come from. Raises ValueError unless that is exactly one place."""
        return SecretTable(env=self.env, file=self.file, command=self.command)


class VaultTable(Struct, frozen=True, kw_only=True):
    keys: tuple[VaultKeyTable, ...]


class AgentTable(Struct, frozen=True, kw_only=True):
    secret_sha256: str
    actions: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    trusts_users: bool | None = None
    owners: tuple[str, ...] = ()
    sees_people: bool | None = None
    callback_secret: Secret | None = None
    callback_urls: tuple[str, ...] = ()
    return_urls: tuple[str, ...] = ()
    connections: bool = False


class AdminTable(Struct, frozen=True, kw_only=True):
    secret_sha256: str
    role: Literal["viewer", "operator", "security"]


class UsersTable(Struct, frozen=True, kw_only=True):
    verify: Literal["oidc", "email", "app", "none"] = "none"
    issuer: str | None = None
    app_url: str | None = None
    app_secret: Secret | None = None
    notify: tuple[str, ...] = ()
    consent: Literal["agent", "shared"] = "agent"


class IssuerTable(Struct, frozen=True, kw_only=True):
    issuer: str
    client_id: str
    client_secret: Secret
    domains: tuple[str, ...]
    user_claim: str = "email"
    scopes: tuple[str, ...] = ("openid", "email")
    token_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"


class ConnectorsTable(Struct, frozen=True, kw_only=True):
    paths: tuple[str, ...] = ()
    allow_private_hosts: tuple[str, ...] = ()


class PoliciesTable(Struct, frozen=True, kw_only=True):
    paths: tuple[str, ...] = ()


class LimitsTable(Struct, frozen=True, kw_only=True):
    open_per_agent: int = 1_000
    asks_per_person_hour: int = 60
    deny_cooldown: str | int = "10m"
    approved_send_within: str = "15m"
    send_window: str = "5s"


class RetentionTable(Struct, frozen=True, kw_only=True):
    params: str = "30d"
    results: str = "7d"
    audit: str = "3y"


class WebhookTable(Struct, frozen=True, kw_only=True):
    url: str
    secret: Secret


class File(Struct, frozen=True, kw_only=True):
    vault: VaultTable
    server: ServerTable = ServerTable()
    storage: StorageTable = StorageTable()
    admins: dict[str, AdminTable] = {}
    agents: dict[str, AgentTable] = {}
    users: UsersTable = UsersTable()
    issuers: dict[str, IssuerTable] = {}
    people: dict[str, PersonTable] = {}
    channels: dict[str, dict[str, Any]] = {}
    """Each channel's own keys: `config.channels` judges them by its Struct."""
    providers: dict[str, ClientTable] = {}
    connectors: ConnectorsTable = ConnectorsTable()
    policies: PoliciesTable = PoliciesTable()
    limits: LimitsTable = LimitsTable()
    retention: RetentionTable = RetentionTable()
    webhooks: dict[str, WebhookTable] = {}
