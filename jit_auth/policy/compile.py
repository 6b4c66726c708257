"""Check a condition's types and turn it into closures: what can be known to be wrong is wrong at load."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jit_auth.policy import functions, ops
from jit_auth.policy.facts import FACTS, ROOTS
from jit_auth.policy.lex import Mistake
from jit_auth.policy.parse import parse
from jit_auth.policy.scope import COMPUTED, Code, Scope, computed_field, present, suggestion
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
    start,
)
from jit_auth.policy.types import (
    ANY,
    BOOL,
    DOUBLE,
    INT,
    NOTHING,
    NULL,
    NUMBERS,
    STRING,
    Type,
    a,
    comparable,
    join,
    list_of,
)
from jit_auth.policy.values import Frame

MOST_LOOPS = 2
"""Loops inside one another."""

_TESTS = {"startsWith": functions.starts, "endsWith": functions.ends, "contains": functions.contains}
_TESTS_OF_SLOT = {"startsWith": functions.starts_slot, "endsWith": functions.ends_slot}
_LOOPS = {"exists": functions.exists, "all": functions.every, "exists_one": functions.exists_one}
_FUNCTIONS = ["size", "email_domain", "has"]
_METHODS = ["size", *_TESTS, *_LOOPS]
_ADDED = NUMBERS | {"string", "list", "nothing"}
_CONSTANTS: Mapping[type, Type] = {bool: BOOL, int: INT, float: DOUBLE, str: STRING, type(None): NULL}
_LIST = Type("list")
_RECORD = Type("record")


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition: `run` gives true or false, or raises Bad. `reads` are the facts that it names."""

    run: Callable[[Frame], bool]
    spends: bool
    """It may use up loop steps."""
    reads: frozenset[str]
    text: str
    tree: Node
    runs: Mapping[int, ops.Run]
    """By the `id` of a node of `tree`, what gives its value: for whoever explains the condition."""


def compile_condition(text: str, scope: Scope) -> Condition:
    """The condition that `text` writes. Raises Mistake: what is wrong, and at which character."""
    compiler = _Compiler(scope)
    try:
        tree = parse(text)
        code = compiler.of(tree, BOOL, "a condition is true or false")
    except RecursionError:  # only where the caller itself is deep in the stack
        raise Mistake("nested too deeply", 0) from None
    return Condition(code.run, compiler.spends, frozenset(scope.reads), text, tree, compiler.runs)


