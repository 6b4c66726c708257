"""Ids: people's ids in one form at every door (THREAT_MODEL 14), and our own ids, which sort by time."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from uuid import UUID

import idna

from jit_auth.errors import BadRequest
from jit_auth.model import Millis

RESERVED = frozenset({"*", "requester", "delegated"})
"""Words that mean something where a person's id may stand: no person is called so."""

ERASED = "erased:"
"""What stands before the pseudonym of a person who was erased, where their id stood. No id holds a colon."""

DERIVED_LENGTH = 36
"""Characters of a `derived_key`."""

_LONGEST = 254
_BARE = re.compile(r"[a-z0-9._|+-]+")
_ATEXT = r"[a-z0-9!#$%&'*+=?^_`{|}~-]+"  # RFC 5322 atext but "/", which no id holds
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LOCAL = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*")
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# Default-ignorable or blank characters that are letters or marks: their category does not give them away.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
_TAIL = re.compile("[0-7][0-9a-hjkmnp-tv-z]{25}")


@lru_cache(4096)
def person_id(text: str) -> str:
    """The one form of a person's id, at every door.

    NFC, lower case, 1-254 characters. With `@`: a dot-atom of ASCII, then a domain as A-labels (IDNA 2008, UTS 46).
    Without: `[a-z0-9._|+-]`. Raises BadRequest (`bad_user`) for whatever has no such form, and for reserved words.
    """
    if not 0 < len(text) <= 4 * _LONGEST:
        raise _bad("An id of a person has 1 to 254 characters.")
    if not text.isascii():
        # Before any mapping: UTS 46 drops soft hyphens and joiners, so that two texts would become one person.
        if _IGNORABLE.search(text) or any(unicodedata.category(c)[0] in "CZ" for c in text):
            raise _bad("An id of a person holds no control, space, format or ignorable character.")
        text = unicodedata.normalize("NFC", text)
    text = text.lower()
    local, at, domain = text.partition("@")
    if at:
        if not domain.isascii() or "xn--" in domain:
            domain = _a_labels(domain)
        text = f"{local}@{domain}"
        good = _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain)
    else:
        good = _BARE.fullmatch(text)
    if not good or text in RESERVED or len(text) > _LONGEST:
        raise _bad("This is no id of a person.")
    return text


def _a_labels(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _bad("The domain of this id is no domain name.") from None


def _bad(message: str) -> BadRequest:
    hint = "An id is a plain address (ana@example.com) or a name of a-z, 0-9 and ._|+- ; never * or requester."
    return BadRequest(message, code="bad_user", hint=hint)


def new_id(prefix: str, now: Millis, entropy: bytes) -> str:
    """`prefix_` and 26 characters of Crockford base32: 48 bits of time, then 80 bits of `entropy` (10 bytes).

    Ids of one prefix sort by time (as ULIDs do). Raises ValueError where `entropy` is not 10 bytes.
    """
    if len(entropy) != 10:
        raise ValueError("an id takes 10 bytes of entropy")
    rest = int.from_bytes(entropy, "big")
    pairs = [_PAIRS[rest >> shift & 1023] for shift in (70, 60, 50, 40, 30, 20, 10, 0)]
    return f"{prefix}_{_time(now)}{''.join(pairs)}"


@lru_cache(64)  # many ids are made in one millisecond
def _time(now: Millis) -> str:
    """48 bits in ten characters: the first holds three of them."""
    now &= 0xFFFF_FFFF_FFFF
    return "".join([_PAIRS[now >> shift & 1023] for shift in (40, 30, 20, 10, 0)])


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id that `new_id(prefix, ...)` makes."""
    return text.startswith(prefix + "_") and _TAIL.fullmatch(text, len(prefix) + 1) is not None


def born(made: str) -> Millis | None:
    """When `new_id` made this id; None where it has no such form."""
    tail = made.partition("_")[2]
    if _TAIL.fullmatch(tail) is None:
        return None
    at = 0
    for character in tail[:10]:
        at = at << 5 | _CROCKFORD.index(character)
    return at


def derived_key(execution_id: str) -> str:
    """The value of a provider's idempotency header: a UUID derived from the execution alone.

    Every attempt of one execution carries the same; nobody can choose it, since nobody chooses the execution's id.
    """
    return str(UUID(bytes=hashlib.sha256(b"idempotency\0" + execution_id.encode()).digest()[:16], version=4))
