"""JSON for sealed values, list columns and audit facts: msgspec, and the careful way for what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_plain = msgspec.json.Decoder().decode


def encode(value: Any, stored: Callable[[Any], Any] | None = None) -> bytes:
    """`value` as JSON. A provider's reply may hold lone surrogates: an outcome must never fail to be recorded.

    `stored` says what stands for an object, at any depth, that is no JSON.
    """
    try:
        return _encode(value) if stored is None else msgspec.json.encode(value, enc_hook=stored)
    except (UnicodeEncodeError, OverflowError):
        # A leading blank marks what only the standard library reads back.
        return b" " + json.dumps(msgspec.to_builtins(value, enc_hook=stored)).encode("ascii")


def decode(data: bytes | str, decoder: msgspec.json.Decoder[T]) -> T:
    """What `encode` was given, as the decoder's type. Raises msgspec.MsgspecError."""
    if data[:1] in (b" ", " "):
        made: T = msgspec.convert(json.loads(data), decoder.type)
        return made
    return decoder.decode(data)


def facts(what: str) -> Any:
    """The facts of an audit row, as plain values."""
    return json.loads(what) if what[:1] == " " else _plain(what)
