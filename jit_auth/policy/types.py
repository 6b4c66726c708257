"""The types of conditions, and how JSON Schema becomes one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from jit_auth.model import Param

Kind = Literal["bool", "int", "double", "string", "null", "any", "nothing", "list", "record"]


@dataclass(frozen=True, slots=True)
class Type:
    """What a condition knows of a value before it runs.

    `any` is a value without a type of its own (anyOf, oneOf, untyped): only `has`, `==` and `!=`. `nothing` is the
    element of `[]`: no value, so of every type. `nullable`: null is one of its values (elements of lists, `account`).
    """

    kind: Kind
    item: Type | None = None
    fields: tuple[Field, ...] = ()
    nullable: bool = False

    def __str__(self) -> str:
        text = f"list of {self.item}" if self.kind == "list" else self.kind
        text = {"any": "untyped value", "nothing": "nothing"}.get(text, text)
        return f"{text} or null" if self.nullable else text

    def field(self, name: str) -> Field | None:
        """The field of a record, or None."""
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a record. It may be absent, and then reading it is an error; null is absence, unless it is untyped."""

    name: str
    type: Type


BOOL = Type("bool")
INT = Type("int")
DOUBLE = Type("double")
STRING = Type("string")
NULL = Type("null")
ANY = Type("any")
NOTHING = Type("nothing")
NUMBERS: frozenset[str] = frozenset({"int", "double"})

_SIMPLE = {"string": STRING, "integer": INT, "number": DOUBLE, "boolean": BOOL}
_DEEPEST = 16  # what a body may nest: below that nothing can be read


def list_of(item: Type) -> Type:
    """The type of lists with such elements."""
    return Type("list", item=item)


def record(fields: Collection[Field]) -> Type:
    """The type of records with these fields, in whatever order."""
    return Type("record", fields=tuple(sorted(fields, key=lambda field: field.name)))


def schema_type(schema: Mapping[str, Any]) -> Type:
    """The type of values that a JSON Schema (2020-12) admits.

    string, integer, number, boolean; array: list; object with properties: record; enum and const: their base type.
    `null` in `type` (or in an enum) makes it nullable. Whatever else, anyOf and oneOf included, is `any`.
    """
    return _schema_type(schema, _DEEPEST)


def _schema_type(schema: Any, levels: int) -> Type:
    if not isinstance(schema, Mapping) or levels == 0 or "anyOf" in schema or "oneOf" in schema or "$ref" in schema:
        return ANY
    names, nullable = _names(schema)
    if names is None:
        return ANY
    if names in _SIMPLE:
        return replace(_SIMPLE[names], nullable=nullable)
    if names == "array":
        item = _schema_type(schema.get("items"), levels - 1) if "prefixItems" not in schema else ANY
        return Type("list", item=item, nullable=nullable)
    properties = schema.get("properties")
    if names != "object" or not isinstance(properties, Mapping) or not properties:
        return ANY
    fields = [_field(name, part, levels) for name, part in properties.items()]
    return replace(record(fields), nullable=nullable)


def _field(name: str, schema: Any, levels: int) -> Field:
    return Field(name, replace(_schema_type(schema, levels - 1), nullable=False))


def _names(schema: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The one type that a schema names (None: none or several), and whether null is admitted beside it."""
    declared = schema.get("type")
    if declared is None:
        values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
        found = {_named(value) for value in values} if isinstance(values, Sequence) else set()
        if found - {"null"} == {"integer", "number"}:
            found = (found - {"integer"}) | {"number"}
    else:
        found = {declared} if isinstance(declared, str) else _strings(declared)
    nullable = "null" in found
    found = found - {"null"}
    return (found.pop() if len(found) == 1 else None), nullable


def _strings(value: Any) -> set[str]:
    return {one for one in value if isinstance(one, str)} if isinstance(value, list | tuple) else set()


def _named(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "other"


def params_type(params: Sequence[Sequence[Param]]) -> tuple[Type, dict[str, str]]:
    """The record of the parameters that all of several actions have with one type; and why others are not in it.

    `params[i]` are the parameters of the i-th action.
    """
    tables = [{param.name: _param(param) for param in of} for of in params]
    every = {name for table in tables for name in table}
    fields: list[Field] = []
    why: dict[str, str] = {}
    for name in sorted(every):
        found = [table[name] for table in tables if name in table]
        if len(found) < len(tables):
            why[name] = "not every action that this rule matches has it"
        elif any(field.type != found[0].type for field in found):
            kinds = ", ".join(sorted({str(field.type) for field in found}))
            why[name] = f"the actions that this rule matches have it with different types ({kinds})"
        else:
            fields.append(found[0])
    return record(fields), why


def _param(param: Param) -> Field:
    found = _field(param.name, param.schema, _DEEPEST)
    return replace(found, type=INT) if param.integer else found


def comparable(left: Type, right: Type) -> bool:
    """Whether `==` makes sense: one type, int with double, anything with what is untyped, null where null may be."""
    if "any" in (left.kind, right.kind) or "nothing" in (left.kind, right.kind):
        return True
    if "null" in (left.kind, right.kind):
        return (left.nullable or left.kind == "null") and (right.nullable or right.kind == "null")
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return True
    if left.kind == right.kind == "list" and left.item and right.item:
        return comparable(left.item, right.item)
    return replace(left, nullable=False) == replace(right, nullable=False)


def join(left: Type, right: Type) -> Type | None:
    """The one type of two values of which either may come (`? :`, elements of a list); None if there is none."""
    if left == right:
        return left
    if left.kind == "null" or right.kind == "null":
        other = right if left.kind == "null" else left
        return other if other.kind in ("any", "null") else replace(other, nullable=True)
    if left.kind == "nothing" or right.kind == "nothing":
        return right if left.kind == "nothing" else left
    nullable = left.nullable or right.nullable
    if left.kind == right.kind == "list" and left.item and right.item:
        item = join(left.item, right.item)
        return Type("list", item=item, nullable=nullable) if item else None
    if replace(left, nullable=False) == replace(right, nullable=False):
        return replace(left, nullable=nullable)
    return None


def a(type_: Type) -> str:
    """A type with its article, for messages."""
    text = str(type_)
    return text if text.startswith(("null", "nothing")) else f"{'an' if text[0] in 'aeiu' else 'a'} {text}"
