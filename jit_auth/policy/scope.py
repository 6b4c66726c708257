"""What a condition may name: facts and parameters, each read once for a decision, and the fields of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from jit_auth.core.toml import did_you_mean, nearest
from jit_auth.errors import Problem
from jit_auth.policy import ops
from jit_auth.policy.facts import FACTS, ROOTS, Call, groups
from jit_auth.policy.lex import Mistake
from jit_auth.policy.ops import Run
from jit_auth.policy.types import Type
from jit_auth.policy.values import Bad, Frame, Read, converter, weight

COMPUTED = object()
"""Stands for the value of what is no constant."""


class Slots:
    """The facts that the rules of one policy read: each has one place in every frame."""

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self._known: dict[object, int] = {}

    def of(self, key: object, read: Read) -> int:
        """The slot of what `key` names; `read` fills it when it is first asked for."""
        if key not in self._known:
            self._known[key] = len(self.reads)
            self.reads.append(read)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class Code:
    """A compiled sub-expression: its type and closure; `path` calls it in messages."""

    type: Type
    run: Run
    path: str
    value: Any = COMPUTED
    slot: int | None = None
    keys: tuple[str, ...] | None = None
    """Of a record among the parameters: where it is, so that its fields get slots of their own."""


@dataclass(slots=True)
class Scope:
    """What the conditions of one rule may name. `hidden`: parameters that cannot be read, each with the reason."""

    params: Type
    hidden: Mapping[str, str]
    zone: tzinfo
    slots: Slots
    groups: frozenset[str]
    """The groups that there are."""
    person: Callable[[str], str]
    """The one id of a person, whatever name is used. Raises Problem for what is none."""
    labels: frozenset[str] | None = frozenset()
    """The labels that there are; None in a label's own condition, which may not read them."""
    reads: set[str] = field(default_factory=set)
    """The facts and parameters that were named."""
    doubts: list[Mistake] = field(default_factory=list)
    """What loads but hardly says what was meant."""

    def group(self, name: str, at: int) -> None:
        """A group that a condition names. Raises Mistake where it is near another one; a group without members, that is
        near none, is doubtful."""
        if name not in self.groups:
            mistake = Mistake(f"unknown group {name!r}{suggestion(name, sorted(self.groups))}", at)
            if nearest(name, self.groups):
                raise mistake
            self.doubts.append(mistake)

    def fact(self, name: str) -> Code:
        """One of FACTS."""
        fact, zone = FACTS[name], self.zone
        self.reads.add(name)
        slot = self.slots.of((name, str(zone)), lambda call: fact.read(call, zone))
        return Code(fact.type, ops.slot(slot), name, slot=slot)

    def group_set(self) -> int:
        """The slot of `user.groups` as a set."""
        return self.slots.of("user.groups as a set", groups)

    def impossible(self, path: str, value: Any) -> str:
        """Why the fact `path` is never equal to a constant; "" where it may be."""
        if not isinstance(value, str):
            return ""
        if path == "user.id":
            try:
                form = self.person(value)
            except Problem:
                return ""
            return "" if form == value else f"user.id is never {value!r} (did you mean {form!r}?)"
        fact = FACTS.get(path)
        if fact is None or not fact.values or value in fact.values:
            return ""
        never = "never holds" if fact.type.kind == "list" else "is never"
        return f"{path} {never} {value!r}{suggestion(value, list(fact.values))}"

    def uncounted(self, path: str, value: Any) -> str:
        """Why comparing the fact `path` with a constant does not say what it seems to; "" where it does."""
        most = FACTS[path].most if path in FACTS else None
        if most is None or value is COMPUTED or value < most:
            return ""
        return f"{path} is counted up to {most} and no further: compare it with less"

    def root(self, name: str, variables: list[str], at: int) -> Code:
        """A name that stands alone. Raises Mistake."""
        if name == "labels":
            if self.labels is None:
                raise Mistake("a label's condition may not read labels", at)
            self.reads.add(name)
            return Code(FACTS[name].type, ops.all_labels, name)
        if name in FACTS:
            return self.fact(name)
        if name in ROOTS:
            fields = [fact for fact in FACTS if fact.startswith(f"{name}.")] or ["params.NAME"]
            raise Mistake(f"'{name}' is no value: name one of its fields ({', '.join(fields)})", at)
        raise Mistake(f"unknown name {name!r}{suggestion(name, [*ROOTS, *variables])}", at)

    def of_root(self, root: str, name: str, at: int) -> Code:
        """`root.name`, a fact or a parameter. Raises Mistake."""
        if root == "params":
            if name in self.hidden:
                raise Mistake(f"no field {name!r}: {self.hidden[name]}", at)
            return self.parameter((), "params", self.params, name, at)
        if f"{root}.{name}" in FACTS:
            return self.fact(f"{root}.{name}")
        names = [fact.partition(".")[2] for fact in FACTS if fact.startswith(f"{root}.")]
        raise Mistake(f"no field {name!r}{suggestion(name, names)}", at)

    def parameter(self, keys: tuple[str, ...], path: str, record: Type, name: str, at: int) -> Code:
        """A field among the parameters, at a place that is known at load. Raises Mistake."""
        found = field_type(record, name, at)
        keys, path = (*keys, name), f"{path}.{name}"
        self.reads.add(path)
        convert, untyped = converter(found), found.kind == "any"

        def read(call: Call) -> Any:
            value: Any = call.params
            below = "params"
            for key in keys[:-1]:
                below = f"{below}.{key}"
                value = pick(value, key, below, untyped=False)
            return _converted(convert, pick(value, keys[-1], path, untyped=untyped), path)

        def own(call: Call) -> Any:
            """`read` of what most conditions name: a parameter itself, which is there."""
            value = call.params.get(name)
            return read(call) if value is None else _converted(convert, value, path)

        slot = self.slots.of((keys, found), read if len(keys) > 1 else own)
        return Code(found, ops.slot(slot), path, slot=slot, keys=keys if found.kind == "record" else None)


