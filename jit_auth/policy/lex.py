"""Cut a condition into tokens: names, numbers, strings, operators (a subset of CEL's lexis)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from jit_auth.policy.strings import TooComposed, normal

LONGEST = 4096
"""Characters of a condition."""

INT_MAX = 2**63 - 1
INT_MIN = -(2**63)

Kind = Literal["name", "int", "double", "string", "op", "end"]


class Mistake(Exception):
    """What is wrong with a condition, and at which of its characters (from 0)."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is as written; `value` that of a literal (an int without its sign, a string in NFC)."""

    kind: Kind
    text: str
    at: int
    value: int | float | str | None = None


_SPACE = re.compile(r"[ \t\n\f\r]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]+|(?:[0-9]*\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?|[0-9]+")
_OPERATORS = ("&&", "||", "==", "!=", "<=", ">=", *"!<>+-*?:.,()[]")
_INSTEAD = {"&": "&&", "|": "||", "=": "==", "“": "'", "”": "'", "‘": "'", "’": "'"}
_REFUSED = {"/": "division", "%": "remainders", "{": "maps", "}": "maps"}
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {c: c for c in "\\'\"`?"}
_DIGITS = {"x": 2, "X": 2, "u": 4, "U": 8}
_HEX = re.compile(r"[0-9A-Fa-f]+")
_OCTAL = re.compile(r"[0-3][0-7]{2}")


def tokens(text: str) -> list[Token]:
    """All tokens of `text`, the last of kind `end`. Raises Mistake."""
    if len(text) > LONGEST:
        raise Mistake(f"a condition has at most {LONGEST} characters (this one: {len(text)})", LONGEST)
    found: list[Token] = []
    at = _space(text, 0)
    while at < len(text):
        token = _token(text, at)
        found.append(token)
        at = _space(text, at + len(token.text))
    found.append(Token("end", "", at))
    return found


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _token(text: str, at: int) -> Token:
    if (number := _NUMBER.match(text, at)) is not None:
        return _number(number[0], text, at)
    if (name := _NAME.match(text, at)) is not None:
        if text[name.end() : name.end() + 1] in ("'", '"') and name[0].lower() in ("r", "b", "br", "rb"):
            raise Mistake(f"strings have no prefix {name[0]!r} here", at)
        return Token("name", name[0], at)
    if text[at] in "'\"":
        return _string(text, at)
    for operator in _OPERATORS:
        if text.startswith(operator, at):
            return Token("op", operator, at)
    character = text[at]
    if character in _INSTEAD:
        raise Mistake(f"unexpected {character!r} (did you mean {_INSTEAD[character]}?)", at)
    if character in _REFUSED:
        raise Mistake(f"unexpected {character!r}: this language has no {_REFUSED[character]}", at)
    raise Mistake(f"unexpected {character!a}", at)


def _number(written: str, text: str, at: int) -> Token:
    end = at + len(written)
    if (glued := _NAME.match(text, end)) is not None:
        if glued[0] in ("u", "U"):
            raise Mistake("there are no unsigned integers: leave out the 'u'", end)
        raise Mistake(f"{written + glued[0]!r} is no number", at)
    if written[:2] in ("0x", "0X"):
        # A sign stands before it, so that the smallest integer passes as 2**63 here; the parser judges the whole.
        return _integer(int(written, 16) if len(written) <= 18 else INT_MAX + 2, written, at)
    if written.isdigit():
        return _integer(int(written) if len(written) <= 19 else INT_MAX + 2, written, at)
    value = float(written)
    if not math.isfinite(value):
        raise Mistake(f"{written} is too large for a double", at)
    return Token("double", written, at, value)


def _integer(value: int, written: str, at: int) -> Token:
    if value > INT_MAX + 1:
        raise Mistake(f"{written} is too large for an integer (64 bits)", at)
    return Token("int", written, at, value)


def _string(text: str, at: int) -> Token:
    quote = text[at]
    if text.startswith(quote * 3, at):
        raise Mistake("strings stand between single quotation marks: '...' or \"...\"", at)
    parts: list[str] = []
    here = at + 1
    while here < len(text):
        character = text[here]
        if character == quote:
            written = text[at : here + 1]
            try:
                return Token("string", written, at, str(normal("".join(parts))))
            except TooComposed as error:
                raise Mistake(str(error), at) from None
        if character in "\n\r":
            break
        if character != "\\":
            parts.append(character)
            here += 1
            continue
        value, here = _escape(text, here)
        parts.append(value)
    raise Mistake(f"this string has no closing {quote}", at)


def _escape(text: str, at: int) -> tuple[str, int]:
    """The character that the escape at `at` stands for, and where the text goes on."""
    letter = text[at + 1 : at + 2]
    if letter in _PLAIN and letter:
        return _PLAIN[letter], at + 2
    if (octal := _OCTAL.match(text, at + 1)) is not None:
        return chr(int(octal[0], 8)), octal.end()
    if letter in _DIGITS and letter:
        digits = text[at + 2 : at + 2 + _DIGITS[letter]]
        if len(digits) == _DIGITS[letter] and _HEX.fullmatch(digits):
            number = int(digits, 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise Mistake(f"\\{letter}{digits} is no character", at)
            return chr(number), at + 2 + len(digits)
    raise Mistake(f"unknown escape \\{letter}", at)
