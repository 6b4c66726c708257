"""The outbox row of a token that must be given back to its provider, and whether that one takes tokens back."""

from __future__ import annotations

import secrets

from jit_auth.core.ids import new_id
from jit_auth.model import Millis, Outbox, Provider, Token

OWED_FOR: Millis = 24 * 3_600_000
"""How long the revocation of a token is tried."""


def revocable(provider: Provider) -> bool:
    """Whether there is, or may be, an endpoint to give tokens back at."""
    return provider.revoke_url is not None or provider.issuer is not None


def owed(user: str, provider: str, token: Token, now: Millis, *, due: Millis | None = None) -> Outbox:
    """The outbox row for a token that has to be revoked at its provider. `due`: when the outbox takes it up, where who
    writes it tries first."""
    return Outbox(
        id=new_id("out", now, secrets.token_bytes(10)),
        kind="revoke",
        user=user,
        provider=provider,
        token=token,
        due=now if due is None else due,
        until=now + OWED_FOR,
    )
