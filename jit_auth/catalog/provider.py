"""Providers: from the tables of files, and what config.toml overrides, to model.Provider (THREAT_MODEL 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict

from jit_auth.catalog.hosts import host_fault, host_of, url_fault
from jit_auth.config.provider import ProviderTable
from jit_auth.core.target import host_allowed
from jit_auth.core.toml import did_you_mean
from jit_auth.model import Inject, Provider

ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,46}[a-z0-9])?")
"""What a connector or provider may be called: it is a folder, a part of action names, and of the redirect URI."""

_SENDS_SECRETS = ("issuer", "token_url", "refresh_url", "revoke_url", "userinfo_url")
_URLS = (*_SENDS_SECRETS, "authorize_url")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, 3.3
_RESERVED_PARAMS = frozenset({
    "client_id", "client_secret", "redirect_uri", "response_type", "state", "nonce", "code", "code_challenge",
    "code_challenge_method", "code_verifier", "grant_type", "refresh_token",
})  # fmt: skip

Fault = Callable[[tuple[str, ...], str], None]


def merge(provider_id: str, table: ProviderTable, client: Mapping[str, Any], base_url: str | None) -> Provider:
    """A provider as its file has it, with this deployment's client and overrides, and `hosts` as they follow.

    `base_url`: that of the connector it stands in; None for a shared provider.
    """
    given = {key: value for key, value in asdict(table).items() if value is not UNSET}
    fields: dict[str, Any] = {**given, **client, "id": provider_id}
    if "hosts" not in fields:
        literal = [host_of(fields[key]) for key in _URLS if key in fields]
        literal.append(host_of(base_url or ""))
        fields["hosts"] = tuple(dict.fromkeys(host for host in literal if host and "{" not in host))
    connectors = fields.get("connectors")
    return Provider(**{**fields, "connectors": connectors or ()})


def judge(provider: Provider, allow_private: Sequence[str], kinds: Collection[str], fault: Fault) -> None:
    """Tell `fault` (path of the key, message) of everything that is wrong with a provider."""
    if provider.kind not in kinds:
        fault(("kind",), f"unknown kind {provider.kind!r}{did_you_mean(provider.kind, kinds)}")
        return
    for key in (*_URLS, "manage_url"):
        url = getattr(provider, key)
        if url is None:
            continue
        if provider.kind == "none":
            fault((key,), f"{key}: a provider of kind none has no endpoints")
        elif why := url_fault(url, allow_private):
            fault((key,), f"{key}: {why}")
        elif key in _SENDS_SECRETS and not host_allowed(host_of(url), provider.hosts):
            fault((key,), f"{key}: {host_of(url)} is not among the provider's hosts")
    for host in provider.hosts:
        if why := host_fault(host):
            fault(("hosts",), f"hosts: {host!r} {why}")
    _judge_inject(provider.inject, fault)
    if provider.kind == "oauth2":
        _judge_oauth2(provider, fault)


def _judge_inject(inject: Inject, fault: Fault) -> None:
    if (inject.header is None) == (inject.query is None):
        fault(("inject",), "inject: a credential goes to one place, a header or a query parameter")
    if inject.header is not None and not _TOKEN.fullmatch(inject.header):
        fault(("inject",), f"inject: {inject.header!r} is no header name")
    if inject.header is not None and inject.header.lower() in ("host", "content-length", "transfer-encoding"):
        fault(("inject",), f"inject: {inject.header!r} is not a place for a credential")
    if inject.header is not None and inject.value.count("{token}") != 1:
        fault(("inject",), "inject: value holds {token} once")
    if any(ord(character) < 0x20 or ord(character) > 0x7E for character in inject.value):
        fault(("inject",), "inject: value is visible ASCII")


def _judge_oauth2(provider: Provider, fault: Fault) -> None:
    for key in ("authorize_url", "token_url"):
        if getattr(provider, key) is None and provider.issuer is None:
            fault((), f"missing key {key!r} (or issuer, whose metadata names it)")
    if not provider.scope_separator:
        fault(("scope_separator",), "scope_separator: is empty")
    for key in ("token_path", "account_id", "account_name"):
        pointer = getattr(provider, key)
        if pointer and not pointer.startswith("/"):
            fault((key,), f"{key}: a JSON pointer begins with /")
    scopes = [*provider.base_scopes, *provider.implies, *(s for some in provider.implies.values() for s in some)]
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            fault(("base_scopes" if scope in provider.base_scopes else "implies",), f"{scope!r} is no scope (RFC 6749)")
    for key in ("authorize_params", "token_params"):
        for name in getattr(provider, key):
            if name in _RESERVED_PARAMS or name == provider.scope_param:
                fault((key,), f"{key}: {name} is set by the protocol itself")
    if provider.client_id is not None and provider.client_secret is None and provider.token_auth != "none":
        fault(("client_id",), 'a client needs client_secret, or token_auth = "none" where the provider gave it none')


def scope_fault(scope: str) -> str | None:
    """Why `scope` is no scope, or None."""
    return None if _SCOPE.fullmatch(scope) else f"{scope!r} is no scope (RFC 6749)"


def public(provider: Provider) -> dict[str, Any]:
    """A provider without its client secret, as plain values: for the hash of what decides, and for people."""
    made: dict[str, Any] = msgspec.to_builtins(provider)
    made.pop("client_secret", None)
    return made
