"""Who gave what to whom at a provider: grants with their tokens, consents per agent, OAuth round trips (all frozen)."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from jit_auth.model.execution import Millis

GrantState = Literal["live", "broken", "revoked"]


class Token(Struct, frozen=True, kw_only=True):
    """What a token endpoint gave, in the clear: only for the moment of use. `lifetime` is in milliseconds."""

    access: str
    refresh: str | None = None
    expires: Millis | None = None
    lifetime: Millis | None = None

    def __repr__(self) -> str:
        return "Token(...)"

    __str__ = __repr__


class Grant(Struct, frozen=True, kw_only=True):
    """One provider account that a user connected. Revoked is terminal: connecting again makes a new row.

    `token` is a sealed value (bytes) in everything that is read or kept; only a write carries a `Token`.
    """

    id: str
    version: int = 1
    user: str
    provider: str
    account: str = ""
    account_name: str | None = None
    scopes: tuple[str, ...] = ()
    """What the provider said it granted."""
    state: GrantState = "live"
    token: Token | bytes | None = None
    expires: Millis | None = None
    """When the access token expires (a copy outside the seal, so that freshness needs no opening)."""
    lifetime: Millis | None = None
    refreshable: bool = False
    refresher: str | None = None
    refresher_until: Millis | None = None
    created: Millis
    updated: Millis


class Consent(Struct, frozen=True, kw_only=True):
    """An agent may use a grant for these scopes (THREAT_MODEL 2)."""

    grant: str
    agent: str
    version: int = 1
    scopes: tuple[str, ...] = ()
    at: Millis


class Flow(Struct, frozen=True, kw_only=True):
    """One OAuth round trip of one browser. `id` is the MAC of `state`, `cookie` the MAC of the browser's cookie.

    Or, with `answer`, what a browser answered and the calling application has yet to confirm: `id` is the MAC of the
    nonce then, and there is no cookie.
    """

    id: str
    version: int = 1
    ask: str
    user: str
    provider: str
    cookie: str
    verifier: str
    """PKCE code_verifier (sealed at rest)."""
    nonce: str
    scopes: tuple[str, ...]
    """What was asked for."""
    epoch: int
    done: bool = False
    until: Millis
    answer: Literal["", "code", "allow", "refuse"] = ""
    """What waits: a provider's code, or a yes or no that needs no trip."""
    code: str = ""
    """The provider's code (sealed at rest), unspent."""

    def __repr__(self) -> str:
        return f"Flow(ask={self.ask!r})"  # it holds a verifier and a nonce

    __str__ = __repr__
