"""The state of one round trip, sealed into one cookie value: nothing is stored, and only its own browser can finish.

How this would be attacked (THREAT_MODEL 15): a callback shown to another browser (it holds no such cookie, and without
the key nobody makes one), a cookie of one issuer used for another (the associated data differ), a cookie changed or
kept for later (AES-GCM; `until` is inside), and a `to` that leads away from here.
"""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jit_auth.config.issuer import Issuer
from jit_auth.model import Millis
from jit_auth.vault import Entropy

LIFETIME: Millis = 600_000
"""How long a round trip may take."""

HOME = "/me"
"""Where a person lands who asked for no place of ours."""

_PURPOSE = b"jit_auth/signin/trip/1"
_NONCE = 12
_MAX_TO = 1024
_MAX_COOKIE = 4000
_COOKIE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_STANDARD = str.maketrans("-_", "+/")
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:[/?#]|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?|/")
_QUERY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known again when the browser comes back."""

    state: str
    nonce: str
    verifier: str
    to: str
    fresh: bool
    begun: Millis
    until: Millis

    def __repr__(self) -> str:
        return "Trip(...)"  # its values are secrets while it lasts

    __str__ = __repr__


class Sealed:
    """Seals trips under one key of 32 bytes, kept for this purpose alone, and opens them."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("the key of round trips has 32 bytes")
        self._cipher = AESGCM(key)
        self._nonces = Entropy(_NONCE)

    def seal(self, trip: Trip, issuer: Issuer) -> str:
        """The cookie's value: base64url, and another one each time."""
        nonce = self._nonces.take()
        sealed = nonce + self._cipher.encrypt(nonce, msgspec.json.encode(trip), _place(issuer))
        return urlsafe_b64encode(sealed).decode("ascii").rstrip("=")

    def open(self, cookie: str | None, issuer: Issuer) -> Trip | None:
        """The trip, where this is the one spelling of what `seal` made for this issuer; else None."""
        if cookie is None or len(cookie) > _MAX_COOKIE or not _COOKIE.fullmatch(cookie) or len(cookie) % 4 == 1:
            return None
        raw = b64decode(cookie.translate(_STANDARD) + "=" * (-len(cookie) % 4))
        if urlsafe_b64encode(raw).decode("ascii").rstrip("=") != cookie:
            return None
        try:
            return msgspec.json.decode(self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _place(issuer)), type=Trip)
        except (InvalidTag, ValueError, msgspec.DecodeError):
            return None


def local(to: str) -> str:
    """`to`, where it is a plain path of ours (with a query, perhaps); else HOME.

    Browsers read `//evil`, `/\\evil`, `/<TAB>/evil` as other hosts, and drop control characters before they look.
    Percent-encoding has no place in our paths, so that there is nothing to decode into one of these.
    """
    path, _, query = to.partition("?")
    if len(to) > _MAX_TO or not _PATH.fullmatch(path) or not _QUERY.fullmatch(query):
        return HOME
    return to


def _place(issuer: Issuer) -> bytes:
    # JSON of a list, never joined text: no two issuers share their associated data.
    return _PURPOSE + msgspec.json.encode([issuer.name, issuer.issuer, issuer.client_id])
