"""Parameters at the door: closed schemas, enforced formats, faults with pointers, defaults."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.catalog import schema as schemas
from jit_auth.catalog.validate import Validate, compiled
from jit_auth.errors import Unprocessable
from jit_auth.model import Param
from jit_auth.policy.strings import email_domain
from tests.unit.catalog.kit import ACTION, mailhub


def door(**params: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return Validate([
        Param(name=name, schema=schemas.closed({k: v for k, v in given.items() if k != "needed"}),
              required=given.get("needed", False))
        for name, given in params.items()
    ])  # fmt: skip


def refused(check: Callable[[dict[str, Any]], dict[str, Any]], params: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(Unprocessable) as wrong:
        check(params)
    assert wrong.value.code == "invalid_params"
    return [(fault["pointer"], fault["message"]) for fault in wrong.value.members["faults"]]


def test_each_fault_has_its_pointer() -> None:
    check = door(
        to={"type": "array", "items": {"type": "string", "format": "email"}, "needed": True},
        subject={"type": "string", "maxLength": 3},
        deep={"type": "object", "properties": {"a/b": {"type": "integer"}}},
    )
    assert sorted(refused(check, {"subject": "long", "sbuject": 1, "deep": {"a/b": "x", "c~d": 1}})) == [
        ("/params/deep/a~1b", 'the value is not of type "integer"'),
        ("/params/deep/c~0d", "is not allowed here"),
        ("/params/sbuject", "is no parameter (did you mean 'subject'?)"),
        ("/params/subject", "the value is longer than 3 characters"),
        ("/params/to", "is required"),
    ]
    assert refused(check, {"to": ["a@b.example", "x"]}) == [
        ("/params/to/1", "is not exactly one plain address (name@example.com)")
    ]


def test_an_action_without_parameters_takes_none() -> None:
    assert door()({}) == {}
    assert refused(door(), {"x": 1}) == [("/params/x", "is no parameter")]


def test_a_refusal_repeats_no_value() -> None:
    secret = "s3cr3t-value"
    check = door(
        a={"type": "integer"}, b={"enum": ["x"]}, c={"type": "string", "pattern": "^x$"}, d={"format": "uri"},
        e={"type": "string", "maxLength": 1}, f={"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        g={"type": "array", "uniqueItems": True}, h={"const": 1}, i={"type": "object", "properties": {}},
    )  # fmt: skip
    params = dict.fromkeys("abcdefh", secret) | {"g": [secret, secret], "i": secret}
    with pytest.raises(Unprocessable) as wrong:
        check(params)
    assert secret not in json.dumps(wrong.value.members) + wrong.value.message + wrong.value.hint
    assert len(wrong.value.members["faults"]) == 9


def test_the_list_of_faults_is_bounded() -> None:
    found = refused(door(a={"type": "string"}), {f"x{n}" * 200: 1 for n in range(1000)})
    assert len(found) == 20
    assert len(json.dumps(found)) < 10_000


ADDRESSES = st.emails() | st.text(alphabet='aA.@-" <>,\u3002é\n\0+/', max_size=12).map(lambda t: t + "@ours.example")


@given(ADDRESSES | st.text(max_size=10))
def test_the_format_email_is_the_policys_email_domain(text: str) -> None:
    fits = True
    try:
        door(to={"type": "string", "format": "email"})({"to": text})
    except Unprocessable:
        fits = False
    assert fits == (email_domain(text) is not None) == schemas.is_email(text)


@pytest.mark.parametrize(
    "text",
    ["a@evil.example,b@ours.example", '"a@ours.example"@evil.example', "Bob <a@evil.example>", "a@ours.example.",
     "a@ours", "a@ours。example", " a@ours.example", "a@ours.example\n", "a@b@c.example", "x" * 250 + "@x.de"],
)  # fmt: skip
def test_addresses_on_which_parsers_disagree_are_refused(text: str) -> None:
    assert refused(door(to={"type": "string", "format": "email"}), {"to": text})


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date-time", "2026-11-24T10:00:00Z", "2026-11-24"),
        ("date", "2026-11-24", "2026-13-24"),
        ("time", "10:00:00Z", "10:00"),
        ("duration", "PT1H", "1h"),
        ("uri", "https://x.example/a", "a b"),
        ("uri-reference", "/a", "a b"),
        ("uuid", "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d", "2c5e"),
        ("ipv4", "10.0.0.1", "10.0.0"),
        ("ipv6", "::1", ":::"),
        ("hostname", "x.example", "-x"),
        ("json-pointer", "/a", "a"),
        ("email", "a@x.example", "a"),
        ("int64", "9223372036854775807", "9223372036854775808"),
        ("int64", "-9223372036854775808", "-9223372036854775809"),
        ("int64", "0", "00"),
        ("int64", "-1", "-0"),
        ("int64", "12", "1e1"),
        ("int64", "12", "+12"),
        ("int64", "12", "١٢"),
    ],
)
def test_formats_are_enforced(form: str, good: str, bad: str) -> None:
    check = door(a={"type": "string", "format": form})
    assert check({"a": good}) == {"a": good}
    assert refused(check, {"a": bad})
    assert form in schemas.FORMATS


def test_a_64_bit_integer_is_taken_as_a_string_and_sent_as_the_api_wants_it(tmp_path: Path) -> None:
    text = (
        ACTION + 'params.n = { type = "integer", format = "int64" }\nparams.s = { type = "string", format = "int64" }'
    )
    operation = mailhub(tmp_path, action=text).actions["mailhub.send"]
    assert operation.action.params[0].schema == {"type": "string", "format": "int64"}
    params = operation.validate({"n": "9007199254740993", "s": "9007199254740993"})
    assert params == {"n": "9007199254740993", "s": "9007199254740993"}
    request = operation.build(params, {}, "exe_1", 0)
    assert request.body == b'{"n":9007199254740993,"s":"9007199254740993"}'
    assert refused(operation.validate, {"n": 1})


NESTED = {
    "type": "object",
    "properties": {
        "a": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "integer"}}}},
        "open": {"type": "object", "additionalProperties": {"type": "integer"}},
        "free": {"type": "object", "additionalProperties": True},
        "either": {
            "anyOf": [
                {"type": "object", "properties": {"x": {"type": "object", "properties": {}}}, "required": ["x"]},
                {"properties": {"y": {}}, "required": ["y"]},
            ]
        },
        "maybe": {"type": ["object", "null"], "properties": {"z": {}}},
    },
}


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ({}, True),
        ({"q": 1}, False),
        ({"a": [{"b": 1}]}, True),
        ({"a": [{"b": 1, "c": 2}]}, False),
        ({"open": {"any": 1}}, True),
        ({"open": {"any": "x"}}, False),
        ({"free": {"any": {"thing": 1}}}, True),
        ({"either": {"x": {}}}, True),
        ({"either": {"y": 1}}, True),
        ({"either": {"x": {}, "q": 1}}, False),
        ({"either": {"x": {"q": 1}}}, False),
        ({"maybe": None}, True),
        ({"maybe": {"q": 1}}, False),
    ],
)
def test_objects_are_closed_unless_their_schema_says_otherwise(value: Any, fits: bool) -> None:
    check = door(v=NESTED)
    if fits:
        assert check({"v": value}) == {"v": value}
    else:
        assert refused(check, {"v": value})


def test_defaults_are_filled_in_at_any_depth_and_never_shared() -> None:
    check = door(
        a={"type": "array", "items": {"type": "integer"}, "default": [1]},
        b={"type": "object", "properties": {"c": {"type": "string", "default": "x"}, "d": {"type": "integer"}}},
        e={"type": "array", "items": {"type": "object", "properties": {"f": {"type": "boolean", "default": False}}}},
        g={"type": "string", "default": "y", "needed": True},
    )
    given_ = {"b": {"d": 1}, "e": [{}, {"f": True}]}
    before = copy.deepcopy(given_)
    first = check(given_)
    assert first == {"b": {"d": 1, "c": "x"}, "e": [{"f": False}, {"f": True}], "a": [1], "g": "y"}
    assert given_ == before
    first["a"].append(2)
    assert check({})["a"] == [1]
    assert check({}) == {"a": [1], "g": "y"}


def test_whole_numbers_are_integers() -> None:
    check = door(n={"type": "integer"}, x={"type": "number"}, deep={"type": "array", "items": {"type": "number"}})
    made = check({"n": 1.0, "x": 100.0, "deep": [2.0, 2.5, -0.0]})
    assert made == {"n": 1, "x": 100, "deep": [2, 2.5, 0]}
    assert [type(value) for value in (made["n"], made["x"], *made["deep"])] == [int, int, int, float, int]
    assert refused(check, {"n": 1.5})
    assert refused(check, {"n": 1e21})
    assert check({"x": 1e21}) == {"x": 1e21}


NUMBERS = st.recursive(
    st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(NUMBERS)
def test_settling_numbers_changes_no_value(value: Any) -> None:
    assert schemas.whole(value) == value


def test_nothing_is_fetched() -> None:
    for schema in ({"$ref": "http://127.0.0.1:1/x"}, {"$ref": "file:///etc/passwd"}):
        with pytest.raises(ValueError, match="not fetched"):
            compiled(schema)


def test_patterns_take_linear_time() -> None:
    check = door(a={"type": "string", "pattern": "^(a+)+$"})
    assert refused(check, {"a": "a" * 60_000 + "!"})


def test_the_compiled_schema_is_json_schema() -> None:
    assert jsonschema_rs.meta.is_valid(schemas.compilable(schemas.closed(NESTED)))
