"""Parameter schemas (JSON Schema 2020-12): which keywords count, objects closed, formats made enforceable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jit_auth.core.toml import did_you_mean
from jit_auth.policy.strings import email_domain

Path = tuple[str | int, ...]

_ONE = ("items", "contains", "additionalProperties", "unevaluatedProperties", "unevaluatedItems", "propertyNames")
_ONE_IN_PLACE = ("not", "if", "then", "else")
_LIST_IN_PLACE = ("allOf", "anyOf", "oneOf")
_MAP = ("properties", "patternProperties")
_MAP_IN_PLACE = ("dependentSchemas",)
NAMED = frozenset((*_MAP, *_MAP_IN_PLACE))
"""Keywords that hold a schema for each name: such a name may be that of a keyword, and is none."""
_PLAIN = (
    "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength",
    "minLength", "pattern", "maxContains", "minContains", "maxItems", "minItems", "uniqueItems", "required",
    "minProperties", "maxProperties", "dependentRequired", "format", "title", "description", "default", "examples",
    "deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "$comment",
)  # fmt: skip
KEYWORDS = frozenset((*_ONE, *_ONE_IN_PLACE, *_LIST_IN_PLACE, *_MAP, *_MAP_IN_PLACE, *_PLAIN, "prefixItems"))
"""What a schema may hold. No `$ref`, `$id`, `$schema`: a parameter's schema stands alone, nothing is ever fetched."""

TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
FORMATS = frozenset({
    "email", "int64", "date-time", "date", "time", "duration", "uri", "uri-reference", "uuid", "ipv4", "ipv6",
    "hostname", "json-pointer",
})  # fmt: skip
"""Formats that are enforced; a format that is not would be a promise nobody keeps."""

LARGEST = 2**53 - 1

EMAIL = (
    r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$"
)
"""`policy.strings.email_domain` as a pattern (THREAT_MODEL 33); a test holds the two equal."""

_INT64 = r"^(?:0|-?[1-9][0-9]{0,18})$"


