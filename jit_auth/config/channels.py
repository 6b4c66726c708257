"""[channels.*]: each table judged by its channel's own Struct, its secrets resolved. Knows no channel by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, get_args

from msgspec import Struct
from msgspec.structs import fields, force_setattr, replace

from jit_auth.config.secret import Secret, SecretTable
from jit_auth.core.toml import Document, Path, convert, did_you_mean
from jit_auth.errors import Fault, Faults

Resolve = Callable[[Secret, Path], str]
"""The text of the secret at a path; "" where it could not be resolved, which has been told."""


def gather_channels(
    tables: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, type[Struct]],
    document: Document,
    resolve: Resolve,
    *,
    secrets: bool = True,
) -> tuple[dict[str, Struct], list[Fault]]:
    """The settings of each channel, and what is wrong. With `secrets` False every secret is empty.

    `kinds` are the Structs of the channels there are; a field typed `Secret` (or `Secret | None`) becomes its text.
    """
    made: dict[str, Struct] = {}
    faults: list[Fault] = []
    for name, table in tables.items():
        at: Path = ("channels", name)
        if name not in kinds:
            faults.append(document.fault(at, f"unknown key {name!r} in [channels]{did_you_mean(name, kinds)}"))
            continue
        try:
            written = convert(document, kinds[name], at=at, value=dict(table))
        except Faults as wrong:
            faults.extend(wrong.faults)
            continue
        found = [
            (attribute, key, value)
            for attribute, key in secret_fields(kinds[name])
            if (value := getattr(written, attribute)) is not None
        ]
        if not secrets:
            made[name] = _emptied(written, [attribute for attribute, _, _ in found])
            continue
        texts = {attribute: resolve(value, (*at, key)) for attribute, key, value in found}
        if not all(texts.values()):
            continue
        try:
            made[name] = replace(written, **texts)
        except ValueError as error:  # it judges itself, and what a secret holds is known only now
            faults.append(document.fault(at, f"channels.{name}: {error}"))
    return made, faults


def secret_fields(kind: type[Struct]) -> list[tuple[str, str]]:
    """Attribute and key of each field that may hold a secret."""
    return [(field.name, field.encode_name) for field in fields(kind) if SecretTable in get_args(field.type)]


def _emptied(written: Struct, attributes: list[str]) -> Struct:
    """A copy with these fields empty, which is not asked whether it is fine: it is there to be looked at."""
    made = copy(written)
    for attribute in attributes:
        force_setattr(made, attribute, "")
    return made
