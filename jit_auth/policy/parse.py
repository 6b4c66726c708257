"""Parse a condition into a tree (CEL's grammar without maps, messages, `/` and `%`); bounded in nodes and depth."""

from __future__ import annotations

from collections.abc import Callable

from jit_auth.policy.lex import INT_MAX, Mistake, Token, tokens
from jit_auth.policy.tree import (
    QUANTIFIERS,
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

MOST_NODES = 400
DEEPEST = 50
"""Levels of the tree and of brackets: keeps every later walk far from Python's recursion limit."""

_COMPARE = 3
_LEVELS = {"||": 1, "&&": 2, "+": 4, "-": 4, "*": 5} | dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), _COMPARE)
_RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
     "namespace", "return", "var", "void", "while")
)  # fmt: skip
_INSTEAD = {"and": "&&", "or": "||", "not": "!", "is": "==", "True": "true", "False": "false", "None": "null"}


def parse(text: str) -> Node:
    """The tree of a whole condition. Raises Mistake."""
    parser = _Parser(tokens(text))
    if parser.peek.kind == "end":
        raise Mistake("the condition is empty", 0)
    tree = parser.choice()
    parser.finish()
    return tree


class _Parser:
    """Recursive descent; a level of brackets costs 5 to 15 of Python's 1,000 frames, and DEEPEST bounds the levels."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._next = 0
        self._nodes = 0
        self._level = 0

    @property
    def peek(self) -> Token:
        return self._tokens[self._next]

    def take(self) -> Token:
        token = self.peek
        self._next += 1
        return token

    def accept(self, operator: str) -> Token | None:
        token = self.peek
        return self.take() if token.kind == "op" and token.text == operator else None

    def expect(self, operator: str, where: str) -> Token:
        token = self.accept(operator)
        if token is None:
            raise self.unexpected(f"expected '{operator}' {where}")
        return token

    def unexpected(self, otherwise: str) -> Mistake:
        token = self.peek
        if token.kind == "end":
            return Mistake(f"the condition ends too early: {otherwise}", token.at)
        hint = f" (did you mean {_INSTEAD[token.text]}?)" if token.text in _INSTEAD else f": {otherwise}"
        return Mistake(f"unexpected {token.text!a}{hint}", token.at)

    def finish(self) -> None:
        if self.peek.kind != "end":
            raise self.unexpected("expected an operator or the end")

    def count(self, at: int, *children: Node, nodes: int = 1) -> int:
        """Count `nodes` more; the depth of a node over `children`."""
        self._nodes += nodes
        if self._nodes > MOST_NODES:
            raise Mistake(f"a condition has at most {MOST_NODES} nodes", at)
        return self.deep(1 + max((child.depth for child in children), default=0), at)

    def deep(self, depth: int, at: int) -> int:
        if depth > DEEPEST:
            raise Mistake(f"nested deeper than {DEEPEST} levels", at)
        return depth

    def nested(self, rule: Callable[[], Node]) -> Node:
        """`rule` one level down."""
        self._level += 1
        self.deep(self._level, self.peek.at)
        node = rule()
        self._level -= 1
        return node

    def choice(self) -> Node:
        condition = self.binary(1)
        mark = self.accept("?")
        if mark is None:
            return condition
        yes = self.nested(self.either)
        self.expect(":", "and the other value of '? :'")
        no = self.nested(self.choice)
        return Choose(mark.at, self.count(mark.at, condition, yes, no), condition, yes, no)

    def either(self) -> Node:
        return self.binary(1)

    def binary(self, least: int) -> Node:
        """Operators that bind at least as tightly as `least`; a run of equal ones becomes one node."""
        left = self.unary()
        while (level := self.level) >= least:
            left = self.run(left, level)
        return left

    @property
    def level(self) -> int:
        """How tightly the operator that comes next binds; 0 if none does."""
        token = self.peek
        return _LEVELS.get(token.text, 0) if token.kind == "op" or token.text == "in" else 0

    def run(self, first: Node, level: int) -> Node:
        start = self.peek
        steps: list[tuple[str, Node, int]] = []
        while self.level == level:
            if level == _COMPARE and steps:
                raise Mistake("comparisons do not chain: join them by && or set brackets", self.peek.at)
            token = self.take()
            steps.append((token.text, self.binary(level + 1), token.at))
        parts = (first, *(node for _, node, _ in steps))
        depth = self.count(start.at, *parts, nodes=len(steps))
        if level < _COMPARE:
            return Logic(start.at, depth, "&&" if start.text == "&&" else "||", parts)
        if level == _COMPARE:
            return Compare(start.at, depth, start.text, first, parts[1])
        return Arithmetic(start.at, depth, first, tuple(steps))

    def unary(self) -> Node:
        token = self.peek
        if self.accept("!"):
            value = self.nested(self.unary)
            return Unary(token.at, self.count(token.at, value), "!", value)
        if self.accept("-"):
            number = self.peek
            if number.kind in ("int", "double") and isinstance(number.value, int | float):
                self.take()
                return self.postfix(Constant(token.at, self.count(token.at), -number.value))
            value = self.nested(self.unary)
            return Unary(token.at, self.count(token.at, value), "-", value)
        return self.postfix(self.primary())

    def primary(self) -> Node:
        token = self.take()
        if token.kind in ("int", "double", "string"):
            if isinstance(token.value, int) and token.value > INT_MAX:
                raise Mistake(f"{token.text} is too large for an integer (64 bits)", token.at)
            return Constant(token.at, self.count(token.at), token.value)
        if token.kind == "name":
            return self.named(token)
        if token.kind == "op" and token.text == "(":
            inner = self.nested(self.choice)
            self.expect(")", "to close the bracket")
            return inner
        if token.kind == "op" and token.text == "[":
            items = self.arguments("]", "to close the list")
            return Items(token.at, self.count(token.at, *items), items)
        self._next -= 1
        raise self.unexpected("expected a value")

    def named(self, token: Token) -> Node:
        if token.text in ("true", "false", "null"):
            return Constant(token.at, self.count(token.at), {"true": True, "false": False}.get(token.text))
        if token.text == "in" or token.text in _RESERVED or token.text in _INSTEAD:
            self._next -= 1
            raise self.unexpected("this word is reserved")
        if not self.accept("("):
            return Name(token.at, self.count(token.at), token.text)
        args = self.arguments(")", f"to close {token.text}(")
        if token.text != "has":
            return Apply(token.at, self.count(token.at, *args), token.text, args, method=False)
        if len(args) != 1 or not isinstance(args[0], Select | Index):
            raise Mistake("has() takes one field, such as has(params.memo)", token.at)
        return Has(token.at, self.count(token.at, *args), args[0])

    def arguments(self, close: str, why: str) -> tuple[Node, ...]:
        found: list[Node] = []
        if self.accept(close):
            return ()
        while True:
            found.append(self.nested(self.choice))
            if self.accept(close):
                return tuple(found)
            self.expect(",", f"or '{close}' {why}")

    def postfix(self, node: Node) -> Node:
        while True:
            if (bracket := self.accept("[")) is not None:
                index = self.nested(self.choice)
                self.expect("]", "to close the index")
                node = Index(bracket.at, self.count(bracket.at, node, index), node, index)
            elif self.accept("."):
                node = self.member(node)
            else:
                return node

    def member(self, base: Node) -> Node:
        token = self.peek
        if token.kind != "name":
            raise self.unexpected("expected a field's name after '.'")
        self.take()
        if not self.accept("("):
            return Select(token.at, self.count(token.at, base), base, token.text)
        args = self.arguments(")", f"to close {token.text}(")
        if token.text not in QUANTIFIERS:
            return Apply(token.at, self.count(token.at, base, *args), token.text, (base, *args), method=True)
        if len(args) != 2 or not isinstance(args[0], Name):
            raise Mistake(f"{token.text}() takes a variable and a condition, such as {token.text}(x, x > 0)", token.at)
        var, body = args
        depth = self.count(token.at, base, body)
        return Loop(token.at, depth, token.text, base, args[0].name, var.at, body)
