"""Parameters as people read them: every value, in order, with its length, each in a box of its own."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from jit_auth.core.text import host_shown, scalar, visible
from jit_auth.model import Action, Param, Shown

_HOSTS = frozenset(("hostname", "idn-hostname"))
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class Line(Struct, frozen=True):
    """One value inside a list or object: where it stands, what it is, and how it is shown (one line)."""

    path: str
    text: str
    kind: str


class Field(Struct, frozen=True):
    """One parameter as people see it. `value_text` is the whole value, whatever its length."""

    name: str
    value_text: str
    length: int
    """Characters of a text as sent, items of a list, members of an object; 0 for anything else."""
    sensitive: bool
    shown: Shown
    cut: bool = False
    kind: str = "text"
    """text, number, true or false, null, list, object."""
    decoded: bool = False
    """`value_text` is what the base64 that is sent stands for."""
    lines: tuple[Line, ...] = ()
    """The values of a list or object, one by one; `value_text` is the same as text."""


Kind = Literal["text", "number", "true or false", "nothing", "list", "object"]


def fields(action: Action, params: Mapping[str, Any]) -> tuple[Field, ...]:
    """All parameters of a call: those of `show` first, in its order, then every other one. Nothing is left out."""
    known = {param.name: param for param in action.params}
    order = [name for name in action.show if name in params]
    order += [name for name in params if name not in action.show]
    return tuple(_field(name, params[name], known.get(name)) for name in dict.fromkeys(order))


def _field(name: str, value: Any, param: Param | None) -> Field:
    shown: Shown = param.shown if param else "text"
    plain, kind = value, _kind(value)
    if shown == "base64" and isinstance(value, str):
        plain = _decoded(value)
    lines = tuple(_lines("", value)) if isinstance(value, list | dict) else ()
    if isinstance(plain, str):
        text = host_shown(plain) if param and param.schema.get("format") in _HOSTS else visible(plain)
    elif lines:
        text = "\n".join(f"{line.path}: {line.text}" for line in lines)
    else:
        text = _nested(value)
    return Field(
        name=visible(name, one_line=True),
        value_text=text,
        length=len(value) if isinstance(value, str | list | dict) else 0,
        sensitive=bool(param and param.sensitive),
        shown=shown,
        kind=kind,
        decoded=plain is not value,
        lines=lines,
    )


def _kind(value: Any) -> Kind:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, list):
        return "list"
    if isinstance(value, dict):
        return "object"
    return "nothing" if value is None else "number"


def _lines(path: str, value: Any) -> list[Line]:
    """The values inside, depth first. A line feed inside one is marked: it cannot pose as the next."""
    if not value or not isinstance(value, list | dict):
        return [Line(path, _nested(value), _kind(value))] if path else []
    inside = enumerate(value, 1) if isinstance(value, list) else value.items()
    found: list[Line] = []
    for key, item in inside:
        step = str(key) if not isinstance(key, str) else _step(key)
        found += _lines(f"{path}.{step}" if path else step, item)
    return found


def _step(key: str) -> str:
    if _PLAIN_NAME.fullmatch(key) and not key.isdigit():
        return key
    return '"' + visible(key, one_line=True).replace('"', "\u27e8U+0022\u27e9") + '"'


def _nested(value: Any) -> str:
    if isinstance(value, str):
        return visible(value, one_line=True) or "\u27e8empty text\u27e9"
    if isinstance(value, list | dict):
        return f"\u27e8empty {_kind(value)}\u27e9"
    return scalar(value)


def _decoded(value: str) -> str:
    """What base64 or base64url text stands for, where that is text; else the text itself."""
    try:
        raw = b64decode(value.translate(str.maketrans("-_", "+/")) + "=" * (-len(value) % 4), validate=True)
        return raw.decode("utf-8")
    except ValueError:
        return value
