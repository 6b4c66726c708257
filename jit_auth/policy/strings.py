"""Text in policies: the one form in which strings are compared, plain addresses, globs, durations (THREAT_MODEL 33)."""

from __future__ import annotations

import re
import unicodedata

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*@({_LABEL}(?:\.{_LABEL})+)")
_LONGEST_ADDRESS = 254

_LONGEST_RUN = 30
"""Combining marks in a row (UAX 15, Stream-Safe Text Format)."""

_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_UNITS = (86_400_000, 3_600_000, 60_000, 1_000)


class Folded(str):
    """Text that is ASCII only in its normal form: it came as something else (U+212A KELVIN SIGN becomes K)."""

    __slots__ = ()


class TooComposed(ValueError):
    """More combining marks in a row than any script needs."""


def normal(text: str) -> str:
    """`text` in NFC (UAX 15), the form in which conditions compare.

    Raises TooComposed for more than 30 combining marks in a row: ordering them takes time quadratic in their number
    (64 KiB of them: 0.6 s), which a caller would pick.
    """
    # The quick check is linear: it says no at the first mark that is out of order, before anything is sorted.
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _LONGEST_RUN:
            raise TooComposed("more than 30 combining marks in a row")
    form = unicodedata.normalize("NFC", text)
    return Folded(form) if form.isascii() else form


def email_domain(text: str) -> str | None:
    """The domain, in lower case, of exactly one plain address (RFC 5321 dot-atom `@` LDH labels, two or more).

    None for whatever else: quotes, comments, display names, lists, white space, a trailing dot, anything that came as
    other than ASCII, more than 254 characters. Parsers disagree on all of these; here none of them has a domain.
    """
    if len(text) > _LONGEST_ADDRESS or type(text) is not str:
        return None
    found = _ADDRESS.fullmatch(text)
    return found[1].lower() if found else None


def glob(pattern: str, name: str) -> bool:
    """Whether `name` as a whole fits `pattern`: `*` stands for any characters, all else for itself; case counts.

    Linear: each part between stars is taken where it first occurs.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - len(last) >= at and name.endswith(last)


def milliseconds(text: str) -> int | None:
    """A duration such as `90s`, `15m`, `4h`, `1d` or `1h30m`, in milliseconds; None where it is none."""
    found = _DURATION.fullmatch(text)
    if not text or not found:
        return None
    return sum(int(number) * unit for number, unit in zip(found.groups(), _UNITS, strict=True) if number)
