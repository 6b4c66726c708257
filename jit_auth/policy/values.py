"""Values while a condition runs: errors, the frame that facts are read into, conversion by type, equality."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jit_auth.policy.lex import INT_MAX, INT_MIN
from jit_auth.policy.strings import TooComposed, normal
from jit_auth.policy.types import Type

MOST_STEPS = 10_000
"""Loop steps of one decision, all its rules together."""

_DECIMAL = re.compile(r"-?[0-9]{1,19}")

Convert = Callable[[Any], Any]
Read = Callable[[Any], Any]


class Bad(Exception):
    """A condition (or a part of it) is in error: it has no value. The text holds no value of the call."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a call: those it surely has, and those whose condition could not be told."""

    known: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


NO_LABELS = Labels()


class Frame(dict[int, Any]):
    """What one decision knows: facts by slot, each read when it is first asked for, and the loops' variables.

    `steps` are the loop steps left. A fact that could not be read is not tried again.
    """

    __slots__ = ("call", "failed", "labels", "reads", "steps")

    call: Any
    reads: Sequence[Read]
    steps: int
    failed: dict[int, str] | None
    labels: Labels

    def __missing__(self, slot: int) -> Any:
        if self.failed is not None and slot in self.failed:
            raise Bad(self.failed[slot])
        try:
            value = self[slot] = self.reads[slot](self.call)
        except Bad as bad:
            if self.failed is None:
                self.failed = {}
            self.failed[slot] = str(bad)
            raise
        return value

    def spend(self, steps: int) -> None:
        """Use up loop steps. Raises Bad where there are none left."""
        self.steps -= steps
        if self.steps < 0:
            raise Bad(f"more than {MOST_STEPS} loop steps in one decision")


def frame(call: Any, reads: Sequence[Read]) -> Frame:
    """An empty frame for one decision."""
    made = Frame()
    made.call = call
    made.reads = reads
    made.steps = MOST_STEPS
    made.failed = None
    made.labels = NO_LABELS
    return made


def text(value: Any) -> str:
    """A string of the call as conditions see it: in NFC."""
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            return normal(value)
        except TooComposed as error:
            raise Bad(str(error)) from None
    raise Bad("not a string")


def integer(value: Any) -> int:
    """An int of 64 bits: also from 5.0 (an integer to JSON Schema) and from a decimal string (format int64)."""
    if type(value) is not int:
        whole = value.is_integer() if type(value) is float else type(value) is str and _DECIMAL.fullmatch(value)
        if not whole:
            raise Bad("not an integer")
        value = int(value)
    if INT_MIN <= value <= INT_MAX:
        return int(value)
    raise Bad("an integer beyond 64 bits")


def double(value: Any) -> float:
    """A finite double: 100 is 100.0; an integer that no double holds is an error, never another number."""
    if type(value) is int:
        try:
            made = float(value)
        except OverflowError:
            raise Bad("a number beyond the doubles") from None
        if made == value:
            return made
        raise Bad("a number that no double holds")
    if type(value) is float and value - value == 0.0:
        return value
    raise Bad("not a finite number")


def boolean(value: Any) -> bool:
    """true or false, nothing else."""
    if value is True or value is False:
        return bool(value)
    raise Bad("neither true nor false")


def _same(value: Any) -> Any:
    return value


def _record(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    raise Bad("not an object")


_CONVERT: Mapping[str, Convert] = {
    "string": text, "int": integer, "double": double, "bool": boolean, "any": _same, "record": _record,
}  # fmt: skip


def converter(type_: Type) -> Convert:
    """What turns a JSON value into the value that conditions of this type see; lists become tuples. Raises Bad."""
    if type_.kind != "list" or type_.item is None:
        base = _CONVERT[type_.kind]
    else:
        item = converter(type_.item)

        def base(value: Any) -> tuple[Any, ...]:
            if isinstance(value, list | tuple):
                return tuple([item(one) for one in value])
            raise Bad("not a list")

    if not type_.nullable:
        return base
    return lambda value: None if value is None else base(value)


def weight(value: Any) -> int:
    """The loop steps that converting `value` costs: only what is long, so that no loop multiplies it unseen."""
    if isinstance(value, str):
        return 0 if value.isascii() else len(value) >> 6
    if isinstance(value, list | tuple):
        return (len(value) >> 4) + sum([weight(one) for one in value])
    return 0


def same(frame: Frame, left: Any, right: Any) -> bool:
    """Equality of JSON values: by type, numbers by exact value, strings in NFC, lists and objects by their parts."""
    if isinstance(left, str) and isinstance(right, str):
        frame.spend(weight(left) + weight(right))
        return text(left) == text(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right):
            return False
        frame.spend(1 + (len(left) >> 4))
        return all(same(frame, one, other) for one, other in zip(left, right, strict=True))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        if len(left) != len(right):
            return False
        frame.spend(1 + (len(left) >> 4))
        if left.keys() != right.keys():
            return False
        return all(same(frame, value, right[key]) for key, value in left.items())
    return left is None and right is None
