"""What is JSON at our door: RFC 7493, our limits, and one reading of every body."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.digest import parse_json
from jit_auth.errors import BadRequest

LARGEST = 2**53 - 1

TEXT = st.text(
    alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\0").filter(
        lambda c: not (0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE)
    ),
    max_size=8,
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)


def depth(value: Any) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"1",
        b"{}{}",
        b"{} x",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":"\x01"}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":1,"a":1}',
        b'{"a":1,"a":5000}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":[{"b":1,"\\u0062":2}]}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":-1e999}',
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
        b'{"a":12345678901234567890123}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\u0000"}',
        b'{"\\u0000":1}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xff"}',
        '{"a":"\uffff"}'.encode(),
        '{"a":"\ufdd0"}'.encode(),
        '{"a":"\U0010fffe"}'.encode(),
        b'{"a":"\\uffff"}',
        b'{"a":"\\ufdef"}',
        b'{"a":"\\ud83f\\udffe"}',
        b'{"a":' + b"[" * 16 + b"]" * 16 + b"}",
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
    ],
)
def test_unusable_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_json(body)
    assert refused.value.code == "bad_json"
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' { "a" : 1 } \n', {"a": 1}),
        (b'{"a":1e21}', {"a": 1e21}),
        (b'{"a":9007199254740991}', {"a": LARGEST}),
        (b'{"a":-9007199254740991}', {"a": -LARGEST}),
        (b'{"a":9007199254740993.0}', {"a": 9007199254740992.0}),
        (b'{"a":1.0,"b":-0.0,"c":1E2}', {"a": 1.0, "b": -0.0, "c": 100.0}),
        (b'{"a":1e-400}', {"a": 0.0}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":"1234567890123456789"}', {"a": "1234567890123456789"}),
        (b'{"a":"\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a":' + b"[" * 15 + b"]" * 15 + b"}", None),
        ('{"é":"\u202e"}'.encode(), {"é": "\u202e"}),
    ],
)
def test_usable_json_is_read(body: bytes, value: dict[str, Any] | None) -> None:
    assert parse_json(body) == (json.loads(body) if value is None else value)


@given(OBJECTS)
def test_any_writing_of_an_object_reads_as_that_object(value: dict[str, Any]) -> None:
    fits = depth(value) <= 16
    for body in (
        msgspec.json.encode(value),
        json.dumps(value).encode(),
        json.dumps(value, ensure_ascii=False, indent=1).encode(),
    ):
        if fits:
            assert parse_json(body) == value
        else:
            with pytest.raises(BadRequest):
                parse_json(body)


@given(OBJECTS, TEXT)
def test_a_name_that_occurs_twice_is_refused_at_any_depth(value: dict[str, Any], name: str) -> None:
    member = json.dumps(name, ensure_ascii=False) + ":1"
    inner = json.dumps(value, ensure_ascii=False)
    for body in (f"{{{member},{member}}}", f'{{"x":[{inner},{{{member},"{name and ""}y":2,{member}}}]}}'):
        with pytest.raises(BadRequest):
            parse_json(body.encode())


@pytest.mark.parametrize("before", range(16))
def test_a_long_integer_is_refused_wherever_it_stands(before: int) -> None:
    for number in (LARGEST + 2, -LARGEST - 2):
        body = b'{"a":"%b","b":[%d]}' % (b"x" * before, number)
        with pytest.raises(BadRequest):
            parse_json(body)
    body = b'{"a":"%b","b":[%d]}' % (b"x" * before, LARGEST)
    assert parse_json(body)["b"] == [LARGEST]


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0123456789.eE+-\\uadDf \n', max_size=60).map(str.encode))
def test_whatever_comes_is_read_as_the_standard_library_reads_it_or_refused(body: bytes) -> None:
    try:
        value = parse_json(body)
    except BadRequest:
        return
    assert value == json.loads(body.decode())
    assert depth(value) <= 16


@given(st.integers() | st.floats())
def test_numbers_pass_exactly_when_they_are_finite_doubles(number: float) -> None:
    literal = json.dumps(number)
    body = f'{{"n":{literal}}}'.encode()
    fits = abs(number) <= LARGEST if isinstance(number, int) else math.isfinite(number)
    if fits:
        assert parse_json(body)["n"] == number
    else:
        with pytest.raises(BadRequest):
            parse_json(body)
