"""What a kind of credential asks of a provider's table: which keys it knows, and what is wrong with their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jit_auth.model import Provider

Fault = Callable[[tuple[str, ...], str], None]
"""Told of a fault: the path of the key below the provider's table, and the message."""

COMMON = frozenset({"kind", "hosts", "ca_file", "connectors"})
"""The keys that every kind knows."""


@dataclass(frozen=True, kw_only=True)
class ProviderKind:
    """The part of a kind that the catalog needs. `credentials.Kind` adds what a send needs."""

    name: str
    """In `[provider] kind`."""
    connects: bool
    """Whether each user connects an account of their own. Without: no consent, no grant, no scopes, and calls need no
    user."""
    keys: frozenset[str]
    """Keys of [provider] and [providers.X] that mean something to it, beside COMMON."""
    placeholder: str = ""
    """What stands for the credential in `inject.value`, for a kind that has the key `inject`."""
    judge: Callable[[Provider, Fault], None] = lambda _provider, _fault: None
    """Tells of what is wrong with the values of its own keys. No message holds a secret."""
