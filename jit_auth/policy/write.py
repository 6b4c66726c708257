"""Write a tree as text again: brackets where they are needed, one blank around operators."""

from __future__ import annotations

import re

from jit_auth.policy.tree import (
    Apply,
    Arithmetic,
    Choose,
    Compare,
    Constant,
    Has,
    Index,
    Items,
    Logic,
    Loop,
    Name,
    Node,
    Select,
    Unary,
)

_CHOICE, _EITHER, _BOTH, _COMPARE, _SUM, _PRODUCT, _UNARY, _POSTFIX = range(8)
_MEANT = re.compile(r"[\\'\x00-\x1f\x7f-\x9f\u2028\u2029]")


def written(node: Node) -> str:
    """The text of a node: parsed again it gives the same tree."""
    return _at_least(node, _CHOICE)


def _at_least(node: Node, level: int) -> str:
    """The text, in brackets where the node binds less tightly than its place asks."""
    text = _text(node)
    return text if _level(node) >= level else f"({text})"


def _level(node: Node) -> int:
    match node:
        case Choose():
            return _CHOICE
        case Logic():
            return _EITHER if node.op == "||" else _BOTH
        case Compare():
            return _COMPARE
        case Arithmetic():
            return _PRODUCT if node.steps[0][0] == "*" else _SUM
        case Unary():
            return _UNARY
        case _:
            return _POSTFIX


def _text(node: Node) -> str:
    match node:
        case Constant():
            return _constant(node.value)
        case Name():
            return node.name
        case Select():
            return f"{_at_least(node.base, _POSTFIX)}.{node.field}"
        case Index():
            return f"{_at_least(node.base, _POSTFIX)}[{written(node.index)}]"
        case Items():
            return f"[{_listed(node.items)}]"
        case Apply(method=True):
            return f"{_at_least(node.args[0], _POSTFIX)}.{node.name}({_listed(node.args[1:])})"
        case Apply():
            return f"{node.name}({_listed(node.args)})"
        case Has():
            return f"has({written(node.field)})"
        case Loop():
            return f"{_at_least(node.base, _POSTFIX)}.{node.kind}({node.var}, {written(node.body)})"
        case Unary():
            # Without brackets `-1` would be the number, not its negation.
            number = node.op == "-" and isinstance(node.value, Constant)
            return f"{node.op}({written(node.value)})" if number else f"{node.op}{_at_least(node.value, _UNARY)}"
        case Logic():
            return f" {node.op} ".join(_at_least(part, _level(node) + 1) for part in node.parts)
        case Compare():
            return f"{_at_least(node.left, _SUM)} {node.op} {_at_least(node.right, _SUM)}"
        case Arithmetic():
            over = _level(node) + 1
            rest = "".join(f" {op} {_at_least(part, over)}" for op, part, _ in node.steps)
            return _at_least(node.first, over) + rest
        case Choose():
            condition, yes = _at_least(node.condition, _EITHER), _at_least(node.yes, _EITHER)
            return f"{condition} ? {yes} : {written(node.no)}"


def _listed(nodes: tuple[Node, ...]) -> str:
    return ", ".join(written(node) for node in nodes)


def _constant(value: bool | int | float | str | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return (
            "'"
            + _MEANT.sub(lambda found: f"\\{found[0]}" if found[0] in "\\'" else f"\\u{ord(found[0]):04x}", value)
            + "'"
        )
    return repr(value)
