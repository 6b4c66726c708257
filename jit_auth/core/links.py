"""Tickets: the unguessable part of a link, derived from its row whenever it is shown and never stored.

`jat_` + base64url(row id, HMAC-SHA256(key, canonical JSON of [purpose, row id, person, expiry])). The row (a card, an
ask) is the ticket's state: single use and revocation are the row's, so that there is no table of tickets to steal.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, urlsafe_b64encode

from jit_auth.core.digest import canonical
from jit_auth.model import Millis

PREFIX = "jat_"
_MAC = 32
_ROW_ID = re.compile(rb"[a-z]{1,16}_[0-9a-z]{1,64}")
_TICKET = re.compile(r"jat_[A-Za-z0-9_-]{46,152}", re.ASCII)
_STANDARD = str.maketrans("-_", "+/")


def ticket(key: bytes, purpose: str, row_id: str, person: str, expires: Millis) -> str:
    """The ticket of one row for one purpose and person until `expires`; the same for the same values.

    `key` is for tickets alone (at least 32 bytes). Raises ValueError for a row id of a form that `row_of` refuses.
    """
    row = row_id.encode()
    if not _ROW_ID.fullmatch(row):
        raise ValueError("a ticket's row id is prefix_tail, lower case")
    raw = row + _mac(key, purpose, row_id, person, expires)
    return PREFIX + urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def row_of(ticket: str) -> tuple[str, bytes] | None:
    """The row id that a ticket names and its MAC, unverified; None for what is no ticket.

    There is one spelling of a ticket: padding, other alphabets and loose trailing bits are refused, so that a ticket
    cannot be written in two ways that look different to a log or a list of used ones.
    """
    if not _TICKET.fullmatch(ticket):
        return None
    text = ticket[len(PREFIX) :]
    if len(text) % 4 == 1:
        return None
    raw = b64decode(text.translate(_STANDARD) + "=" * (-len(text) % 4))
    if urlsafe_b64encode(raw).decode("ascii").rstrip("=") != text:
        return None
    row, mac = raw[:-_MAC], raw[-_MAC:]
    return (row.decode("ascii"), mac) if _ROW_ID.fullmatch(row) else None


def genuine(key: bytes, purpose: str, row_id: str, person: str, expires: Millis, ticket: str) -> bool:
    """Whether `ticket` is the one of these values. The MAC is compared in constant time (RFC 2104, FIPS 198-1)."""
    named = row_of(ticket)
    if named is None:
        return False
    row, mac = named
    # Both are computed and compared whatever the other says: the time tells nothing about the MAC.
    same = hmac.compare_digest(mac, _mac(key, purpose, row_id, person, expires))
    return same and row == row_id


def _mac(key: bytes, purpose: str, row_id: str, person: str, expires: Millis) -> bytes:
    # Canonical JSON, never joined text: ["a", "b|c"] and ["a|b", "c"] must not have one MAC.
    return hmac.digest(key, canonical([purpose, row_id, person, expires]), "sha256")
