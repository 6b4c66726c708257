"""What an approver could not read is a fault of `connectors check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from jit_auth.catalog.check import unreadable
from tests.unit.catalog.kit import ACTION, mailhub


@pytest.mark.parametrize(
    ("param", "why"),
    [
        ("a = {}", "a value without a type"),
        ("a = { type = 'object' }", "a free-form object"),
        ("a = { type = 'object', additionalProperties = true }", "a free-form object"),
        ("a = { type = ['object', 'null'] }", "a free-form object"),
        ("a = { type = 'string', contentEncoding = 'base64' }", "is encoded"),
        ("a = { type = 'array' , items = {} }", "a value without a type"),
        ("a = { type = 'object', properties = { b = { type = 'object' } } }", "a free-form object"),
        ("a = { anyOf = [{ type = 'string' }, { type = 'object' }] }", "a free-form object"),
    ],
)
def test_unreadable_parameters_of_a_write_are_named(tmp_path: Path, param: str, why: str) -> None:
    text = ACTION + "[actions.send.params]\n" + param
    (fault,) = unreadable(mailhub(tmp_path, action=text), "mailhub")
    assert (fault.line, why in fault.message) == (18, True)
    shown = text.replace("a = {", "a = { as = 'opaque',", 1).replace(",}", " }")
    assert unreadable(mailhub(tmp_path, action=shown), "mailhub") == []
    query = (
        text.replace("POST", "GET").replace("create", "read").replace("[actions.send.params]\n", "").split("a = ")[0]
    )
    assert unreadable(mailhub(tmp_path, action=query), "mailhub") == []


@pytest.mark.parametrize(
    "param",
    [
        "a = { type = 'string' }",
        "a = { enum = ['x'] }",
        "a = { type = 'array', items = { type = 'string' } }",
        "a = { type = 'object', properties = { b = { type = 'string' } } }",
        "a = { type = 'string', allOf = [{ minLength = 1 }] }",
        "a = { anyOf = [{ type = 'string' }, { type = 'integer' }] }",
    ],
)
def test_readable_parameters_are_fine(tmp_path: Path, param: str) -> None:
    catalog = mailhub(tmp_path, action=ACTION + "[actions.send.params]\n" + param)
    assert unreadable(catalog, "mailhub") == []