@dataclass(slots=True)
class _Compiler:
    scope: Scope
    variables: dict[str, Code] = field(default_factory=dict)
    runs: dict[int, ops.Run] = field(default_factory=dict)
    spends: bool = False

    def code(self, node: Node) -> Code:
        code = self.made(node)
        self.runs[id(node)] = code.run
        return code

    def made(self, node: Node) -> Code:
        match node:
            case Constant():
                return Code(_CONSTANTS[type(node.value)], ops.always(node.value), "a constant", value=node.value)
            case Name():
                return self.variables.get(node.name) or self.scope.root(node.name, [*self.variables], node.at)
            case Select():
                return self.select(node.base, node.field, node.at)
            case Index():
                return self.index(node)
            case Items():
                return self.items(node)
            case Has():
                return self.has(node)
            case Apply():
                return self.apply(node)
            case Loop():
                return self.loop(node)
            case Unary():
                return self.unary(node)
            case Logic():
                parts = [self.of(part, BOOL, f"'{node.op}' joins conditions").run for part in node.parts]
                return _condition((ops.both if node.op == "&&" else ops.either)(parts))
            case Compare():
                return self.membership(node) if node.op == "in" else self.compare(node)
            case Arithmetic():
                return self.arithmetic(node)
            case Choose():
                return self.choose(node)

    # What a part must be.

    def known(self, node: Node) -> Code:
        """The code of `node`, null being an error."""
        code = self.code(node)
        if code.type.kind == "null":
            raise Mistake("null can only be compared by == and !=", node.at)
        if not code.type.nullable:
            return code
        return Code(replace(code.type, nullable=False), ops.known(code.run, code.path), code.path)

    def of(self, node: Node, type_: Type, why: str) -> Code:
        """The code of `node`, which must be of this kind."""
        code = self.known(node)
        if code.type == NOTHING:
            return replace(code, type=type_)
        if code.type.kind != type_.kind:
            raise Mistake(f"{why}: this is {a(code.type)}, not {a(type_)}{_untyped(code.type)}", start(node))
        return code

    # Fields and elements.

    def is_root(self, node: Node) -> bool:
        return isinstance(node, Name) and node.name in ROOTS - FACTS.keys() and node.name not in self.variables

    def select(self, base: Node, name: str, at: int) -> Code:
        if isinstance(base, Name) and self.is_root(base):
            return self.scope.of_root(base.name, name, at)
        record = self.of(base, _RECORD, "only records have fields")
        if record.keys is not None:
            return self.scope.parameter(record.keys, record.path, record.type, name, at)
        self.spends = True
        return computed_field(record, name, at)

    def index(self, node: Index) -> Code:
        if isinstance(node.index, Constant) and isinstance(node.index.value, str):
            return self.select(node.base, node.index.value, node.index.at)
        base = self.of(node.base, _LIST, "only lists have elements")
        index = self.of(node.index, INT, "an index is an integer")
        return Code(_item(base), functions.item(base.run, index.run, base.path), f"an element of {base.path}")

    def has(self, node: Has) -> Code:
        inner = node.field
        if isinstance(inner, Select):
            name, at = inner.field, inner.at
        elif isinstance(inner.index, Constant) and isinstance(inner.index.value, str):
            name, at = inner.index.value, inner.index.at
        else:
            raise Mistake("has() takes one field, such as has(params.memo)", node.at)
        found = self.select(inner.base, name, at)
        if found.path in FACTS:
            raise Mistake(f"has() asks for what may be absent; {found.path} is always there", node.at)
        untyped = found.type == ANY
        if self.is_root(inner.base):
            return _condition(lambda frame: present(frame.call.params, name, untyped=untyped))
        record = self.of(inner.base, _RECORD, "only records have fields").run
        return _condition(lambda frame: present(record(frame), name, untyped=untyped))

    # Operators.

    def unary(self, node: Unary) -> Code:
        if node.op == "!":
            return _condition(ops.negation(self.of(node.value, BOOL, "'!' negates a condition").run))
        code = self.known(node.value)
        if code.type.kind not in NUMBERS | {"nothing"}:
            raise Mistake(f"'-' takes a number: this is {a(code.type)}", node.at)
        return Code(code.type, ops.negative(code.run, whole=code.type == INT), "a number")

    def compare(self, node: Compare) -> Code:
        if node.op in ("==", "!="):
            left, right = self.code(node.left), self.code(node.right)
            if not comparable(left.type, right.type):
                raise Mistake(_unlike(node.op, left, right), node.at)
            self.possible(left, (right.value,), start(node.right))
            self.possible(right, (left.value,), start(node.left))
            if not (_plain(left.type) and _plain(right.type)):
                self.spends = True
                return _condition(ops.equal(left.run, right.run, negate=node.op == "!="))
        else:
            left, right = self.known(node.left), self.known(node.right)
            kinds = {left.type.kind, right.type.kind} - {"nothing"}
            if not (kinds <= NUMBERS or kinds == {"string"}):
                raise Mistake(_unlike(node.op, left, right), node.at)
        for code, constant, at in ((left, right.value, start(node.right)), (right, left.value, start(node.left))):
            if why := self.scope.uncounted(code.path, constant):
                raise Mistake(why, at)
        if left.slot is not None and right.value is not COMPUTED:
            return _condition(ops.compare_slot(node.op, left.slot, right.value))
        return _condition(ops.compare(node.op, left.run, right.run))

    def possible(self, code: Code, values: Iterable[Any], at: int) -> None:
        """Refuse constants that a fact is never equal to."""
        for value in values:
            if why := self.scope.impossible(code.path, value):
                raise Mistake(why, at)

    def membership(self, node: Compare) -> Code:
        left = self.code(node.left)
        right = self.known(node.right)
        if right.type.kind != "list":
            hint = " (has() asks for a field)" if right.type.kind == "record" else ""
            raise Mistake(f"'in' looks into a list: this is {a(right.type)}{hint}", start(node.right))
        if not comparable(left.type, _item(right)):
            raise Mistake(f"{a(left.type)} is never in {a(right.type)}", node.at)
        if right.value is not COMPUTED:
            self.possible(left, right.value, start(node.right))
        self.possible(right, (left.value,), start(node.left))
        if right.path == "user.groups":
            if isinstance(left.value, str):
                self.scope.group(left.value, start(node.left))
            return _condition(ops.in_slot(left.run, self.scope.group_set()))
        if right.path == "labels":
            if isinstance(left.value, str) and left.value not in (self.scope.labels or ()):
                hint = suggestion(left.value, sorted(self.scope.labels or ()))
                raise Mistake(f"no label adds {left.value!r}{hint}", start(node.left))
            return _condition(ops.in_labels(left.run))
        plain = _plain(left.type) and _plain(right.type)
        if plain and right.value is not COMPUTED and _item(right).kind != "list":
            return _condition(ops.in_set(left.run, frozenset(right.value)))
        self.spends = True
        if plain and left.value is not COMPUTED and right.slot is not None:
            return _condition(ops.in_list_slot(left.value, right.slot))
        return _condition((ops.in_list if plain else ops.in_untyped)(left.run, right.run))

    def arithmetic(self, node: Arithmetic) -> Code:
        first = self.known(node.first)
        type_, steps = first.type, []
        for op, part, at in node.steps:
            code = self.known(part)
            joined = join(type_, code.type)
            if joined is None or joined.kind not in (_ADDED if op == "+" else NUMBERS | {"nothing"}):
                hint = " (a double is written 2.0)" if {type_.kind, code.type.kind} == NUMBERS else ""
                raise Mistake(f"'{op}' does not go with {a(type_)} and {a(code.type)}{hint}", at)
            type_ = joined
            steps.append((op, code.run))
        if type_.kind in NUMBERS:
            return Code(type_, (ops.integers if type_ == INT else ops.doubles)(first.run, steps), "a number")
        self.spends = True
        runs = [first.run, *(run for _, run in steps)]
        return Code(type_, (ops.joined if type_ == STRING else ops.chained)(runs), "a sum")

    def choose(self, node: Choose) -> Code:
        condition = self.of(node.condition, BOOL, "'?' follows a condition")
        yes, no = self.code(node.yes), self.code(node.no)
        type_ = join(yes.type, no.type)
        if type_ is None:
            raise Mistake(f"'? :' has one type: not {a(yes.type)} and {a(no.type)}", node.at)
        return Code(type_, ops.choice(condition.run, yes.run, no.run), "a choice")

    def items(self, node: Items) -> Code:
        codes = [self.code(item) for item in node.items]
        type_ = NOTHING
        for code, item in zip(codes, node.items, strict=True):
            joined = join(type_, code.type)
            if joined is None:
                raise Mistake(f"a list has elements of one type: not {a(type_)} and {a(code.type)}", start(item))
            type_ = joined
        value = tuple(code.value for code in codes)
        if any(one is COMPUTED for one in value):
            return Code(list_of(type_), functions.items([code.run for code in codes]), "a list")
        return Code(list_of(type_), ops.always(value), "a list", value=value)

    # Functions and loops.

    def apply(self, node: Apply) -> Code:
        name = node.name
        if name in _TESTS and node.method and len(node.args) == 2:
            whole = self.of(node.args[0], STRING, f"{name}() is asked of a string")
            part = self.of(node.args[1], STRING, f"{name}() takes a string")
            self.spends = self.spends or name == "contains"
            if name in _TESTS_OF_SLOT and whole.slot is not None and isinstance(part.value, str):
                return _condition(_TESTS_OF_SLOT[name](whole.slot, part.value))
            return _condition(_TESTS[name](whole.run, part.run))
        if name == "size" and len(node.args) == 1:
            code = self.known(node.args[0])
            if code.type.kind not in ("string", "list", "nothing"):
                raise Mistake(f"size() takes a string or a list: this is {a(code.type)}", start(node.args[0]))
            return Code(INT, functions.size(code.run), "a number")
        if name == "email_domain" and not node.method and len(node.args) == 1:
            address = self.of(node.args[0], STRING, "email_domain() takes a string")
            return Code(STRING, functions.domain(address.run), "a domain")
        raise Mistake(_misapplied(node), node.at)

    def loop(self, node: Loop) -> Code:
        base = self.of(node.base, _LIST, f"{node.kind}() goes through a list")
        if node.var in self.variables or node.var in ROOTS:
            raise Mistake(f"{node.var!r} is taken: choose another name for the variable", node.var_at)
        depth = len(self.variables) + 1
        if depth > MOST_LOOPS:
            raise Mistake(f"at most {MOST_LOOPS} loops inside one another", node.at)
        # Slots of facts count up from 0, those of variables down from -1: one for each level of loops.
        self.variables[node.var] = Code(_item(base), ops.slot(-depth), node.var, slot=-depth)
        body = self.of(node.body, BOOL, f"{node.kind}() takes a condition")
        del self.variables[node.var]
        self.spends = True
        return _condition(_LOOPS[node.kind](base.run, -depth, body.run))


def _condition(run: ops.Run) -> Code:
    return Code(BOOL, run, "a condition")


def _item(code: Code) -> Type:
    return code.type.item or ANY


def _plain(type_: Type) -> bool:
    """Whether Python's own == is this language's: no untyped values, no records."""
    return _plain(type_.item or ANY) if type_.kind == "list" else type_.kind not in ("any", "record")


def _untyped(*types: Type) -> str:
    return " (an untyped value can only be compared by == and !=)" if ANY in types else ""


def _unlike(op: str, left: Code, right: Code) -> str:
    hint = " (has() asks whether a field is there)" if "null" in (left.type.kind, right.type.kind) else ""
    return f"'{op}' does not compare {a(left.type)} with {a(right.type)}{hint}{_untyped(left.type, right.type)}"


def _misapplied(node: Apply) -> str:
    name = node.name
    if name in _TESTS:
        return f"{name}() is written value.{name}(part)"
    if name in QUANTIFIERS:
        return f"{name}() is written list.{name}(x, condition)"
    if name in ("size", "email_domain"):
        return f"{name}() is written {name}(value)"
    kind, names = ("method", _METHODS) if node.method else ("function", _FUNCTIONS)
    return f"unknown {kind} {name!r}{suggestion(name, names)}"
