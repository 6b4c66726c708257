"""What a tree tells by its form alone: which lists it proves not to be empty, which parameter a string comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jit_auth.model import Action
from jit_auth.policy.tree import Apply, Compare, Constant, Index, Items, Logic, Loop, Name, Node, Select, Unary
from jit_auth.policy.write import written

_NOT = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_TURNED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_LEAST = {">": 0, ">=": 1, "==": 1}
"""`size(x) op n` says that x has elements from this n on."""
_BOUNDED = ("enum", "const", "pattern")


def guaranteed(node: Node, holds: bool) -> frozenset[str]:
    """The lists (as they are written) that have elements wherever `node` is true (`holds`), or is false."""
    match node:
        case Unary(op="!"):
            return guaranteed(node.value, not holds)
        case Logic():
            found = [guaranteed(part, holds) for part in node.parts]
            joined = (node.op == "&&") == holds
            return frozenset.union(*found) if joined else frozenset.intersection(*found)
        case Loop(kind="exists" | "exists_one") if holds:
            return frozenset({written(node.base)})
        case Loop(kind="all") if not holds:
            return frozenset({written(node.base)})
        case Compare(op="in") if holds:
            return frozenset({written(node.right)})
        case Compare(op=op) if op in _NOT:
            op = op if holds else _NOT[op]
            return _not_empty(node.left, op, node.right) | _not_empty(node.right, _TURNED[op], node.left)
        case _:
            return frozenset()


def _not_empty(list_: Node, op: str, other: Node) -> frozenset[str]:
    if isinstance(list_, Apply) and list_.name == "size" and isinstance(other, Constant):
        number = other.value
        if isinstance(number, int) and ((op in _LEAST and number >= _LEAST[op]) or (op == "!=" and number == 0)):
            return frozenset({written(list_.args[0])})
    if op == "!=" and isinstance(other, Items) and not other.items:
        return frozenset({written(list_)})
    return frozenset()


def all_constant(node: Node) -> bool:
    """Whether it is a constant, or a list of them."""
    return isinstance(node, Constant) or (isinstance(node, Items) and all(all_constant(one) for one in node.items))


def strings(node: Node) -> Iterator[str]:
    """The strings of a constant."""
    if isinstance(node, Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, Items):
        for one in node.items:
            yield from strings(one)


def parameter(node: Node, bound: Mapping[str, Node]) -> str | None:
    """The parameter that a value is part of; None where it is computed. `bound`: each variable's list."""
    match node:
        case Name() if node.name in bound:
            return parameter(bound[node.name], bound)
        case Select(base=Name(name="params")):
            return node.field
        case Index(base=Name(name="params"), index=Constant(value=str(name))):
            return name
        case Select() | Index():
            return parameter(node.base, bound)
        case _:
            return None


def compared(node: Node, bound: Mapping[str, Node], action: Action) -> bool:
    """Whether the value is a string (or a list of them) that may be any string, by this action's schemas."""
    schema = _schema(node, bound, action)
    kind = schema.get("type")
    if kind == "array" or (isinstance(kind, list) and "array" in kind):
        schema = _part(schema, "items")
        kind = schema.get("type")
    text = kind == "string" or (isinstance(kind, list) and "string" in kind)
    return text and not any(key in schema for key in _BOUNDED)


def _schema(node: Node, bound: Mapping[str, Node], action: Action) -> Mapping[str, Any]:
    match node:
        case Name() if node.name in bound:
            return _part(_schema(bound[node.name], bound, action), "items")
        case (
            Select(base=Name(name="params"), field=name)
            | Index(base=Name(name="params"), index=Constant(value=str(name)))
        ):
            return next((param.schema for param in action.params if param.name == name), {})
        case Select(field=name) | Index(index=Constant(value=str(name))):
            return _part(_part(_schema(node.base, bound, action), "properties"), name)
        case Index():
            return _part(_schema(node.base, bound, action), "items")
        case _:
            return {}


def _part(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = schema.get(key)
    return found if isinstance(found, Mapping) else {}
