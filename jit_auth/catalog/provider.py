"""Providers: from the tables of files, and what config.toml overrides, to model.Provider (THREAT_MODEL 5)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from jit_auth.catalog.hosts import host_fault, host_of, url_fault
from jit_auth.catalog.kinds import COMMON, Fault, ProviderKind
from jit_auth.core.target import host_allowed
from jit_auth.core.toml import did_you_mean
from jit_auth.model import Inject, Provider

ID = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,46}[a-z0-9])?")
"""What a connector or provider may be called: it is a folder, a part of action names, and of the redirect URI."""

_SENDS_SECRETS = ("issuer", "token_url", "refresh_url", "revoke_url", "userinfo_url")
_URLS = (*_SENDS_SECRETS, "authorize_url")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NO_PLACE = frozenset({
    "host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive", "proxy-connection",
    "upgrade", "te", "trailer", "expect", "accept-encoding",
})  # fmt: skip
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, 3.3


def merge(provider_id: str, fields: Mapping[str, Any], base_url: str | None) -> Provider:
    """A provider of these fields of `model.Provider`, with `hosts` as they follow from the others.

    `base_url`: that of the connector it stands in; None for a shared provider.
    """
    fields = {**fields, "id": provider_id}
    if "hosts" not in fields:
        literal = [host_of(fields[key]) for key in _URLS if key in fields]
        literal.append(host_of(base_url or ""))
        fields["hosts"] = tuple(dict.fromkeys(host for host in literal if host and "{" not in host))
    return Provider(**fields)


def judge(
    provider: Provider, keys: Collection[str], kind: ProviderKind, allow_private: Sequence[str], fault: Fault
) -> None:
    """Tell `fault` of everything that is wrong with a provider, of which `keys` were written."""
    known = kind.keys | COMMON
    for key in keys:
        if key not in known:
            fault((key,), f"{key}: means nothing to a provider of kind {kind.name}{did_you_mean(key, known)}")
    for key in (*_URLS, "manage_url"):
        url = getattr(provider, key)
        if url is None or key not in known:
            continue
        if why := url_fault(url, allow_private):
            fault((key,), f"{key}: {why}")
        elif key in _SENDS_SECRETS and not host_allowed(host_of(url), provider.hosts):
            fault((key,), f"{key}: {host_of(url)} is not among the provider's hosts")
    for host in provider.hosts:
        if why := host_fault(host):
            fault(("hosts",), f"hosts: {host!r} {why}")
    if "inject" in keys and "inject" in known:
        _judge_inject(provider.inject, kind.placeholder, fault)
    kind.judge(provider, fault)


def _judge_inject(inject: Inject, placeholder: str, fault: Fault) -> None:
    if (inject.header is None) == (inject.query is None):
        fault(("inject",), "inject: a credential goes to one place, a header or a query parameter")
    if inject.header is not None and not _TOKEN.fullmatch(inject.header):
        fault(("inject",), f"inject: {inject.header!r} is no header name")
    if inject.header is not None and inject.header.lower() in _NO_PLACE:
        fault(("inject",), f"inject: {inject.header!r} is not a place for a credential")
    if inject.query is not None and (inject.value or not inject.query):
        fault(("inject",), "inject: a query parameter has a name, and takes the credential alone")
    if inject.value and inject.value.count(placeholder) != 1:
        fault(("inject",), f"inject: value holds {placeholder} once")
    if any(ord(character) < 0x20 or ord(character) > 0x7E for character in inject.value):
        fault(("inject",), "inject: value is visible ASCII")


def scope_fault(scope: str) -> str | None:
    """Why `scope` is no scope, or None."""
    return None if _SCOPE.fullmatch(scope) else f"{scope!r} is no scope (RFC 6749)"


def public(provider: Provider) -> dict[str, Any]:
    """A provider without its secrets, as plain values: for the hash of what decides, and for people."""
    made: dict[str, Any] = msgspec.to_builtins(provider)
    for secret in ("client_secret", "secret"):
        made.pop(secret, None)
    return made
