"""HMAC-SHA256 (RFC 2104) with a prepared key."""

from __future__ import annotations

import hashlib
from hmac import compare_digest

_BLOCK = 64


class Mac:
    """One key, prepared once: a MAC costs two copies of a hash state. Keys have 16 to 64 bytes (ValueError)."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if not 16 <= len(key) <= _BLOCK:
            raise ValueError("a MAC key has 16 to 64 bytes")
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def digest(self, data: bytes) -> bytes:
        """The 32 bytes of the MAC over `data`."""
        inner = self._inner.copy()
        inner.update(data)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def hex(self, data: bytes) -> str:
        """The MAC over `data`, as 64 hexadecimal digits."""
        return self.digest(data).hex()

    def genuine(self, data: bytes, mac: bytes) -> bool:
        """Whether `mac` is the MAC over `data`, in constant time."""
        return compare_digest(self.digest(data), mac)

    def __repr__(self) -> str:
        return "Mac(...)"
