"""Secrets that sign events on their way out, in the form of Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme".
"""

from __future__ import annotations

import base64
import binascii

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
HOW = "`echo whsec_$(openssl rand -base64 32)` makes one"


def signing_key(text: str) -> bytes:
    """The bytes of a secret that is written `whsec_...`. Raises ValueError; its message holds nothing of the secret."""
    if not text.startswith(PREFIX):
        raise ValueError(f"expected {PREFIX} and base64 of {SHORTEST} to {LONGEST} bytes: {HOW}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {PREFIX} is no base64: {HOW}") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"the secret has {len(key)} bytes, not {SHORTEST} to {LONGEST}: {HOW}")
    return key


def signing_text(key: bytes) -> str:
    """The same bytes as receivers are given them."""
    return PREFIX + base64.b64encode(key).decode("ascii")
