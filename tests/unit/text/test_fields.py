"""Summaries and fields: what people read of a call's parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.fields import Field, fields
from jit_auth.core.text import MASKED, NONE, summary, summary_of, summary_parts
from jit_auth.model import Action, Param

OPEN, CLOSE = "\u27e8", "\u27e9"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def action(*params: Param, show: tuple[str, ...] = (), template: str = "") -> Action:
    return Action(
        name="a.b",
        connector="a",
        provider="a",
        title="Do it",
        summary=template,
        show=show,
        method="POST",
        path="/",
        risk="high",
        effect="create",
        retry="never",
        params=params,
    )


def only(value: Any, **more: Any) -> Field:
    (field,) = fields(action(Param(name="p", schema={}, **more)), {"p": value})
    return field


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"to": ["x@y.example"], "subject": "hi"}, "Send to x@y.example: hi"),
        ({"to": ["a", "b"], "subject": "hi"}, "Send to a and b: hi"),
        ({"to": ["a", "b", "c"], "subject": "hi"}, "Send to a, b and c: hi"),
        ({"to": [], "subject": "hi"}, f"Send to {NONE}: hi"),
        ({"to": "a"}, f"Send to a: {NONE}"),
        ({"to": 1.0, "subject": True}, "Send to 1: true"),
        ({"to": {"x": 1, "y": 2}, "subject": None}, f"Send to {OPEN}2 values{CLOSE}: {NONE}"),
        ({"to": "{subject}", "subject": "{to}"}, "Send to {subject}: {to}"),
        ({"to": "a\r\nBcc: z", "subject": "x"}, f"Send to a{OPEN}U+000D{CLOSE}{OPEN}U+000A{CLOSE}Bcc: z: x"),
    ],
)
def test_summary_is_one_line_of_visible_values(params: dict[str, Any], line: str) -> None:
    assert summary("Send to {to}: {subject}", params, sensitive=()) == line


def test_sensitive_values_are_masked_and_never_in_a_summary() -> None:
    pin = action(Param(name="pin", schema={}, sensitive=True), template="Use {pin}, {pin}")
    assert summary_of(pin, {"pin": "1234"}) == f"Use {MASKED}, {MASKED}"
    assert summary("{pin}", {}, sensitive={"pin"}) == MASKED


def test_a_summary_says_how_much_it_leaves_out() -> None:
    long = summary("{x}", {"x": "a" * 1012}, sensitive=())
    assert long.endswith(f"{OPEN}812 more characters{CLOSE}")
    many = summary("{x}", {"x": [str(n) for n in range(51)]}, sensitive=())
    assert many.endswith(f"and {OPEN}31 more{CLOSE}")
    assert "50" not in many


def test_foreign_parts_of_a_summary_are_told_apart() -> None:
    parts = summary_parts("To {a}.", {"a": "x"}, sensitive=())
    assert [(part.text, part.foreign) for part in parts] == [("To ", False), ("x", True), (".", False)]


def test_fields_come_in_the_order_of_show_and_nothing_is_left_out() -> None:
    found = fields(
        action(*(Param(name=n, schema={}) for n in "abcd"), show=("c", "a", "absent")), {"a": 1, "b": 2, "c": 3, "x": 4}
    )
    assert [field.name for field in found] == ["c", "a", "b", "x"]


def test_a_field_has_its_whole_value_and_its_length_as_sent() -> None:
    text = "x" * 60_000 + "\u200b"
    field = only(text, sensitive=True)
    assert field.value_text == "x" * 60_000 + f"{OPEN}U+200B{CLOSE}"
    assert (field.length, field.sensitive, field.cut, field.kind) == (60_001, True, False, "text")


def test_the_51st_recipient_is_shown() -> None:
    people = [f"p{n}@ours.example" for n in range(50)] + ["z@evil.example"]
    field = only(people)
    assert [line.text for line in field.lines] == people
    assert field.length == 51


def test_a_line_feed_in_a_list_cannot_pose_as_another_item() -> None:
    field = only(["a@x.example\n2. b@x.example"])
    assert len(field.lines) == 1
    assert "\n" not in field.value_text


def test_objects_are_shown_value_by_value_with_unambiguous_paths() -> None:
    field = only({"a": {"b": [1, "x"], "c.d": {}, "1": None}, "": ""})
    assert [(line.path, line.text) for line in field.lines] == [
        ("a.b.1", "1"),
        ("a.b.2", "x"),
        ('a."c.d"', f"{OPEN}empty object{CLOSE}"),
        ('a."1"', "null"),
        ('""', f"{OPEN}empty text{CLOSE}"),
    ]


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        (True, "true", "true or false"),
        (None, "null", "nothing"),
        (1.0, "1", "number"),
        (1e21, "1e+21", "number"),
        (-0.5, "-0.5", "number"),
        ("5", "5", "text"),
        ([], f"{OPEN}empty list{CLOSE}", "list"),
        ({}, f"{OPEN}empty object{CLOSE}", "object"),
    ],
)
def test_scalars_are_shown_as_they_are_sent_with_their_type(value: Any, text: str, kind: str) -> None:
    field = only(value)
    assert (field.value_text, field.kind) == (text, kind)


def test_base64_is_shown_as_the_text_it_stands_for() -> None:
    assert only("aGVsbG8gd29ybGQ=", shown="base64").value_text == "hello world"
    assert only("aGVsbG8gd29ybGQ", shown="base64").decoded
    assert only("4oCu", shown="base64").value_text == f"{OPEN}U+202E{CLOSE}"
    for kept in ("/w==", "no base64!", "a"):
        assert only(kept, shown="base64").value_text == kept
        assert not only(kept, shown="base64").decoded


def test_a_host_name_is_shown_as_a_labels() -> None:
    (field,) = fields(action(Param(name="h", schema={"format": "hostname"})), {"h": "b\u00fccher.example"})
    assert field.value_text == "xn--bcher-kva.example"


def test_names_of_parameters_are_made_visible_too() -> None:
    (field,) = fields(action(), {"a\u202eb": 1})
    assert field.name == f"a{OPEN}U+202E{CLOSE}b"


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(leaves, value.values())) or 1
    if isinstance(value, list):
        return sum(map(leaves, value)) or 1
    return 1


@given(st.dictionaries(st.text(min_size=1, max_size=6), JSON, max_size=5))
def test_whatever_is_sent_has_a_line_for_every_value(params: dict[str, Any]) -> None:
    for field, value in zip(fields(action(), params), params.values(), strict=True):
        if isinstance(value, list | dict) and value:
            assert len(field.lines) == leaves(value)
            assert len({line.path for line in field.lines}) == leaves(value)
        json.dumps([field.value_text, field.name])
        field.value_text.encode()
