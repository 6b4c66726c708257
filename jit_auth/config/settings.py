"""Settings: config.toml judged and resolved, every default filled in. What the rest of the program reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from jit_auth.config.issuer import Issuer
from jit_auth.config.people import People
from jit_auth.core.toml import Document
from jit_auth.model import Millis


class Server(Struct, frozen=True, kw_only=True):
    public_url: str
    """An origin as browsers write it, no slash at its end: links are this and a path that begins with one."""
    host: str
    """Of `public_url`, lower case, without port and brackets."""
    listen: tuple[str, int]
    environment: str
    hosts: tuple[str, ...]
    """Other Host names it answers to (lower case, no port)."""
    trusted_proxies: tuple[str, ...]
    """Addresses and networks whose forwarded headers count."""
    admin_token_sha256: tuple[str, ...]
    """Hashes (hex) of the admin tokens; the tokens themselves are not kept."""
    metrics_listen: tuple[str, int] | None = None
    """Where the metrics are served to whoever asks, and nothing else."""


class Storage(Struct, frozen=True, kw_only=True):
    url: str
    insecure_db: bool = False

    def __repr__(self) -> str:
        return f"Storage({self.url.partition('://')[0]}://...)"  # a URL may hold a password


class VaultKeys(Struct, frozen=True, kw_only=True):
    keys: tuple[tuple[str, bytes], ...]
    """(id, 32 bytes); the first encrypts, all decrypt."""

    def __repr__(self) -> str:
        return f"VaultKeys({', '.join(key_id for key_id, _ in self.keys)})"


class Agent(Struct, frozen=True, kw_only=True):
    """One agent; ids in it are persons (aliases resolved). A part of the bundle that decides."""

    name: str
    secret_sha256: str
    actions: tuple[str, ...]
    """Names and globs; `catalog.match` says what they cover."""
    users: tuple[str, ...]
    trusts_users: bool
    owners: tuple[str, ...]
    sees_people: bool
    callback_urls: tuple[str, ...] = ()
    """URL prefixes that its callbacks may go to, for `core.urls.within`. Its secret is none of the bundle's."""
    return_urls: tuple[str, ...]
    connections: bool = False
    """It may ask people to connect before a call needs it, and list and end what they gave it."""


Role = Literal["viewer", "operator", "security"]


class Admin(Struct, frozen=True, kw_only=True):
    """Who administers, by a bearer token. Never decides, consents or executes (THREAT_MODEL 35)."""

    name: str
    secret_sha256: str
    role: Role


Verify = Literal["oidc", "email", "app", "none"]


class Users(Struct, frozen=True, kw_only=True):
    verify: Verify
    """How whoever opens a consent link proves to be that user."""
    issuer: str = ""
    """Of [issuers], for `oidc`."""
    app_url: str = ""
    app_secret: str = ""
    """For `app`: where the browser proves itself to the calling application, and what that application says it with."""
    consent: Literal["agent", "shared"]
    notify: tuple[str, ...] = ()
    """Channels (each is configured) by which a consent that is needed also reaches the user."""

    def __repr__(self) -> str:
        return f"Users({self.verify})"  # it may hold a secret


class Connectors(Struct, frozen=True, kw_only=True):
    paths: tuple[Path, ...]
    allow_private_hosts: tuple[str, ...]


class Policies(Struct, frozen=True, kw_only=True):
    paths: tuple[Path, ...]


class Limits(Struct, frozen=True, kw_only=True):
    open_per_agent: int
    """Paused executions of one agent; a further one is refused."""
    asks_per_person_hour: int
    """Cards that one person gets by one channel within an hour; further ones are gathered into one message."""
    deny_cooldown: Millis
    """For how long the same request is denied at once after a person's denial; 0: not at all."""
    approved_send_within: Millis
    send_window: Millis
    """From the intent to the first byte."""


class Retention(Struct, frozen=True, kw_only=True):
    """For how long things are kept; None: for ever."""

    params: Millis | None
    """Of executions that are over: parameters, reasons and feedback."""
    results: Millis | None
    audit: Millis | None


class Webhook(Struct, frozen=True, kw_only=True):
    """Where all events go."""

    url: str
    secret: bytes
    """Signs what is sent there (Standard Webhooks), 24 to 64 bytes; empty where no secret was resolved."""

    def __repr__(self) -> str:
        return f"Webhook({self.url.partition('?')[0]})"  # a query may hold a token


class Settings(Struct, frozen=True, kw_only=True):
    """All of config.toml. Not printable: it holds keys and client secrets."""

    server: Server
    storage: Storage
    vault: VaultKeys
    admins: dict[str, Admin]
    """With those that `[server] admin_tokens` makes: `token-1` and so on, of role security."""
    agents: dict[str, Agent]
    users: Users
    issuers: dict[str, Issuer]
    people: People
    providers: dict[str, dict[str, Any]]
    """Per provider what [providers.X] sets, secrets resolved and `ca_file` absolute: the catalog's `clients`."""
    connectors: Connectors
    policies: Policies
    limits: Limits
    retention: Retention
    channels: dict[str, Struct]
    """Per configured channel its own settings; each secret in them is its text."""
    webhooks: dict[str, Webhook]
    callback_secrets: dict[str, bytes]
    """Per agent the secret that config.toml gives for its callbacks; the others' is derived by the vault."""
    loopback: bool
    base: Path
    """The folder of config.toml: relative paths start here."""
    document: Document
    """For faults that only other parts can find (a provider that no connector has, ...)."""
    warnings: tuple[str, ...] = ()
    """What is tolerated on loopback alone, or is probably not meant: `jit-auth check` prints it."""

    @property
    def vias(self) -> tuple[str, ...]:
        """What `via` may name in policies: each configured channel, and the page, which always exists."""
        return (*self.channels, "page")

    def __repr__(self) -> str:
        return f"Settings({self.document.file})"
