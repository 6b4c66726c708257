"""Doubts: rules that load and let more through than they seem to say, each with its place and its remedy."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.errors import Faults
from jit_auth.model import Action
from jit_auth.policy.guards import guaranteed
from jit_auth.policy.parse import parse
from jit_auth.policy.rules import load

from .world import ACTIONS, STRINGS, VALUES, action, call, examples, outcome, param, policy, quoted, rule

SEND = action(
    "mail.send",
    param("to", **STRINGS),
    param("cc", False, **STRINGS),
    param("subject", type="string"),
    param("kind", enum=["note", "Bill"]),
    param("code", False, type="string", pattern="^[a-z]+$"),
    param("from", True, type="array", items={"type": "string"}, minItems=1),
    param("party", False, type="object", properties={"name": {"type": "string"}, "land": {"enum": ["IT", "FR"]}}),
    risk="medium", effect="create",
)  # fmt: skip
WORLD: dict[str, Action] = {**ACTIONS, SEND.name: SEND}
EVERY = sorted(one.name for one in SEND.params)


def doubts(text: str) -> list[str]:
    """Each doubt as people read it; all of them are faults under `strict`."""
    found = [str(one) for one in load([("p.toml", text)], WORLD, []).doubts]
    with pytest.raises(Faults) if found else contextlib.nullcontext() as wrong:
        load([("p.toml", text)], WORLD, [], strict=True)
    assert [str(one) for one in (wrong.value.faults if wrong is not None else ())] == found
    return found


def ignoring(names: list[str], text: str) -> str:
    return text.replace("effect", f"ignores = {names}\neffect".replace("'", '"'), 1)


def allowing(when: str = "", unless: str = "", effect: str = "allow") -> str:
    """A rule over mail.send that accepts what it leaves unread, so that only conditions are doubted."""
    keys = {"when": when} if when else {}
    keys |= {"unless": unless} if unless else {}
    text = rule("x", effect, "mail.send", **keys)
    return ignoring([name for name in EVERY if name not in ("to", "cc", "subject", "party")], text) if keys else text


def in_conditions(when: str = "", unless: str = "", effect: str = "allow") -> list[str]:
    """Doubts about the conditions alone."""
    return [one for one in doubts(allowing(when, unless, effect)) if " whatever " not in one]


# Unread parameters.


def test_an_allow_rule_that_leaves_parameters_unread() -> None:
    assert doubts(rule("x", "allow", "mail.send", when="params.subject == ''")) == [
        "p.toml:5:1: rule x allows mail.send whatever cc, code, from, kind, party, to hold: read them in a condition, "
        'or accept that by ignores = ["cc", "code", "from", "kind", "party", "to"]'
    ]
    assert doubts(
        rule("x", "allow", "pay.transfer", when="params.amount < 5 && has(params.to) && has(params.memo)")
    ) == [
        "p.toml:5:1: rule x allows pay.transfer whatever currency holds: read it in a condition, "
        'or accept that by ignores = ["currency"]'
    ]
    (without,) = doubts(rule("x", "allow", "pay.transfer"))
    assert without.startswith("p.toml:3:1: rule x allows pay.transfer whatever amount, currency, memo, to hold")


def test_what_is_named_in_ignores_is_accepted() -> None:
    text = rule("x", "allow", "pay.transfer", when="params.amount < 5")
    assert len(doubts(ignoring(["memo"], text))) == 1
    assert doubts(ignoring(["memo", "to", "currency"], text)) == []


def test_reads_and_rules_that_ask_or_deny_may_leave_parameters_unread() -> None:
    assert (
        doubts(rule("x", "allow", "pay.list") + rule("y", "deny", "pay.*") + rule("z", "require_approval", "*")) == []
    )


def test_ignores_decides_nothing_and_names_what_there_is() -> None:
    text = rule("x", "allow", "pay.transfer", when="params.amount < 5")
    plain = load([("p.toml", text)], WORLD, [])
    assert plain.hash == load([("p.toml", ignoring(["memo"], text))], WORLD, []).hash
    with pytest.raises(Faults) as wrong:
        load([("p.toml", ignoring(["meno"], text))], WORLD, [])
    assert [str(one) for one in wrong.value.faults] == [
        "p.toml:4: ignores: no action of this rule has a parameter 'meno' (did you mean 'memo'?)"
    ]


@pytest.mark.parametrize("condition", ["action.effect == 'read'", "action.effect in ['read'] && now.hour > 6",
                                       "!(action.effect != 'read' || has(params.limit))"])  # fmt: skip
def test_a_condition_that_no_change_meets_leaves_nothing_unread(condition: str) -> None:
    assert doubts(rule("x", "allow", "pay.list", when=condition)) == []
    over = condition.replace("params.limit", "params.amount") if "params" in condition else condition
    if "params" not in over:
        assert doubts(rule("x", "allow", "pay.*", when=over)) == []
        assert doubts(rule("x", "allow", "pay.*", unless=f"!({over})")) == []


@pytest.mark.parametrize(
    "condition",
    [
        "has(params.memo)",
        "user.verified",
        "agent.id == 'x'",
        "labels == ['a']",
        "'opaque' in labels",
        "'a' in labels",
        "account == null",
        "now.hour == 3",
        "agent.depth == 0",
    ],
)
def test_what_is_not_known_of_a_call_excludes_nothing(condition: str) -> None:
    labels = '[[label]]\nid = "l"\nmatch = ["pay.refund"]\nadd = ["a"]\n' if "'a' in" in condition else ""
    assert len(doubts(labels + rule("x", "allow", "pay.transfer", when=condition))) == 1
    assert len(doubts(labels + rule("x", "allow", "pay.transfer", unless=condition))) == 1


def test_what_a_label_reads_is_read_by_the_rules_that_ask_for_it() -> None:
    labels = (
        f'[[label]]\nid = "far"\nmatch = ["mail.send"]\nwhen = {quoted("has(params.cc) && has(params.party)")}\n'
        f'add = ["far"]\n[[label]]\nid = "b"\nmatch = ["mail.send"]\nwhen = {quoted("size(params.subject) > 9")}\n'
        'add = ["long"]\n'
    )  # fmt: skip
    (found,) = doubts(labels + rule("x", "allow", "mail.send", unless="'far' in labels"))
    assert "whatever code, from, kind, subject, to hold" in found
    (found,) = doubts(labels + rule("x", "allow", "mail.send", when="size(labels) == 0"))
    assert "whatever code, from, kind, to hold" in found
    # A label that is never added to this action reads nothing of it.
    other = labels.replace('match = ["mail.send"]', 'match = ["pay.transfer"]').replace("params.cc", "params.memo")
    other = other.replace("params.party", "params.to").replace("params.subject", "params.currency")
    (found,) = doubts(other + rule("x", "allow", "mail.send", unless="'far' in labels"))
    assert "whatever cc, code, from, kind, party, subject, to hold" in found


# Lists that may be empty.

EMPTY = "params.to.all(t, email_domain(t) == 'ours.example')"


@pytest.mark.parametrize(
    ("when", "column"),
    [
        (EMPTY, 19),
        (f"params.subject == '' && {EMPTY}", 43),
        (f"size(params.to) > 0 || {EMPTY}", 42),
        (f"size(params.to) >= 0 && {EMPTY}", 43),
        (f"size(params.cc) > 0 && {EMPTY}", 42),
        (f"!(size(params.to) > 0 && !{EMPTY})", 45),
        ("!params.to.exists(t, email_domain(t) != 'ours.example')", 20),
        (f"user.verified ? {EMPTY} : false", 35),
        (f"({EMPTY}) == true", 20),
    ],
)
def test_all_of_what_may_be_empty(when: str, column: int) -> None:
    (found,) = in_conditions(when)
    what = "exists() is false" if "exists" in when else "all() is true"
    tail = "of an empty list, which lets the call through: ask size(params.to) > 0 beside it"
    assert found == f"p.toml:6:{column}: {what} {tail}"


@pytest.mark.parametrize(
    "when",
    [
        f"size(params.to) > 0 && {EMPTY}",
        f"{EMPTY} && params.to.size() != 0",
        f"user.verified && (0 < size(params.to) && {EMPTY})",
        f"1 <= size(params.to) && (user.verified || {EMPTY})",
        f"size(params.to) == 2 && {EMPTY}",
        f"!(size(params.to) == 0) && {EMPTY}",
        f"!(size(params.to) < 1 || !{EMPTY})",
        f"params.to != [] && {EMPTY}",
        f"'x' in params.to && {EMPTY}",
        f"params.to.exists(t, t == 'a@x.example') && {EMPTY}",
        f"(size(params.to) > 0 ? {EMPTY} : false)",
        f"size(params.to) == 0 ? false : {EMPTY}",
        "params.from.all(f, email_domain(f) == 'x.example')",
        "agent.chain.all(a, a == 'bot')",
        "['a', 'b'].all(a, params.subject == a)",
        f"!{EMPTY}",
        "params.to.exists(t, email_domain(t) == 'ours.example')",
    ],
)
def test_all_where_there_are_elements_or_where_it_lets_nothing_through(when: str) -> None:
    assert in_conditions(when) == []


def test_when_and_unless_guard_each_other() -> None:
    assert in_conditions(when=EMPTY, unless="size(params.to) == 0") == []
    assert (
        in_conditions(when="size(params.to) > 0", unless="params.to.exists(t, email_domain(t) != 'ours.example')") == []
    )
    assert len(in_conditions(unless="params.to.exists(t, email_domain(t) != 'ours.example')")) == 1
    assert in_conditions(unless=EMPTY) == []


def test_an_exemption_by_an_empty_list_lets_calls_through_too() -> None:
    assert len(in_conditions(unless=EMPTY, effect="require_approval")) == 1
    assert in_conditions(unless=f"size(params.to) > 0 && {EMPTY}", effect="require_approval") == []
    assert in_conditions(when=EMPTY, effect="deny") == []


_ATOMS = ["size(params.ints) > 0", "params.ints.size() >= 1", "size(params.ints) == 0", "0 != size(params.ints)",
          "1 > size(params.ints)", "params.ints != []", "[] == params.ints", "7 in params.ints",
          "params.ints.exists(x, x > 0)", "params.ints.all(x, x > 0)", "params.ints.exists_one(x, x == 1)", "params.b",
          "size(params.ints) >= 0", "size(params.ints) != 1", "size(params.ints) < 2"]  # fmt: skip
_CONDITIONS = st.recursive(
    st.sampled_from(_ATOMS),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda one: f"({' '.join(one)})")
        | inner.map(lambda one: f"!({one})")
        | st.tuples(inner, inner, inner).map(lambda one: f"({one[0]} ? {one[1]} : {one[2]})")
    ),
    max_leaves=6,
)


@given(_CONDITIONS, st.booleans())
@examples(300)
def test_what_a_condition_is_said_to_guarantee_it_does(condition: str, flag: bool) -> None:
    found = outcome(condition, {"ints": [], "b": flag})
    assert isinstance(found, bool)
    assert "params.ints" not in guaranteed(parse(condition), found)


# Everything.


def test_the_pattern_itself_is_pointed_at() -> None:
    text = rule("x", "allow", "pay.*", when="action.effect == 'read'").replace('["pay.*"]', "[\"pay.*\",\n  '*']")
    (found,) = doubts(text)
    assert found.startswith("p.toml:4:3: match: ")


@pytest.mark.parametrize("pattern", ["*", "**", "*.*"])
def test_an_allow_over_everything(pattern: str) -> None:
    (found,) = doubts(rule("x", "allow", pattern, when="action.effect == 'read'"))
    assert found.startswith(f"p.toml:3:10: match: an allow rule over '{pattern}' covers whatever connector is added")
    assert doubts(rule("x", "deny", pattern)) == []


# Letters.


@pytest.mark.parametrize(
    ("effect", "key", "condition"),
    [
        ("deny", "when", "params.subject == 'Secret'"),
        ("require_approval", "when", "params.subject == 'Secret'"),
        ("deny", "when", "'Secret' == params.subject || user.verified"),
        ("deny", "when", "params.subject in ['1', 'Secret']"),
        ("deny", "when", "params.subject.startsWith('Re')"),
        ("deny", "when", "params.subject.contains('x')"),
        ("deny", "when", "'Secret' in params.to"),
        ("deny", "when", "params.to.exists(t, t == 'boss')"),
        ("deny", "when", "params.to[0] == 'boss'"),
        ("deny", "when", "params.party.name == 'Ann'"),
        ("deny", "when", "params['party']['name'] == 'Ann'"),
        ("deny", "when", "(params.subject == 'a') == user.verified"),
        ("deny", "unless", "params.subject != 'Secret'"),
        ("allow", "when", "params.subject != 'Secret'"),
        ("allow", "when", "!(params.subject == 'Secret')"),
        ("allow", "when", "!params.subject.endsWith('.exe')"),
        ("allow", "when", "params.subject == 'a' ? false : true"),
        ("allow", "when", "params.to.exists_one(t, t == 'a')"),
        ("allow", "unless", "params.subject == 'Secret'"),
    ],
)
def test_a_free_string_against_letters(effect: str, key: str, condition: str) -> None:
    (found,) = in_conditions(effect=effect, **{key: condition})
    assert "may be any string, and a variant such as" in found
    assert found.startswith("p.toml:6:")


_COMPARED = st.recursive(
    st.sampled_from(["params.s == 'hello'", "params.s != 'hello'", "'hello' != params.s", "params.s in ['x', 'hello']",
                     "params.s.startsWith('he')", "params.s.contains('ll')", "params.b", "true", "false",
                     "[params.s].exists(x, params.s == 'hello')"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "!="]), inner).map(
            lambda one: f"(({one[0]}) {one[1]} ({one[2]}))"
        )
        | inner.map(lambda one: f"!({one})")
        | st.tuples(inner, inner, inner).map(lambda one: f"({one[0]} ? {one[1]} : {one[2]})")
    ),
    max_leaves=5,
)  # fmt: skip


@given(_COMPARED, st.sampled_from(["allow", "require_approval", "deny"]), st.sampled_from(["when", "unless"]),
       st.booleans())  # fmt: skip
@examples(300)
def test_where_letters_are_not_doubted_another_case_loosens_nothing(
    condition: str, effect: str, key: str, flag: bool
) -> None:
    text = rule("x", effect, **{key: condition}) + (rule("open", "allow") if effect != "allow" else "")
    made = policy(text)
    if any("may be any string" in str(doubt) for doubt in made.doubts):
        return
    strict = {"allow": 0, "require_approval": 1, "deny": 2}
    exact, variant = (
        strict[made.decide(call(params=VALUES | {"s": value, "b": flag})).effect] for value in ("hello", "HELLO")
    )
    assert variant >= exact


def test_the_sentence_names_a_variant_and_the_remedies() -> None:
    assert in_conditions("params.subject != 'EUR'") == [
        "p.toml:6:9: params.subject may be any string, and a variant such as 'eur' is let through: name what is "
        'allowed instead, give subject an enum or a pattern in its connector, or accept that by ignores = ["subject"]'
    ]


@pytest.mark.parametrize(
    ("effect", "key", "condition"),
    [
        ("allow", "when", "params.subject == 'Hello'"),
        ("allow", "when", "params.subject in ['Hello', 'Bye']"),
        ("allow", "unless", "params.subject != 'Hello'"),
        ("deny", "when", "params.subject != 'Hello'"),
        ("deny", "unless", "params.subject == 'Hello'"),
        ("deny", "when", "params.subject == '12-3'"),
        ("deny", "when", "params.kind == 'Bill'"),
        ("deny", "when", "params.code == 'a'"),
        ("deny", "when", "params.party.land == 'IT'"),
        ("deny", "when", "user.id == 'ana@example.com' || agent.id == 'bot' || action.risk == 'high'"),
        ("deny", "when", "params.to.exists(t, email_domain(t) == 'evil.example')"),
        ("deny", "when", "size(params.subject) == 5"),
    ],
)
def test_letters_where_a_variant_gains_nothing(effect: str, key: str, condition: str) -> None:
    assert in_conditions(effect=effect, **{key: condition}) == []


def test_letters_are_accepted_by_name() -> None:
    text = rule("x", "deny", "mail.send", when="params.subject == 'Secret' || params.to.exists(t, t == 'boss')")
    assert len(doubts(text)) == 2
    (left,) = doubts(ignoring(["subject"], text))
    assert "to an enum" in left


def test_over_several_actions_one_free_string_is_enough() -> None:
    bounded = msgspec.structs.replace(ACTIONS["pay.refund"], name="pay.bounded", params=(
        param("amount", type="integer"), param("currency", type="string", pattern="^[A-Z]{3}$"),
    ))  # fmt: skip
    world = {one.name: one for one in (ACTIONS["pay.refund"], bounded)}
    text = rule("x", "deny", "pay.*", when="params.currency == 'ABC'")
    assert len(load([("p.toml", text)], world, []).doubts) == 1
    assert len(load([("p.toml", text)], {bounded.name: bounded}, []).doubts) == 0


def test_places_in_long_conditions() -> None:
    text = rule("x", "deny", "mail.send", when="X").replace(
        '"X"', '"""\nuser.verified &&\n  params.subject == \'a\'"""'
    )
    (found,) = doubts(text)
    assert found.startswith("p.toml:7:3: params.subject may be any string")
