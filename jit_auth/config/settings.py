"""Settings: config.toml judged and resolved, every default filled in. What the rest of the program reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

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
    return_urls: tuple[str, ...]


class Users(Struct, frozen=True, kw_only=True):
    verify: Literal["none"]
    consent: Literal["agent", "shared"]


class Connectors(Struct, frozen=True, kw_only=True):
    paths: tuple[Path, ...]
    allow_private_hosts: tuple[str, ...]


class Policies(Struct, frozen=True, kw_only=True):
    paths: tuple[Path, ...]


class Limits(Struct, frozen=True, kw_only=True):
    approved_send_within: Millis


class Settings(Struct, frozen=True, kw_only=True):
    """All of config.toml. Not printable: it holds keys and client secrets."""

    server: Server
    storage: Storage
    vault: VaultKeys
    agents: dict[str, Agent]
    users: Users
    people: People
    providers: dict[str, dict[str, Any]]
    """Per provider what [providers.X] sets, with `client_secret` resolved: the catalog's `clients`."""
    connectors: Connectors
    policies: Policies
    limits: Limits
    loopback: bool
    base: Path
    """The folder of config.toml: relative paths start here."""
    document: Document
    """For faults that only other parts can find (a provider that no connector has, ...)."""
    warnings: tuple[str, ...] = ()
    """What is tolerated on loopback alone, or is probably not meant: `jit-auth check` prints it."""

    def __repr__(self) -> str:
        return f"Settings({self.document.file})"
