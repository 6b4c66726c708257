"""What a character looks like to a person: hidden or blank ones, scripts that pose as others, names of hosts.

Pure look-ups over the Unicode database of this Python; `core/text` puts them together.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt): drawn as nothing at all.
_IGNORABLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
# Letters, symbols and marks that are drawn as empty space: their category does not give them away.
_BLANK = frozenset((0x2800, 0x16FE4, 0x1D159, 0x13441, 0x13442))
_HIDDEN_CATEGORIES = frozenset(("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Zs"))
_EAST_ASIAN = frozenset(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"))
_ANY_SCRIPT = frozenset(("MICRO", "FEMININE", "MASCULINE", "MODIFIER"))  # the micro sign, ordinals: at home in all
DOTS = ".\u3002\uff0e\uff61"
"""What IDNA takes for the dot between labels (RFC 3490 section 3.1; UTS 46)."""


@lru_cache(maxsize=4096)
def kind(char: str) -> str:
    """One letter for a character: `s` space, `n` line feed, `h` hidden or blank, `m` combining mark, `o` other."""
    if char == " ":
        return "s"
    if char == "\n":
        return "n"
    category = unicodedata.category(char)
    code = ord(char)
    if category in _HIDDEN_CATEGORIES or code in _BLANK or any(a <= code <= b for a, b in _IGNORABLE):
        return "h"
    # The bracket that our own marks begin with: foreign text must not be able to write one.
    if char == "\u27e8":
        return "h"
    return "m" if category[0] == "M" else "o"


@lru_cache(maxsize=4096)
def in_name(char: str) -> str:
    """One letter for a character's part in a host or address: `l` of a label, `d` dot, `@`, `x` none.

    Symbols and dashes count as parts of a label: a fraction slash or a hyphen's twin inside a host is an attack, not
    an end of the host.
    """
    if char in DOTS:
        return "d"
    if char == "@":
        return "@"
    if char.isascii():
        return "l" if char.isalnum() or char in "-_" else "x"
    category = unicodedata.category(char)
    return "l" if category[0] in "LMNS" or category == "Pd" else "x"


@lru_cache(maxsize=4096)
def _script(char: str) -> str | None:
    """The script of a letter, by its Unicode name (the standard library has no Script property)."""
    if unicodedata.category(char)[0] != "L":
        return None
    words = unicodedata.name(char, "UNKNOWN").split()
    for script in ("LATIN", "GREEK", "CYRILLIC", "KATAKANA", "HANGUL"):
        if script in words:
            words = [script]
    if words[0] in _ANY_SCRIPT:
        return None
    return "EAST-ASIAN" if words[0] in _EAST_ASIAN else words[0]


def mixed(chars: Iterable[str]) -> tuple[str, ...]:
    """The scripts of one word, if they are more than belong together; else (). Also digits of several systems.

    Latin beside Chinese, Japanese or Korean is how these are written (UTS 39, "highly restrictive").
    """
    scripts: set[str] = set()
    zeros: set[int] = set()
    for char in chars:
        script = _script(char)
        if script is not None:
            scripts.add(script)
        digit = unicodedata.decimal(char, None)
        if digit is not None:
            zeros.add(ord(char) - digit)
    names = [name.title() for name in sorted(scripts)] if scripts - {"LATIN", "EAST-ASIAN"} and len(scripts) > 1 else []
    if len(zeros) > 1:
        names.append("digits of several scripts")
    return tuple(names)


def a_label(label: str) -> str:
    """A label of a host as DNS carries it (RFC 5890 A-label: `xn--` and RFC 3492), ASCII ones as they are.

    The very characters are encoded, never mapped to look-alikes: what is no valid label still looks like none.
    """
    if label.isascii():
        return label
    lowered = "".join(_lower(char) for char in unicodedata.normalize("NFC", label))
    return "xn--" + lowered.encode("punycode").decode("ascii")


def _lower(char: str) -> str:
    small = char.lower()
    # The Kelvin sign's lower case is an ASCII k: lowering must not turn a foreign letter into a plain one.
    return small if len(small) == 1 and small.isascii() == char.isascii() else char
