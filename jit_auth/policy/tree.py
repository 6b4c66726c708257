"""The tree of a condition: one frozen class for each kind of node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

QUANTIFIERS: frozenset[str] = frozenset({"exists", "all", "exists_one"})


@dataclass(frozen=True, slots=True)
class Constant:
    at: int
    depth: int
    value: bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Name:
    at: int
    depth: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`base.field`; `at` is where the field stands."""

    at: int
    depth: int
    base: Node
    field: str


@dataclass(frozen=True, slots=True)
class Index:
    at: int
    depth: int
    base: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Items:
    at: int
    depth: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Apply:
    """`name(args)`, or `base.name(args)` with the base as first argument and `method` set."""

    at: int
    depth: int
    name: str
    args: tuple[Node, ...]
    method: bool


@dataclass(frozen=True, slots=True)
class Has:
    at: int
    depth: int
    field: Select | Index


@dataclass(frozen=True, slots=True)
class Loop:
    """`base.exists(var, body)` and its like; `var_at` is where the variable stands."""

    at: int
    depth: int
    kind: str
    base: Node
    var: str
    var_at: int
    body: Node


@dataclass(frozen=True, slots=True)
class Unary:
    at: int
    depth: int
    op: Literal["!", "-"]
    value: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """All operands of one run of `&&` or of `||`."""

    at: int
    depth: int
    op: Literal["&&", "||"]
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right` for `== != < <= > >=` and `in`; `at` is where the operator stands."""

    at: int
    depth: int
    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A run of `+` and `-`, or of `*`, from left to right; each step with the place of its operator."""

    at: int
    depth: int
    first: Node
    steps: tuple[tuple[str, Node, int], ...]


@dataclass(frozen=True, slots=True)
class Choose:
    at: int
    depth: int
    condition: Node
    yes: Node
    no: Node


Node = (
    Constant | Name | Select | Index | Items | Apply | Has | Loop | Unary | Logic | Compare | Arithmetic | Choose
)  # fmt: skip


def start(node: Node) -> int:
    """Where a node's text begins: the `at` of an operator is its own, which stands behind the first operand."""
    match node:
        case Select() | Index() | Loop():
            return start(node.base)
        case Apply(method=True):
            return start(node.args[0])
        case Logic():
            return start(node.parts[0])
        case Compare():
            return start(node.left)
        case Arithmetic():
            return start(node.first)
        case Choose():
            return start(node.condition)
        case _:
            return node.at


def below(node: Node) -> Iterator[Node]:
    """The nodes directly under a node, in the order of the text."""
    match node:
        case Select():
            yield node.base
        case Index():
            yield from (node.base, node.index)
        case Items():
            yield from node.items
        case Apply():
            yield from node.args
        case Has():
            yield node.field
        case Loop():
            yield from (node.base, node.body)
        case Unary():
            yield node.value
        case Logic():
            yield from node.parts
        case Compare():
            yield from (node.left, node.right)
        case Arithmetic():
            yield node.first
            yield from (part for _, part, _ in node.steps)
        case Choose():
            yield from (node.condition, node.yes, node.no)
        case Constant() | Name():
            return