def computed_field(record: Code, name: str, at: int) -> Code:
    """A field of a record that is known only while the condition runs; what is long costs loop steps."""
    found = field_type(record.type, name, at)
    convert, run, path = converter(found), record.run, f"{record.path}.{name}"
    untyped = found.kind == "any"

    def select(frame: Frame) -> Any:
        value = pick(run(frame), name, path, untyped=untyped)
        if (cost := weight(value)) > 0:
            frame.spend(cost)
        return _converted(convert, value, path)

    return Code(found, select, path)


def field_type(record: Type, name: str, at: int) -> Type:
    """The type of a record's field. Raises Mistake where it has no such field."""
    found = record.field(name)
    if found is None:
        raise Mistake(f"no field {name!r}{suggestion(name, [field.name for field in record.fields])}", at)
    return found.type


def pick(record: Any, name: str, path: str, *, untyped: bool) -> Any:
    """The value of a field as it came. Raises Bad where it is absent: null is absence, but for untyped values."""
    # (An abstract class takes ten times as long to ask as a dict, which it nearly always is.)
    fields: Mapping[str, Any] = record if type(record) is dict or isinstance(record, Mapping) else {}
    value = fields.get(name)
    if value is None and not (untyped and name in fields):
        raise Bad(f"{path} is absent")
    return value


def present(record: Mapping[str, Any], name: str, *, untyped: bool) -> bool:
    """Whether `pick` would find the field."""
    return record.get(name) is not None or (untyped and name in record)


def suggestion(name: str, names: list[str]) -> str:
    """`" (did you mean 'x'?)"`, or what there is."""
    found = did_you_mean(name, names)
    return found or (f" (there are: {', '.join(sorted(names))})" if names else " (there are none)")


def _converted(convert: Callable[[Any], Any], value: Any, path: str) -> Any:
    try:
        return convert(value)
    except Bad as bad:
        raise Bad(f"{path}: {bad}") from None
