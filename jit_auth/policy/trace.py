"""The value of every sub-expression of a condition for one call, by the closures that decided it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jit_auth.policy.compile import Condition
from jit_auth.policy.tree import Constant, Has, Index, Items, Loop, Name, Node, Select, below, start
from jit_auth.policy.values import MOST_STEPS, Bad, Frame
from jit_auth.policy.write import written

MASK = "(sensitive)"
"""Stands for a value that is made of a sensitive parameter. What is only true or false is told."""
MOST_ELEMENTS = 8
"""Elements of a list for which a loop's body is shown; the one that decided is shown besides."""
MOST_PARTS = 2_000
"""Sub-expressions of one condition that are shown."""
_MOST_STEPS = 20 * MOST_STEPS
"""Loop steps for showing one condition: parameters must not make an explanation slow either."""


@dataclass(frozen=True, slots=True)
class Part:
    """A sub-expression: its text, where it begins (from 1), its value or what is wrong with it, its own parts.

    `given` are the variables of the innermost loop, in a part that is its body for one element. `cut`: it has more
    parts, or its list more elements, than are shown.
    """

    text: str
    column: int
    value: Any
    error: str | None
    parts: tuple[Part, ...] = ()
    given: Mapping[str, Any] | None = None
    cut: bool = False


def trace(condition: Condition, frame: Callable[[], Frame], masked: frozenset[str] = frozenset()) -> Part:
    """The condition with all its parts. `frame` gives a fresh frame of the call; `masked` are sensitive parameters."""
    return _Trace(condition.runs, frame, masked).part(condition.tree, {}, frozenset(), 0)


@dataclass(slots=True)
class _Trace:
    runs: Mapping[int, Callable[[Frame], Any]]
    frame: Callable[[], Frame]
    masked: frozenset[str]
    left: int = MOST_PARTS
    steps: int = _MOST_STEPS

    def part(
        self,
        node: Node,
        variables: Mapping[int, Any],
        hidden: frozenset[str],
        loops: int,
        given: Mapping[str, Any] | None = None,
    ) -> Part:
        """`variables` are the elements that loops are at, by slot; `hidden` the loops' variables that are sensitive."""
        self.left -= 1
        value, error = self.value(node, variables)
        parts: list[Part] = []
        cut = False
        if isinstance(node, Loop):
            parts, cut = self.loop(node, variables, hidden, loops)
        else:
            for child in _children(node):
                if self.left <= 0 or self.steps <= 0:
                    cut = True
                    break
                parts.append(self.part(child, variables, hidden, loops))
        if not isinstance(value, bool) and error is None and self.sensitive(node, hidden):
            value = MASK
        return Part(written(node), start(node) + 1, value, error, tuple(parts), given, cut)

    def value(self, node: Node, variables: Mapping[int, Any]) -> tuple[Any, str | None]:
        facts = self.frame()
        facts.update(variables)
        before = facts.steps
        try:
            return _json(self.runs[id(node)](facts)), None
        except Bad as bad:
            return None, str(bad)
        finally:
            self.steps -= before - facts.steps

    def loop(
        self, node: Loop, variables: Mapping[int, Any], hidden: frozenset[str], loops: int
    ) -> tuple[list[Part], bool]:
        """The list, and the body for its first elements and for the one that decided."""
        parts = [] if _named(node.base) else [self.part(node.base, variables, hidden, loops)]
        facts = self.frame()
        facts.update(variables)
        try:
            elements = self.runs[id(node.base)](facts)
        except Bad:
            return parts, False
        if self.sensitive(node.base, hidden):
            hidden |= {node.var}
        slot = -(loops + 1)  # as the compiler numbers them
        shown = [*range(min(len(elements), MOST_ELEMENTS))]
        if (decided := self.deciding(node, elements, variables, slot)) is not None and decided not in shown:
            shown.append(decided)
        for number in shown:
            if self.left <= 0 or self.steps <= 0:
                return parts, True
            element = MASK if node.var in hidden else _json(elements[number])
            inner = {**variables, slot: elements[number]}
            parts.append(self.part(node.body, inner, hidden, loops + 1, {node.var: element}))
        return parts, len(elements) > len(shown)

    def deciding(self, node: Loop, elements: Any, variables: Mapping[int, Any], slot: int) -> int | None:
        """The first element for which the body ends the loop; of `exists_one`, and where there is none, None."""
        if node.kind == "exists_one":
            return None
        for number, element in enumerate(elements):
            value, _ = self.value(node.body, {**variables, slot: element})
            self.steps -= 1
            if self.steps <= 0:
                return None
            if value is (node.kind == "exists"):
                return number
        return None

    def sensitive(self, node: Node, hidden: frozenset[str]) -> bool:
        """Whether a sensitive parameter is read in it."""
        match node:
            case Name():
                return node.name in hidden
            case Select(base=Name(name="params")):
                return node.field in self.masked
            case Index(base=Name(name="params"), index=Constant(value=str(name))):
                return name in self.masked
            case _:
                return any(self.sensitive(inner, hidden) for inner in below(node))


def _children(node: Node) -> Iterator[Node]:
    """The parts worth showing: no constants, nothing of which only the name of a fact is made."""
    if _named(node) or isinstance(node, Has):
        return
    for child in below(node):
        if not _constant(child):
            yield child


def _constant(node: Node) -> bool:
    return isinstance(node, Constant) or (isinstance(node, Items) and all(_constant(one) for one in node.items))


def _named(node: Node) -> bool:
    """A fact, a parameter, a variable, or a field of one: a name and nothing computed."""
    match node:
        case Name():
            return True
        case Select():
            return _named(node.base)
        case Index(index=Constant(value=str())):
            return _named(node.base)
        case _:
            return False


def _json(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _json(one) for key, one in value.items()}
    return value
