"""RFC 8785: the fast way and the reference implementation write the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.digest import canonical
from tests.unit.core_json.test_parse_json import LARGEST, VALUES

ASCII = st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=0x7F), max_size=6)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | st.text(st.characters(blacklist_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ASCII, inner, max_size=6),
)


@given(VALUES)
def test_canonical_is_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(PLAIN)
def test_the_fast_way_is_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_every_character_is_written_as_rfc_8785_has_it() -> None:
    text = "".join(chr(point) for point in range(0x3000) if not 0xD800 <= point <= 0xDFFF) + "\U0001f600\U0010ffff"
    assert canonical({"a": text}) == rfc8785.dumps({"a": text})


def test_names_are_sorted_by_utf_16_code_units() -> None:
    # RFC 8785, 3.2.3: U+1F600 begins with a surrogate and so comes before U+FB33.
    made = canonical({"\ufb33": 1, "\U0001f600": 2, "\r": 3, "1": 4}).decode()
    assert made == '{"\\r":3,"1":4,"\U0001f600":2,"\ufb33":1}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (333333333.33333329, "333333333.3333333"),
        (1e-7, "1e-7"),
        ((1, "a"), '[1,"a"]'),
    ],
)
def test_numbers_have_one_form(value: Any, text: str) -> None:
    assert canonical(value).decode() == text


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), {"a": [-(2**53)]}])
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the library's
        canonical(value)
