"""Random conditions that are well typed: trees whose parts can be replaced, for property and differential tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hypothesis import strategies as st

TYPES = ("bool", "int", "double", "string", "strings", "ints")

GONE = {
    "bool": "params.gone_b", "int": "params.gone_n", "double": "params.gone_d", "string": "params.gone_s",
    "strings": "params.gone_l", "ints": "params.gone_i",
}  # fmt: skip
"""For each type an expression in error."""

VALUES = {
    "bool": ("true", "false"), "int": ("0", "7", "-1"), "double": ("0.0", "2.5"), "string": ("''", "'hello'"),
    "strings": ("[]", "['a', 'hello']"), "ints": ("[]", "[1, 7]"),
}  # fmt: skip
"""For each type some of its values."""

_LEAVES = {
    "bool": ("true", "false", "params.b", "has(params.gone_s)", "has(params.s)", "user.verified", "history.first_seen",
             "task.private"),
    "int": ("0", "1", "7", "params.n", "params.m", "agent.depth", "history.same_action_1h", "history.denied_24h",
            "task.count"),
    "double": ("0.5", "2.5", "-1.0", "params.d"),
    "string": ("''", "'a'", "'hello'", "params.s", "params.t", "params.card.number", "user.id"),
    "strings": ("[]", "['a', 'b']", "params.strings", "agent.chain"),
    "ints": ("[]", "[1, 2, 7]", "params.ints"),
}  # fmt: skip

_NODES: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "bool": [
        ("({} && {})", ("bool", "bool")), ("({} || {})", ("bool", "bool")), ("({} && {} && {})", ("bool",) * 3),
        ("({} || {} || {})", ("bool",) * 3), ("(!{})", ("bool",)), ("({} ? {} : {})", ("bool",) * 3),
        ("({} == {})", ("bool", "bool")), ("({} < {})", ("int", "int")), ("({} >= {})", ("int", "int")),
        ("({} != {})", ("int", "int")), ("({} > {})", ("double", "double")), ("({} == {})", ("double", "double")),
        ("({} == {})", ("string", "string")), ("({} != {})", ("string", "string")),
        ("({} <= {})", ("string", "string")),
        ("({} in {})", ("string", "strings")), ("({} in {})", ("int", "ints")), ("({} == {})", ("strings", "strings")),
        ("{}.startsWith({})", ("string", "string")), ("{}.endsWith({})", ("string", "string")),
        ("{}.contains({})", ("string", "string")),
        ("{}.exists(V, {})", ("ints", "bool")), ("{}.all(V, {})", ("ints", "bool")),
        ("{}.exists_one(V, {})", ("ints", "bool")),
    ],
    "int": [
        ("({} + {})", ("int", "int")), ("({} - {})", ("int", "int")), ("({} * {})", ("int", "int")),
        ("(-{})", ("int",)),
        ("size({})", ("string",)), ("size({})", ("ints",)), ("({} ? {} : {})", ("bool", "int", "int")),
        ("[1, 0, {}, 7, 2, 5][{}]", ("int", "int")),
    ],
    "double": [
        ("({} + {})", ("double", "double")), ("({} - {})", ("double", "double")), ("(-{})", ("double",)),
        ("({} ? {} : {})", ("bool", "double", "double")),
    ],
    "string": [
        ("({} + {})", ("string", "string")), ("({} ? {} : {})", ("bool", "string", "string")),
        ("['a', '', {}, 'hello'][{}]", ("string", "int")),
    ],
    "strings": [("({} + {})", ("strings", "strings")), ("[{}, {}]", ("string", "string"))],
    "ints": [("({} + {})", ("ints", "ints")), ("[{}, {}]", ("int", "int"))],
}  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """An expression: `form` has a place for each part."""

    type: str
    form: str
    parts: tuple[Tree, ...] = ()

    def __str__(self) -> str:
        return self.form.format(*self.parts)

    def places(self) -> Iterator[tuple[int, ...]]:
        """The way to each part, the whole first."""
        yield ()
        for number, part in enumerate(self.parts):
            yield from ((number, *way) for way in part.places())

    def at(self, way: tuple[int, ...]) -> Tree:
        return self.parts[way[0]].at(way[1:]) if way else self

    def put(self, way: tuple[int, ...], text: str) -> Tree:
        """The same tree with `text` in place of the part at `way`."""
        if not way:
            return Tree(self.type, text.replace("{", "{{").replace("}", "}}"))
        parts = list(self.parts)
        parts[way[0]] = parts[way[0]].put(way[1:], text)
        return replace(self, parts=tuple(parts))


@st.composite
def trees(draw: st.DrawFn, type_: str = "bool", depth: int = 4, loops: int = 0) -> Tree:
    """A well-typed tree; inside of loops their variables (ints `v1`, `v2`) may occur."""
    if depth == 0 or draw(st.integers(0, 9)) < 2:
        leaves = [*_LEAVES[type_]]
        if type_ == "int" and loops:
            leaves += [f"v{number}" for number in range(1, loops + 1)] * 2
        if draw(st.integers(0, 24)) == 0:
            # (In one piece it may not be compared with a count, which never gets there.)
            leaves = [GONE[type_], "(9223372036854775806 + 1)" if type_ == "int" else GONE[type_]]
        return Tree(type_, draw(st.sampled_from(leaves)))
    nodes = [node for node in _NODES[type_] if loops < 2 or "V" not in node[0]]
    form, types = draw(st.sampled_from(nodes))
    inner = loops + ("V" in form)
    parts = []
    for number, one in enumerate(types):
        within = inner if number == len(types) - 1 else loops
        parts.append(draw(trees(one, depth - 1, within)))
    return Tree(type_, form.replace("V", f"v{inner}"), tuple(parts))
