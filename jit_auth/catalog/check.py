"""What `jit-auth connectors check` finds beyond loading: actions whose approval nobody could read (THREAT_MODEL 18)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jit_auth.catalog.load import Catalog
from jit_auth.catalog.schema import is_object, walk
from jit_auth.errors import Fault
from jit_auth.model import Action

_ADDS = frozenset({"allOf", "not", "if", "then", "else", "dependentSchemas", "propertyNames"})
_SAYS_SOMETHING = ("type", "enum", "const", "anyOf", "oneOf", "allOf")


def unreadable(catalog: Catalog, connector: str) -> list[Fault]:
    """Parameters of a write whose content an approver would see encoded or without any form, and no `as` says how."""
    document = catalog.documents[connector]
    return [
        document.fault(("actions", action.name.partition(".")[2], "params", name), f"{action.name}: {message}")
        for action in catalog.connectors[connector].actions
        if action.effect != "read"
        for name, message in _opaque(action)
    ]


def _opaque(action: Action) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for param in action.params:
        if param.where != "body" or param.shown != "text":
            continue
        for path, schema in walk(param.schema):
            if _ADDS.intersection(path[-2:]):
                continue  # adds to the schema around it, which says the type
            why = _why(schema)
            if why:
                found.append((param.name, f"parameter {param.name!r} {why}: write it out, or say `as` how it is shown"))
                break
    return found


def _why(schema: Mapping[str, Any]) -> str | None:
    if "contentEncoding" in schema:
        return "is encoded"
    if not any(keyword in schema for keyword in _SAYS_SOMETHING) and "properties" not in schema:
        return "holds a value without a type"
    if is_object(schema) and "properties" not in schema and not any(k in schema for k in ("anyOf", "oneOf", "allOf")):
        return "holds a free-form object"
    return None
