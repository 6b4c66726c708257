"""Base64url without padding, as WebAuthn's JSON has it: one spelling of the same bytes, any other is refused."""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode

_TEXT = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_STANDARD = str.maketrans("-_", "+/")


def encoded(data: bytes) -> str:
    """The text of these bytes."""
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")


def decoded(text: str) -> bytes:
    """The bytes of this text. Raises ValueError for padding, another alphabet and loose trailing bits."""
    if not _TEXT.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("this is no base64url")
    data = b64decode(text.translate(_STANDARD) + "=" * (-len(text) % 4))
    if encoded(data) != text:
        raise ValueError("this is base64url with loose bits at its end")
    return data
