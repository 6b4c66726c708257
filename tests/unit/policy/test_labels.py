"""Labels: added before rules, unknown where their condition fails, and never a way to loosen (THREAT_MODEL 8, 18)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.model import Param

from .world import action, call, faults, policy, rule

STRENGTH = {"allow": 0, "require_approval": 1, "deny": 2}
FAILS = "params.to[5] == 'x'"
"""In error for every list that is short."""


def labelled(name: str, when: str) -> str:
    return f'[[label]]\nid = "{name}"\nmatch = ["pay.list"]\nwhen = "{when}"\nadd = ["{name}"]\n'


def test_a_label_is_listed_and_read_by_rules() -> None:
    text = labelled("internal", "true") + labelled("odd", "false")
    text += rule("a", "allow", "pay.list", when="'internal' in labels && !('odd' in labels) && size(labels) == 1")
    found = policy(text).decide(call("pay.list"))
    assert (found.effect, found.labels) == ("allow", ("internal",))


def test_a_label_in_error_is_unknown_and_poisons_only_what_depends_on_it() -> None:
    text = labelled("sure", "true") + labelled("internal", FAILS.replace("params.to[5]", "agent.chain[9]"))
    for condition, effect in (
        ("'internal' in labels", "deny"),
        ("!('internal' in labels)", "deny"),
        ("'sure' in labels", "allow"),
        ("'sure' in labels || 'internal' in labels", "allow"),
        ("size(labels) > 0", "deny"),
        ("labels.exists(l, l == 'sure')", "deny"),
    ):
        found = policy(text + rule("a", "allow", "pay.list", when=condition)).decide(call("pay.list"))
        assert (found.effect, found.labels) == (effect, ("internal?", "sure")), condition


def test_a_rule_that_denies_by_an_unknown_label_denies_either_way() -> None:
    text = labelled("trusted", "agent.chain[9] == 'x'") + rule("a", "allow", "pay.list")
    for condition in ("'trusted' in labels", "!('trusted' in labels)"):
        assert policy(text + rule("b", "deny", "pay.list", when=condition)).decide(call("pay.list")).effect == "deny"
    exempt = rule("b", "deny", "pay.list", unless="'trusted' in labels")
    assert policy(text + exempt).decide(call("pay.list")).effect == "deny"


@given(
    st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2),
    st.sampled_from(["'x' in labels", "!('x' in labels)", "'x' in labels && 'y' in labels",
                     "'x' in labels || 'y' in labels", "size(labels) == 1", "'y' in labels"]),
    st.sampled_from(["allow", "require_approval", "deny"]),
    st.sampled_from(["when", "unless"]),
)  # fmt: skip
def test_an_error_in_a_label_is_never_weaker_than_either_of_its_values(
    failing: list[str], condition: str, effect: str, key: str
) -> None:
    def decided(values: dict[str, str]) -> int:
        text = "".join(labelled(name, values.get(name, "true")) for name in ("x", "y"))
        text += rule("base", "allow", "pay.list") if effect != "allow" else ""
        text += rule("r", effect, "pay.list", **{key: condition})
        return STRENGTH[policy(text).decide(call("pay.list")).effect]

    error = decided(dict.fromkeys(failing, "agent.chain[9] == 'x'"))
    for first in ("true", "false"):
        for second in ("true", "false"):
            assert error >= decided(dict(zip(failing, (first, second), strict=False)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (labelled("x", "'y' in labels"), "a label's condition may not read labels"),
        (labelled("x", "true") * 2, "id: there is another label 'x'"),
        (labelled("x", "true").replace('add = ["x"]', "add = []"), "add: is empty"),
        (labelled("x", "true").replace("pay.list", "nosuch"), "fits no known action"),
        (rule("a", "deny", "pay.list", when="'interal' in labels") + labelled("internal", "true"),
         "no label adds 'interal' (did you mean 'internal'?)"),
    ],
)  # fmt: skip
def test_faulty_labels(text: str, message: str) -> None:
    assert any(message in one for one in faults(text)), faults(text)


def test_what_nobody_can_read_is_labelled_opaque_by_itself() -> None:
    text = rule("a", "allow", "pay.list")
    made = policy(text)
    base = action("pay.list")
    params = (Param(name="blob", schema={"type": "string"}, shown="opaque"), Param(name="text", schema={}))
    marked = msgspec.structs.replace(base, params=params)
    for given_params, labels in (
        ({}, ()),
        ({"text": "x" * 4096}, ()),
        ({"text": "x" * 4097}, ("opaque",)),
        ({"text": "\u20ac" * 1400}, ("opaque",)),
        ({"text": {"deep": ["x" * 5000]}}, ("opaque",)),
        ({"blob": ""}, ("opaque",)),
    ):
        found = made.decide(msgspec.structs.replace(call("pay.list"), action=marked, params=given_params))
        assert found.labels == labels, given_params
