"""The operators of conditions as closures over a Frame: logic with CEL's error rules, comparison, arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jit_auth.policy.lex import INT_MAX, INT_MIN
from jit_auth.policy.strings import Folded
from jit_auth.policy.values import Bad, Frame, same, text

Run = Callable[[Frame], Any]

COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def always(value: Any) -> Run:
    """A constant."""
    return lambda frame: value


def slot(number: int) -> Run:
    """A fact, or the variable of a loop."""
    return lambda frame: frame[number]


def known(run: Run, path: str) -> Run:
    """The value, which may not be null."""

    def known_(frame: Frame) -> Any:
        value = run(frame)
        if value is None:
            raise Bad(f"{path} is null")
        return value

    return known_


# Logic. An operand in error is absorbed only where another one decides; else the whole is in error.


def both(parts: Sequence[Run]) -> Run:
    """`&&`: false if one is false, whatever is in error; else in error if one is."""
    if len(parts) == 2:
        first, second = parts

        def and_(frame: Frame) -> bool:
            try:
                if not first(frame):
                    return False
            except Bad:
                if not second(frame):
                    return False
                raise
            return bool(second(frame))

        return and_
    return _run_of(tuple(parts), stop=False)


def either(parts: Sequence[Run]) -> Run:
    """`||`: true if one is true, whatever is in error; else in error if one is."""
    if len(parts) == 2:
        first, second = parts

        def or_(frame: Frame) -> bool:
            try:
                if first(frame):
                    return True
            except Bad:
                if second(frame):
                    return True
                raise
            return bool(second(frame))

        return or_
    return _run_of(tuple(parts), stop=True)


def _run_of(parts: tuple[Run, ...], *, stop: bool) -> Run:
    def run(frame: Frame) -> bool:
        bad: Bad | None = None
        for part in parts:
            try:
                found: bool = part(frame)
                if found is stop:
                    return found
            except Bad as error:
                bad = error
        if bad is not None:
            raise bad
        return not stop

    return run


def negation(part: Run) -> Run:
    """`!`."""
    return lambda frame: not part(frame)


def choice(condition: Run, yes: Run, no: Run) -> Run:
    """`condition ? yes : no`: in error with its condition, else as the one that is chosen."""
    return lambda frame: yes(frame) if condition(frame) else no(frame)


# Comparison.


def compare(op: str, left: Run, right: Run) -> Run:
    """Strings by code point, numbers by exact value (which is what Python does with int and float)."""
    test = COMPARE[op]
    return lambda frame: test(left(frame), right(frame))


def compare_slot(op: str, number: int, value: Any) -> Run:
    """`compare` of a fact with a constant: what most conditions consist of, hence one call instead of three."""
    made: Mapping[str, Run] = {
        "==": lambda frame: frame[number] == value,
        "!=": lambda frame: frame[number] != value,
        "<": lambda frame: frame[number] < value,
        "<=": lambda frame: frame[number] <= value,
        ">": lambda frame: frame[number] > value,
        ">=": lambda frame: frame[number] >= value,
    }
    return made[op]


def equal(left: Run, right: Run, *, negate: bool) -> Run:
    """`==` and `!=` where a side is untyped or a record."""
    return lambda frame: same(frame, left(frame), right(frame)) is not negate


def in_set(left: Run, values: frozenset[Any]) -> Run:
    """`in` a list of constants."""
    return lambda frame: left(frame) in values


def in_slot(left: Run, number: int) -> Run:
    """`in` a fact that is a set."""
    return lambda frame: left(frame) in frame[number]


def in_list(left: Run, right: Run) -> Run:
    """`in` a list of plain values: a step for every 16 of them."""

    def in_(frame: Frame) -> bool:
        value, values = left(frame), right(frame)
        if len(values) > 15:
            frame.spend(len(values) >> 4)
        return value in values

    return in_


def in_list_slot(value: Any, number: int) -> Run:
    """`in_list` of a constant and a fact: one call instead of three (see `compare_slot`)."""

    def in_(frame: Frame) -> bool:
        values = frame[number]
        if len(values) > 15:
            frame.spend(len(values) >> 4)
        return value in values

    return in_


def in_labels(left: Run) -> Run:
    """`in labels`: in error where it depends on a label whose condition is."""

    def in_(frame: Frame) -> bool:
        value, labels = left(frame), frame.labels
        if value in labels.unknown:
            raise Bad("it depends on a label whose condition is in error")
        return value in labels.known

    return in_


def all_labels(frame: Frame) -> tuple[str, ...]:
    """`labels` as a list, sorted."""
    if frame.labels.unknown:
        raise Bad("it depends on labels whose condition is in error")
    return tuple(sorted(frame.labels.known))


def in_untyped(left: Run, right: Run) -> Run:
    """`in` where a side is untyped or a record: a step for each element."""

    def in_(frame: Frame) -> bool:
        value, values = left(frame), right(frame)
        frame.spend(len(values))
        return any(same(frame, value, one) for one in values)

    return in_


# Arithmetic. An overflow is an error, as is a result that is no finite double.


def integers(first: Run, steps: Sequence[tuple[str, Run]]) -> Run:
    """A run of `+` and `-`, or of `*`, over ints of 64 bits."""
    todo = tuple((_ARITHMETIC[op], run) for op, run in steps)

    def run(frame: Frame) -> int:
        value: int = first(frame)
        for apply, operand in todo:
            value = apply(value, operand(frame))
            if not INT_MIN <= value <= INT_MAX:
                raise Bad("integer overflow")
        return value

    return run


def doubles(first: Run, steps: Sequence[tuple[str, Run]]) -> Run:
    """A run of `+` and `-`, or of `*`, over doubles."""
    todo = tuple((_ARITHMETIC[op], run) for op, run in steps)

    def run(frame: Frame) -> float:
        value: float = first(frame)
        for apply, operand in todo:
            value = apply(value, operand(frame))
            if value - value != 0.0:
                raise Bad("a number beyond the doubles")
        return value

    return run


def negative(part: Run, *, whole: bool) -> Run:
    """`-` before an int or a double."""

    def minus(frame: Frame) -> Any:
        value = part(frame)
        if whole and value == INT_MIN:
            raise Bad("integer overflow")
        return -value

    return minus


def joined(parts: Sequence[Run]) -> Run:
    """`+` of strings; the whole in NFC again."""

    def run(frame: Frame) -> str:
        found = [part(frame) for part in parts]
        whole = "".join(found)
        ascii_ = whole.isascii()
        frame.spend(len(whole) >> (12 if ascii_ else 6))
        if not ascii_:
            return text(whole)
        return whole if all(type(one) is str for one in found) else Folded(whole)

    return run


def chained(parts: Sequence[Run]) -> Run:
    """`+` of lists."""

    def run(frame: Frame) -> tuple[Any, ...]:
        whole: tuple[Any, ...] = ()
        for part in parts:
            whole += part(frame)
            frame.spend(len(whole) >> 4)
        return whole

    return run
