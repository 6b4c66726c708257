"""Reads a text as it would read with its escapes undone, and knows where each character came from."""

from __future__ import annotations

import re
from bisect import bisect_right

_BREAK = r"=?\r?\n[ \t]{0,80}|(?:\\r)?\\n[ \t]{0,80}"
_COMMON = (
    r"%(?:25){0,4}([0-9A-Fa-f]{2})"  # URL (RFC 3986), also encoded more than once
    r"|\\{1,8}u([0-9A-Fa-f]{4})"  # JSON, also within JSON
    r"|&\#[xX]0{0,6}([0-9A-Fa-f]{1,5});"  # HTML
    r"|&\#0{0,6}([0-9]{1,6});"
    r"|&(amp|lt|gt|quot|apos);"
    r"|\\{1,8}([^\\A-Za-z0-9])"
    rf"|(?:{_BREAK})+"
)
_ESCAPE = re.compile(_COMMON)
_ESCAPE_MAIL = re.compile(_COMMON + r"|=([0-9A-Fa-f]{2})")
_NAMES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_BREAKS = re.compile(_BREAK)


def joined(text: str) -> str:
    """The text without its line breaks (mail's soft ones, and those written as \\n, too)."""
    return _BREAKS.sub("", text)


class Plain:
    """`text` is the unescaped text; `span` says where a piece of it stood in the original."""

    __slots__ = ("_from", "_to", "text")

    def __init__(self, original: str, *, mail: bool = False) -> None:
        """`mail`: undo quoted-printable (RFC 2045 6.7) as well."""
        parts: list[str] = []
        # Where pieces begin: in the plain text, and in the original. Between two of them both run alike.
        self._to = [0]
        self._from = [0]
        length = at = 0
        for fit in (_ESCAPE_MAIL if mail else _ESCAPE).finditer(original):
            begin, end = fit.span()
            char = _char(fit)
            parts += (original[at:begin], char)
            length += begin - at
            self._to += (length, length + len(char))
            self._from += (begin, end)
            length += len(char)
            at = end
        parts.append(original[at:])
        self.text = "".join(parts)

    def span(self, begin: int, end: int) -> tuple[int, int]:
        """The original's stretch from which `text[begin:end]` (not empty) was read."""
        return self._origin(begin), self._origin(end - 1, last=True)

    def _origin(self, at: int, last: bool = False) -> int:
        piece = bisect_right(self._to, at) - 1
        # Pieces alternate: what stood there as it is, what was escaped. Of the escaped, the first or the last place.
        if piece % 2:
            return self._from[piece + 1] if last else self._from[piece]
        return self._from[piece] + at - self._to[piece] + (1 if last else 0)


def _char(fit: re.Match[str]) -> str:
    kind = fit.lastindex
    if kind is None:
        return ""
    digits = fit[kind]
    if kind in (1, 2, 3, 7):
        return chr(int(digits, 16))
    if kind == 4:
        code = int(digits)
        return chr(code) if code < 0x110000 else ""
    return _NAMES[digits] if kind == 5 else digits
