"""Foreign text made harmless where it is shown: on one line of a log, or as data inside a prompt."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Blank or without a form of their own, though they count as letters or marks: they carry hidden words.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")


def line(text: object, longest: int = 1000) -> str:
    """Text on one line: what a reader could not see stands there by its code point, what is too long is cut."""
    told = str(text)
    cut = f" ({len(told) - longest} more characters)" if len(told) > longest else ""
    return "".join(map(_shown, told[:longest])) + cut


def name(text: object) -> str:
    """An identifier of ours as it is; anything else is not repeated."""
    return text if isinstance(text, str) and _NAME.fullmatch(text) else "?"


def data(value: Any, longest: int) -> str:
    """JSON of at most about `longest` characters that no text in it can leave: for a prompt.

    Invisible characters and `<` (control words of chat templates) are escaped; it stays JSON unless it was cut.
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    left_out = len(text) - longest
    text = "".join(map(_shown, text[:longest])).replace("<", "\\u003c")
    return text if left_out <= 0 else f"{text} ... ({left_out} more characters were left out)"


def _shown(char: str) -> str:
    if (" " <= char <= "~") or not (unicodedata.category(char) in _HIDDEN or _BLANK.match(char)):
        return char
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000  # as JSON writes what is beyond the first plane
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