def walk(schema: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every schema inside a schema, itself first, with its path."""
    if not isinstance(schema, Mapping):
        return
    yield path, schema
    for keyword, value in schema.items():
        if keyword in _ONE or keyword in _ONE_IN_PLACE:
            yield from walk(value, (*path, keyword))
        elif keyword in NAMED:
            for name, inner in value.items() if isinstance(value, Mapping) else ():
                yield from walk(inner, (*path, keyword, name))
        elif keyword in _LIST_IN_PLACE or keyword == "prefixItems":
            for number, inner in enumerate(value) if isinstance(value, list) else ():
                yield from walk(inner, (*path, keyword, number))


def faults(schema: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """What in a parameter's schema means nothing here: unknown keywords, formats that nobody enforces."""
    for path, inner in walk(schema):
        for keyword in inner:
            if keyword in KEYWORDS:
                continue
            if keyword.startswith("$"):
                yield (*path, keyword), f"{keyword!r} is refused: a parameter's schema stands alone"
            else:
                yield (*path, keyword), f"unknown keyword {keyword!r}{did_you_mean(keyword, KEYWORDS)}"
        kinds = inner.get("type", [])
        for kind in [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []:
            if isinstance(kind, str) and kind not in TYPES:
                yield (*path, "type"), f"unknown type {kind!r}{did_you_mean(kind, TYPES)}"
        form = inner.get("format")
        if form is not None and (not isinstance(form, str) or form not in FORMATS):
            yield (*path, "format"), f"unknown format {form!r}{did_you_mean(str(form), FORMATS)}"
        if inner.get("const", 0) is None or None in _values(inner):
            yield path, "null cannot be written in TOML"


def _values(schema: Mapping[str, Any]) -> list[Any]:
    values = schema.get("enum")
    return values if isinstance(values, list) else []


def closed(schema: Any, *, in_place: bool = False) -> Any:
    """The same schema with every object closed that does not say otherwise itself (THREAT_MODEL 31).

    Where alternatives add properties (`anyOf`, ...), the object around them is closed by `unevaluatedProperties`.
    """
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _ONE:
            made[keyword] = closed(value)
        elif keyword in _ONE_IN_PLACE:
            made[keyword] = closed(value, in_place=True)
        elif keyword in _MAP and isinstance(value, Mapping):
            made[keyword] = {name: closed(inner) for name, inner in value.items()}
        elif keyword in _MAP_IN_PLACE and isinstance(value, Mapping):
            made[keyword] = {name: closed(inner, in_place=True) for name, inner in value.items()}
        elif keyword in _LIST_IN_PLACE and isinstance(value, list):
            made[keyword] = [closed(inner, in_place=True) for inner in value]
        elif keyword == "prefixItems" and isinstance(value, list):
            made[keyword] = [closed(inner) for inner in value]
        else:
            made[keyword] = value
    if not in_place and is_object(made) and not {"additionalProperties", "unevaluatedProperties"} & made.keys():
        composed = any(k in made for k in (*_LIST_IN_PLACE, *_ONE_IN_PLACE, *_MAP_IN_PLACE))
        made["unevaluatedProperties" if composed else "additionalProperties"] = False
    return made


def is_object(schema: Mapping[str, Any]) -> bool:
    """Whether a schema speaks of objects: by its type, by properties, or by an alternative that does."""
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        return True
    if kinds is None and ("properties" in schema or "patternProperties" in schema):
        return True
    inner = [alternative for keyword in _LIST_IN_PLACE for alternative in schema.get(keyword, ())]
    return kinds is None and any(isinstance(i, Mapping) and is_object(i) for i in inner)


def compilable(schema: Any) -> Any:
    """The schema as it is compiled: plain addresses as a pattern (no call into Python), integers within 2^53-1."""
    if isinstance(schema, list):
        return [compilable(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in ("enum", "const", "default", "examples"):
            made[keyword] = value
        elif keyword in NAMED:
            made[keyword] = {name: compilable(inner) for name, inner in value.items()}
        else:
            made[keyword] = compilable(value)
    more: list[dict[str, Any]] = []
    if schema.get("format") == "email":
        del made["format"]
        more.append({"pattern": EMAIL, "maxLength": 254})
    elif schema.get("format") == "int64":
        more.append({"pattern": _INT64})
    kinds = schema.get("type")
    if kinds == "integer" or (isinstance(kinds, list) and "integer" in kinds and "number" not in kinds):
        more.append({"minimum": -LARGEST, "maximum": LARGEST})
    if more:
        made["allOf"] = [*made.get("allOf", ()), *more]
    return made


def is_int64(text: str) -> bool:
    """`format = "int64"`: a decimal string of a 64-bit integer, in the one form that has no twin."""
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19 or (digits[0] == "0" and text != "0"):
        return False
    return -(2**63) <= int(text) < 2**63


def is_email(text: str) -> bool:
    """`format = "email"`: exactly one plain address (THREAT_MODEL 33)."""
    return email_domain(text) is not None


def filler(schema: Any) -> Callable[[Any], Any] | None:
    """What fills in the defaults that stand in `properties` (at any depth, also in lists); None where there are none.

    It never changes the value it is given, and creates no object or list that was absent.
    """
    if not isinstance(schema, Mapping):
        return None
    properties = schema.get("properties", {})
    defaults = {n: s["default"] for n, s in properties.items() if isinstance(s, Mapping) and "default" in s}
    inner = {n: deeper for n, s in properties.items() if (deeper := filler(s)) is not None}
    items = filler(schema.get("items"))

    def fill(value: Any) -> Any:
        if isinstance(value, list):
            return [items(item) for item in value] if items else value
        if not isinstance(value, dict):
            return value
        made = dict(value)
        for name, default in defaults.items():
            if name not in made:
                made[name] = _copy(default)
        for name, fill_inner in inner.items():
            if name in made:
                made[name] = fill_inner(made[name])
        return made

    return fill if defaults or inner or items else None


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def whole(value: Any) -> Any:
    """The value with every double that is a whole number within 2^53-1 as an integer.

    1.0 and 1 have one RFC 8785 form, so what is digested and sent does not change; what reads them gets one type.
    """
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() and abs(value) <= LARGEST else value
    if kind is dict:
        return {name: whole(inner) for name, inner in value.items()} if _any_float(value) else value
    if kind is list:
        return [whole(inner) for inner in value] if _any_float(value) else value
    return value


def _any_float(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return any(map(_any_float, value.values()))
    return any(map(_any_float, value)) if kind is list else kind is float
