"""Doubts about rules that load: where they let more through than they seem to say (THREAT_MODEL 32)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jit_auth.core.toml import Document
from jit_auth.errors import Fault
from jit_auth.model import Action
from jit_auth.policy.compile import Condition
from jit_auth.policy.decide import Rule
from jit_auth.policy.file import RuleTable, located
from jit_auth.policy.guards import all_constant, compared, guaranteed, parameter, strings
from jit_auth.policy.labels import OPAQUE, Label
from jit_auth.policy.lex import Mistake
from jit_auth.policy.tree import Apply, Choose, Compare, Constant, Logic, Loop, Name, Node, Unary, below, start
from jit_auth.policy.values import Bad, Labels, Read, frame
from jit_auth.policy.write import written

_BOTH = frozenset({True, False})
_TESTS = ("startsWith", "endsWith", "contains")
_NAMED = 3
"""Actions that a sentence names one by one."""

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A rule that has no fault, where it is written, the actions that it covers and the labels there are."""

    document: Document
    path: Path
    table: RuleTable
    rule: Rule
    actions: Sequence[Action]
    labels: Sequence[Label]
    reads: Sequence[Read]
    """What fills the slots of frames."""

    def doubts(self) -> Iterator[Fault]:
        """Each doubt with its place and what to do about it."""
        if self.rule.effect == "allow":
            yield from self._everything()
            yield from self._unread()
        when, unless = self.rule.when, self.rule.unless
        # Truth at the root of `when` loosens in an allow rule, and tightens in any other; `unless` is the reverse.
        allows = self.rule.effect == "allow"
        for key, condition, other, loosens in (("when", when, unless, allows), ("unless", unless, when, not allows)):
            if condition is not None:
                walk = _Walk(self, allows, guarded=self._never_empty(other, key == "unless"))
                walk.visit(condition.tree, frozenset({loosens}), walk.guarded, {})
                for at, message in sorted(walk.found.items()):
                    yield located(self.document, (*self.path, key), condition.text, Mistake(message, at))

    def _everything(self) -> Iterator[Fault]:
        for number, pattern in enumerate(self.table.match):
            if "*" in pattern and not pattern.strip("*."):
                yield self._fault(
                    ("match", number),
                    (f'"{pattern}"', f"'{pattern}'"),
                    f"match: an allow rule over {pattern!r} covers whatever connector is added later: "
                    'name the connectors, as in "github.*"',
                )

    def _unread(self) -> Iterator[Fault]:
        """Parameters of what is changed that the rule allows whatever they hold."""
        changing = [action for action in self.actions if action.effect != "read" and not self._never(action)]
        reads = self._reads({action.name for action in changing})
        read = {name.split(".")[1] for name in reads if name.startswith("params.")}
        unread = sorted({param.name for action in changing for param in action.params} - read - {*self.table.ignores})
        if unread:
            having = [one.name for one in changing if any(param.name in unread for param in one.params)]
            names = ", ".join(having) if len(having) <= _NAMED else f"{len(having)} actions"
            ignores = ", ".join(f'"{name}"' for name in sorted({*unread, *self.table.ignores}))
            key = "when" if self.table.when is not None else "match"
            hold, them = ("holds", "it") if len(unread) == 1 else ("hold", "them")
            yield self._fault(
                (key,),
                (key,),
                f"rule {self.rule.id} allows {names} whatever {', '.join(unread)} {hold}: "
                f"read {them} in a condition, or accept that by ignores = [{ignores}]",
            )

    def _fault(self, at: Path, texts: Sequence[str], message: str) -> Fault:
        """A doubt at the first of `texts` that stands in the statement."""
        line, raw = self.document.source(*self.path, *at)
        before = raw[: next((found for text in texts if (found := raw.find(text)) >= 0), 0)]
        column = len(before) - (before.rfind("\n") + 1) + 1
        return Fault(self.document.file, line + before.count("\n"), message, column=column)

    def _never(self, action: Action) -> bool:
        """Whether the conditions are false of this action, whatever is called with it by whomever."""
        if self.rule.run is None:
            return False
        facts = frame(_Blank(action), self.reads)
        facts.labels = Labels(unknown=frozenset({OPAQUE, *(name for label in self.labels for name in label.add)}))
        try:
            return not self.rule.run(facts)
        except Bad:
            return False

    def _reads(self, actions: Collection[str]) -> set[str]:
        """What the conditions read, also by way of the labels of all these actions that they ask for."""
        read = set(self.rule.reads)
        if "labels" in read:
            trees = [one.tree for one in (self.rule.when, self.rule.unless) if one is not None]
            asked = {name for tree in trees for name in _labels(tree)}
            for label in self.labels:
                if label.actions.issuperset(actions) and (None in asked or asked & {*label.add}):
                    read |= label.reads
        return read

    def _never_empty(self, other: Condition | None, holds: bool) -> frozenset[str]:
        """Lists that have elements wherever the condition counts at all: by their schemas, by the other condition."""
        found = {"agent.chain"}
        tables = [{param.name: param.schema for param in action.params} for action in self.actions]
        for name in {name for table in tables for name in table}:
            if all(table.get(name, {}).get("minItems", 0) >= 1 for table in tables):
                found.add(f"params.{name}")
        return frozenset(found | (set() if other is None else guaranteed(other.tree, holds)))


