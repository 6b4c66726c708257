"""Whether the values of a [[test]] fit the facts and parameters that they are written for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from jit_auth.policy.types import Type
from jit_auth.policy.values import Bad, converter

Path = tuple[str | int, ...]


class Wrong(Exception):
    """A value that does not fit its fact: where it is written, and why."""


def fitting(type_: Type, value: Any, name: str, path: Path) -> Any:
    """The value, if it has this type. Raises Wrong."""
    if type_.kind == "record":
        if not isinstance(value, Mapping):
            raise Wrong(path, f"{name}: not a table")
        for field in type_.fields:
            if value.get(field.name) is not None:  # null is absence
                fitting(field.type, value[field.name], f"{name}.{field.name}", path)
    elif type_.kind == "list" and type_.item is not None and isinstance(value, list):
        for one in value:
            fitting(type_.item, one, f"an element of {name}", path)
    elif type_.kind == "any":
        _json(value, name, path)
    else:
        try:
            converter(type_)(value)
        except Bad as bad:
            raise Wrong(path, f"{name}: {bad}") from None
    return value


def _json(value: Any, name: str, path: Path) -> None:
    """Refuse what JSON has no word for."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            _json(one, name, path)
    elif not isinstance(value, str | int | float | None) or not (isinstance(value, str | None) or math.isfinite(value)):
        raise Wrong(path, f"{name}: {value!r} is no JSON value")


def with_defaults(schema: Any, value: dict[str, Any]) -> dict[str, Any]:
    """The value with the defaults that stand in `properties`; nothing that was absent is created to hold them."""
    made = dict(value)
    for name, part in schema.get("properties", {}).items():
        if name in made:
            made[name] = _filled(part, made[name])
        elif isinstance(part, Mapping) and "default" in part:
            made[name] = part["default"]
    return made


def _filled(schema: Any, value: Any) -> Any:
    if isinstance(schema, Mapping) and isinstance(value, list):
        return [_filled(schema.get("items"), one) for one in value]
    return with_defaults(schema, value) if isinstance(schema, Mapping) and isinstance(value, dict) else value
