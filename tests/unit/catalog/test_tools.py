"""Tool names: legal, stable, one each; nothing of what an agent may not use shows in them."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from jit_auth.catalog.tools import full_name, own_params, tool_name, tool_names, tool_params

PART = r"[a-z0-9](?:[a-z0-9_-]{0,46}[a-z0-9])?"
ACTIONS = st.builds(
    "{}.{}".format,
    st.from_regex(PART, fullmatch=True),
    st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,46}[A-Za-z0-9])?", fullmatch=True),
)
AMBIGUOUS = st.lists(st.sampled_from(["a", "b", "_", "__", "-", "x" * 20]), min_size=1, max_size=5).map("".join)
CLOSE = st.builds("{0}0.0{1}".format, AMBIGUOUS.map(lambda part: "a" + part), AMBIGUOUS.map(lambda part: part + "0"))
KEYS = st.from_regex(r"[A-Za-z0-9_$@.\[\]-]{1,64}", fullmatch=True)


def test_the_usual_name() -> None:
    assert tool_name("mailhub.send_message") == "mailhub__send_message"


@given(st.sets(ACTIONS | CLOSE, max_size=30))
@example({"a.b__c", "a__b.c", "a_0.0b", "a.0_b"})
@example({"x" * 48 + "." + "y" * 48, "x" * 48 + "." + "y" * 47 + "z"})
def test_tool_names_are_legal_stable_and_one_each(actions: set[str]) -> None:
    names = {action: tool_name(action) for action in actions}
    assert len(set(names.values())) == len(actions)
    for action, name in names.items():
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)
        assert tool_names([action]) == {name: action}  # whatever else is loaded
        assert full_name(name, tool_names(actions), actions) == action
        assert full_name(action, tool_names(actions), actions) == action


@given(ACTIONS | CLOSE)
def test_a_tool_name_tells_nobody_what_exists(action: str) -> None:
    name = tool_name(action)
    assert full_name(name, {name: action}, frozenset()) == full_name(name, {}, frozenset())


@given(st.sets(KEYS, max_size=8))
@example({"$top", "_top", "@top"})
def test_parameters_get_keys_that_are_accepted_and_find_their_way_back(names: set[str]) -> None:
    renamed = tool_params(sorted(names))
    given_by = {own: name for name, own in renamed.items()}
    keys = [given_by.get(name, name) for name in names]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", key) for key in keys)
    assert len(set(keys)) == len(names)
    assert own_params({given_by.get(name, name): name for name in names}, renamed) == {name: name for name in names}
    assert own_params({name: name for name in names}, renamed) == {name: name for name in names}


def test_one_that_is_given_under_both_names_is_not_guessed() -> None:
    assert own_params({"$top": 1, "_top": 2}, {"_top": "$top"}) == {"$top": 1, "_top": 2}
