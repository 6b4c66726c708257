"""A policy file as it is written: its tables, and where in the file a character of a condition stands."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from jit_auth.core.toml import Document
from jit_auth.errors import Fault
from jit_auth.policy.lex import Mistake

Effect = Literal["allow", "require_approval", "deny"]
EFFECTS: tuple[Effect, ...] = ("allow", "require_approval", "deny")

_ESCAPED = {"u": 6, "U": 10}


class Defaults(Struct, frozen=True, kw_only=True):
    """[defaults]."""

    no_match: str | None = None
    timezone: str | None = None
    unknown_to: tuple[str, ...] | None = None


class EscalateTable(Struct, frozen=True, kw_only=True):
    """[rule.approval.escalate]."""

    after: str
    to: tuple[str, ...]
    counts: bool = False


class ApprovalTable(Struct, frozen=True, kw_only=True):
    """[rule.approval]."""

    of: tuple[str, ...] = msgspec.field(name="from")
    need: int = 1
    via: tuple[str, ...] | None = None
    expires: str = "1h"
    remind: str | None = None
    escalate: EscalateTable | None = None
    for_max: str | None = None
    max_uses: int = 10
    editable: tuple[str, ...] = ()
    passkey: bool = False


class RuleTable(Struct, frozen=True, kw_only=True):
    """[[rule]]."""

    id: str
    match: tuple[str, ...]
    effect: str
    when: str | None = None
    unless: str | None = None
    reason: str | None = None
    mode: str = "enforce"
    ignores: tuple[str, ...] = ()
    approval: ApprovalTable | None = None


class LabelTable(Struct, frozen=True, kw_only=True):
    """[[label]]."""

    id: str
    match: tuple[str, ...]
    when: str | None = None
    add: tuple[str, ...]


class ExpectTable(Struct, frozen=True, kw_only=True):
    """[test.expect]: what is left out is not compared."""

    effect: str | None = None
    rules: tuple[str, ...] | None = None
    need: dict[str, int] | None = None
    labels: tuple[str, ...] | None = None
    errors: tuple[str, ...] | None = None


class TestTable(Struct, frozen=True, kw_only=True):
    """[[test]]."""

    name: str
    action: str
    set: dict[str, Any] = {}
    expect: ExpectTable


class PolicyFile(Struct, frozen=True, kw_only=True):
    """A whole file; rules and tests are judged one by one, so that one fault does not hide the others."""

    format: Literal[1] = 1
    defaults: Defaults = Defaults()
    groups: dict[str, tuple[str, ...]] = {}
    label: tuple[dict[str, Any], ...] = ()
    rule: tuple[dict[str, Any], ...] = ()
    test_base: dict[str, Any] = {}
    test: tuple[dict[str, Any], ...] = ()


def located(document: Document, path: tuple[str | int, ...], text: str, mistake: Mistake) -> Fault:
    """A mistake in the condition `text`, written at `path`, with its line and column in the file.

    Where the string is written in a way that is not followed here (a long string with escapes), the line is that of
    its statement and the column that in the condition.
    """
    line, raw = document.source(*path)
    at = _offset(raw, str(path[-1]), text, mistake.at)
    if at is None:
        return Fault(document.file, line, mistake.message, column=mistake.at + 1)
    before = raw[:at]
    return Fault(
        document.file, line + before.count("\n"), mistake.message, column=at - (before.rfind("\n") + 1) + 1
    )  # fmt: skip


def _offset(raw: str, key: str, text: str, at: int) -> int | None:
    """Where in the statement `raw` the character `at` of the string `text` stands; None where that is not clear."""
    begin = max(raw.find(key), 0)
    for quote in ('"""', "'''", '"', "'"):
        found = raw.find(quote + text + quote, begin)
        if found < 0:
            found = raw.find(f"{quote}\n{text}{quote}", begin)
            found += found >= 0
        if found >= 0:
            return found + len(quote) + at
    quote_at = raw.find('"', begin)
    if quote_at < 0 or raw.startswith('"""', quote_at):
        return None
    here = quote_at + 1
    for _ in range(at):
        here += _ESCAPED.get(raw[here + 1 : here + 2], 2) if raw[here : here + 1] == "\\" else 1
    return here if here < len(raw) else None
