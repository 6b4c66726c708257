"""The functions of conditions as closures over a Frame: on strings, on lists, and the loops with CEL's error rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jit_auth.policy.ops import Run
from jit_auth.policy.strings import email_domain
from jit_auth.policy.values import Bad, Frame


def contains(whole: Run, part: Run) -> Run:
    """A step for every 4,096 characters searched."""

    def contains_(frame: Frame) -> bool:
        value = whole(frame)
        sought = part(frame)
        if len(value) > 4095:
            frame.spend(len(value) >> 12)
        return sought in value

    return contains_


def starts(whole: Run, part: Run) -> Run:
    """`startsWith`."""
    return lambda frame: whole(frame).startswith(part(frame))


def starts_slot(number: int, part: str) -> Run:
    """`starts` of a fact and a constant: one call instead of three (see `ops.compare_slot`)."""
    return lambda frame: frame[number].startswith(part)


def ends(whole: Run, part: Run) -> Run:
    """`endsWith`."""
    return lambda frame: whole(frame).endswith(part(frame))


def ends_slot(number: int, part: str) -> Run:
    """`ends` of a fact and a constant."""
    return lambda frame: frame[number].endswith(part)


def size(part: Run) -> Run:
    """Elements of a list, code points of a string (in NFC)."""
    return lambda frame: len(part(frame))


def domain(part: Run) -> Run:
    """`email_domain`: of exactly one plain address (THREAT_MODEL 33)."""

    def domain_(frame: Frame) -> str:
        found = email_domain(part(frame))
        if found is None:
            raise Bad("email_domain takes exactly one plain address")
        return found

    return domain_


def item(base: Run, index: Run, path: str) -> Run:
    """`list[index]`, from 0; beyond either end is an error."""

    def item_(frame: Frame) -> Any:
        values, at = base(frame), index(frame)
        if 0 <= at < len(values):
            return values[at]
        raise Bad(f"{path}: index out of range")

    return item_


def items(parts: Sequence[Run]) -> Run:
    """A list of what is computed."""
    return lambda frame: tuple([part(frame) for part in parts])


def exists(base: Run, variable: int, body: Run) -> Run:
    """True if the body is for one element, whatever is in error for others; a step for each element."""
    return _quantifier(base, variable, body, stop=True)


def every(base: Run, variable: int, body: Run) -> Run:
    """`all`: false if the body is for one element, whatever is in error for others."""
    return _quantifier(base, variable, body, stop=False)


def _quantifier(base: Run, variable: int, body: Run, *, stop: bool) -> Run:
    def run(frame: Frame) -> bool:
        bad: Bad | None = None
        for value in base(frame):
            frame.spend(1)
            frame[variable] = value
            try:
                found: bool = body(frame)
                if found is stop:
                    return found
            except Bad as error:
                bad = error
        if bad is not None:
            raise bad
        return not stop

    return run


def exists_one(base: Run, variable: int, body: Run) -> Run:
    """True if the body is for exactly one element; in error if it is for any."""

    def run(frame: Frame) -> bool:
        count = 0
        for value in base(frame):
            frame.spend(1)
            frame[variable] = value
            count += body(frame) is True
        return count == 1

    return run