class _NoParams(dict[str, Any]):
    """Parameters of which nothing is known, not even whether they are there."""

    def get(self, key: str, default: Any = None) -> Any:
        raise Bad("not known")


class _Blank:
    """A call of which nothing is known but its action."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self.params = _NoParams()

    def __getattr__(self, name: str) -> Any:
        raise Bad("not known")


def _labels(node: Node) -> set[str | None]:
    """The labels that a condition asks for by name; None among them where it reads the list otherwise."""
    match node:
        case Compare(op="in", left=Constant(value=str(name)), right=Name(name="labels")):
            return {name}
        case Name(name="labels"):
            return {None}
        case _:
            return {name for inner in below(node) for name in _labels(inner)}


@dataclass(slots=True)
class _Walk:
    """Goes through a condition. `signs`: whether the truth of a part loosens, its falsehood does, or either may."""

    judged: Judged
    allows: bool
    guarded: frozenset[str]
    found: dict[int, str] = field(default_factory=dict)

    def visit(self, node: Node, signs: frozenset[bool], guarded: frozenset[str], bound: Mapping[str, Node]) -> None:
        """`guarded` are lists that have elements wherever this part matters, `bound` the loops' variables."""
        match node:
            case Logic():
                for number, part in enumerate(node.parts):
                    others = [one for other, one in enumerate(node.parts) if other != number]
                    self.visit(part, signs, guarded | _beside(node.op, others, signs), bound)
            case Unary(op="!"):
                self.visit(node.value, frozenset(not sign for sign in signs), guarded, bound)
            case Choose():
                self.visit(node.condition, _BOTH, guarded, bound)
                self.visit(node.yes, signs, guarded | guaranteed(node.condition, True), bound)
                self.visit(node.no, signs, guarded | guaranteed(node.condition, False), bound)
            case Loop():
                self.empty(node, signs, guarded)
                self.visit(node.base, _BOTH, guarded, bound)
                inner = _BOTH if node.kind == "exists_one" else signs
                self.visit(node.body, inner, guarded, {**bound, node.var: node.base})
            case _:
                if isinstance(node, Compare | Apply):
                    self.letters(node, signs, bound)
                for part in below(node):
                    self.visit(part, _BOTH, guarded, bound)

    def empty(self, node: Loop, signs: frozenset[bool], guarded: frozenset[str]) -> None:
        """`all`, where what it says of an empty list lets a call through; in an allow rule also `!exists`."""
        says = (node.kind == "all" and True in signs) or (self.allows and node.kind == "exists" and False in signs)
        list_ = written(node.base)
        if says and list_ not in guarded and not (all_constant(node.base) and list_ != "[]"):
            what = "all() is true" if node.kind == "all" else "exists() is false"
            self.found.setdefault(
                node.at, f"{what} of an empty list, which lets the call through: ask size({list_}) > 0 beside it"
            )

    def letters(self, node: Compare | Apply, signs: frozenset[bool], bound: Mapping[str, Node]) -> None:
        """A free string against letters, where a variant in case is let through."""
        if isinstance(node, Apply) and node.name not in _TESTS:
            return
        if isinstance(node, Compare) and node.op not in ("==", "!=", "in"):
            return
        # A variant makes `!=` true, and everything else false.
        if (isinstance(node, Compare) and node.op == "!=") not in signs:
            return
        left, right = (node.left, node.right) if isinstance(node, Compare) else node.args
        for side, constant in ((left, right), (right, left)):
            letters = next((one for one in strings(constant) if one.lower() != one.upper()), None)
            name = parameter(side, bound)
            if letters is None or name is None or name in self.judged.table.ignores:
                continue
            if any(compared(side, bound, action) for action in self.judged.actions):
                self.found.setdefault(
                    start(node),
                    f"{written(side)} may be any string, and a variant such as {letters.swapcase()!r} is let through: "
                    f"name what is allowed instead, give {name} an enum or a pattern in its connector, "
                    f'or accept that by ignores = ["{name}"]',
                )


def _beside(op: str, others: Collection[Node], signs: frozenset[bool]) -> frozenset[str]:
    """Lists that the other operands guarantee to have elements wherever this one decides."""
    if len(signs) != 1:
        return frozenset()
    (sign,) = signs
    if (op == "&&") != sign:
        return frozenset()
    return frozenset(name for other in others for name in guaranteed(other, sign))
