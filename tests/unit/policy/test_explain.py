"""Explanations: each part's value is what the evaluator gives, each rule says why it won or lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.errors import Faults
from jit_auth.model import Decision
from jit_auth.policy.case import read_call
from jit_auth.policy.explain import Explained, Explanation, data, explain, explain_execution
from jit_auth.policy.facts import Call
from jit_auth.policy.parse import parse
from jit_auth.policy.trace import MASK, MOST_ELEMENTS, Part
from jit_auth.policy.write import written
from tests.conformance.world import execution

from .expressions import TYPES, Tree, trees
from .world import ACTIONS, EVERYTHING, NOW, VALUES, call, examples, outcome, policy, rule


def why(text: str, made: Call | None = None, **facts: Any) -> Explanation:
    return explain(policy(text), made or call(**facts))


def only(explanation: Explanation, id: str) -> Explained:
    return next(one for one in explanation.rules if one.rule.id == id)


def root(condition: str, **facts: Any) -> Part:
    found = only(why(rule("x", "deny", when=condition), **facts), "x").when
    assert found is not None
    return found


def every(part: Part) -> Iterator[Part]:
    yield part
    for one in part.parts:
        yield from every(one)


def shape(node: Any) -> Any:
    """A tree without its places."""
    if isinstance(node, tuple):
        steps = len(node) == 3 and isinstance(node[0], str)  # of Arithmetic: operator, operand, place
        return tuple(shape(one) for one in (node[:2] if steps else node))
    if not is_dataclass(node):
        return type(node), node
    kept = [one.name for one in fields(node) if one.name not in ("at", "depth", "var_at")]
    return type(node), tuple(shape(getattr(node, name)) for name in kept)


# Sub-expressions.


@given(trees(), st.booleans())
@examples(150)
def test_the_whole_has_the_value_that_decides(tree: Tree, verified: bool) -> None:
    part = root(str(tree), verified=verified)
    assert ("error" if part.error is not None else part.value) == outcome(str(tree), verified=verified)


@given(st.sampled_from(TYPES).flatmap(lambda type_: trees(type_, depth=3)), st.booleans())
@examples(200)
def test_each_part_has_the_value_that_it_has_alone(tree: Tree, verified: bool) -> None:
    """Compared with the evaluator on a condition of its own: `part == value`, or in error too."""
    condition = str(tree) if tree.type == "bool" else f"{tree} == {tree}"
    for part in every(root(condition, verified=verified)):
        if part.given is not None or "v1" in part.text.replace("(v1,", "") or "v2" in part.text.replace("(v2,", ""):
            continue  # inside a loop; judged below
        if part.error is not None:
            assert outcome(f"({part.text}) == ({part.text})", verified=verified) == "error", part
        elif isinstance(part.value, bool):
            assert outcome(part.text, verified=verified) is part.value, part
        else:
            assert outcome(f"({part.text}) == {literal(part.value)}", verified=verified) is True, part


def literal(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(literal(one) for one in value)}]"
    return f"'{value}'" if isinstance(value, str) else repr(value)


@given(trees("bool", depth=3, loops=1))
@examples(100)
def test_a_loops_body_has_for_each_element_the_value_that_it_has_for_that_constant(tree: Tree) -> None:
    part = root(f"[1, 7, 0].exists(v1, {tree})")
    bodies = [one for one in part.parts if one.given is not None]
    assert [one.given for one in bodies] == [{"v1": 1}, {"v1": 7}, {"v1": 0}]
    for one in bodies:
        assert one.given is not None
        alone = outcome(f"[{one.given['v1']}].all(v1, {tree})")
        assert ("error" if one.error is not None else one.value) == alone


@given(st.sampled_from(TYPES).flatmap(lambda type_: trees(type_)))
@examples(200)
def test_what_is_written_is_the_same_tree(tree: Tree) -> None:
    parsed = parse(str(tree))
    assert shape(parse(written(parsed))) == shape(parsed)


@pytest.mark.parametrize(
    "text",
    ["-(1) + -2 - (3 - 4) * 5", "(a ? b : c) ? d : e ? f : g", "!(a && b) || !c && (d || e)", "(a + b).c[0]['d-e'].f",
     "'it\\'s \\\\ \\u0007' in ['\\n']", "x.all(y, y.exists(z, has(z['a b'])))", "-(-(1))", "1e300 == 0x1F",
     "-9223372036854775808 < 0", "(a == b) == (c in d)", "a - (b + c) == -d"],
)  # fmt: skip
def test_what_is_hard_to_write(text: str) -> None:
    assert shape(parse(written(parse(text)))) == shape(parse(text))


def test_parts_and_where_they_stand() -> None:
    part = root("has(params.gone_s) || params.strings.exists(s, s == 'b') && params.n + 1 > 7")
    assert (part.value, part.column, [(one.text, one.column, one.value) for one in part.parts]) == (
        True,
        1,
        [
            ("has(params.gone_s)", 1, False),
            ("params.strings.exists(s, s == 'b') && params.n + 1 > 7", 23, True),
        ],
    )
    loop, compared = part.parts[1].parts
    assert [(one.given, one.text, one.value) for one in loop.parts] == [
        ({"s": "a"}, "s == 'b'", False),
        ({"s": "b"}, "s == 'b'", True),
        ({"s": "hello"}, "s == 'b'", False),
    ]
    assert [(one.text, one.value) for one in every(compared)] == [
        ("params.n + 1 > 7", True),
        ("params.n + 1", 8),
        ("params.n", 7),
    ]


def test_an_error_is_told_where_it_arises_and_where_it_is_absorbed() -> None:
    part = root("params.gone_b || params.b")
    assert part.value is True
    assert [(one.value, one.error) for one in part.parts] == [(None, "params.gone_b is absent"), (True, None)]


def test_of_a_long_list_the_first_elements_are_shown_and_the_one_that_decided() -> None:
    many = VALUES | {"ints": list(range(100))}
    part = root("params.ints.exists(x, x == 70)", params=many)
    shown = [one.given["x"] for one in part.parts if one.given is not None]
    assert (shown, part.cut) == ([*range(MOST_ELEMENTS), 70], True)


def test_an_explanation_of_slow_parameters_ends() -> None:
    many = VALUES | {"ints": list(range(9_000))}
    text = " || ".join(f"params.ints.exists(x, params.ints.exists(y, x + y == -{n}))" for n in range(1, 20))
    found = why(rule("x", "deny", when=text), params=many)
    assert only(found, "x").error == "more than 10000 loop steps in one decision"
    assert any(one.cut for one in every(only(found, "x").when or root("true")))


def test_sensitive_parameters_are_masked_in_whatever_is_made_of_them() -> None:
    params = tuple(msgspec.structs.replace(one, sensitive=one.name in ("s", "strings")) for one in EVERYTHING.params)
    secret = msgspec.structs.replace(EVERYTHING, params=params)
    text = "params.s + 'x' == 'hellox' && params.strings.exists(e, e + 'y' == 'ay') && params['s'].size() == 5"
    found = explain(policy(rule("x", "deny", when=text)), call(action=secret))
    assert only(found, "x").outcome == "winner"
    told = json.dumps(data(found)["rules"])
    assert MASK in told
    part = only(found, "x").when
    assert part is not None
    values = [one.value for one in every(part) if not isinstance(one.value, bool)]
    assert set(values) == {MASK}
    assert all(one.given in (None, {"e": MASK}) for one in every(part))


# Rules.


class Moment:
    """Stands for a store where rows are made: the time, and nothing else of it."""

    def now(self) -> int:
        return NOW


WORLD = (
    "[groups]\nvip = []\n"
    + rule("allows", "allow")
    + rule("asks", "require_approval", when="params.n == 7")
    + rule("asks-too", "require_approval", when="params.b", unless="params.m < 0")
    + rule("not-this", "deny", when="params.n == 8")
    + rule("skipped", "allow", when="params.gone_b")
)


def test_each_rule_says_why_it_won_or_lost() -> None:
    found = why(WORLD)
    assert {one.rule.id: (one.outcome, one.why) for one in found.rules} == {
        "allows": ("weaker", "a stricter rule decides"),
        "asks": ("winner", "it decides"),
        "asks-too": ("exempted", "`unless` exempts the call"),
        "not-this": ("when_false", "`when` is false"),
        "skipped": ("error_skipped", "its condition is in error, and an allow rule is skipped then"),
    }
    assert only(found, "skipped").error == "params.gone_b is absent"
    assert [want.of for want in found.decision.wants] == [("requester",)]


def test_an_error_that_counts_as_matched_is_told() -> None:
    found = why(rule("no", "deny", when="params.gone_b") + rule("ask", "require_approval", unless="params.gone_b"))
    assert only(found, "no").why == "its condition is in error, and counts as matched; it decides"
    assert only(found, "ask").why == "its condition is in error, and counts as matched; a stricter rule decides"


@given(st.lists(st.tuples(st.sampled_from(["allow", "require_approval", "deny"]), trees(depth=3), st.booleans()),
                min_size=1, max_size=5))  # fmt: skip
@examples(100)
def test_the_decision_is_the_policys_and_the_winners_are_its_rules(rules: list[tuple[str, Tree, bool]]) -> None:
    text = "".join(
        rule(f"r{number}", effect, when=str(tree)).replace(
            "effect", f'mode = "{"shadow" if shadow else "enforce"}"\neffect'
        )
        for number, (effect, tree, shadow) in enumerate(rules)
    )
    made = policy(text)
    asked = call()
    found = explain(made, asked)
    assert found.decision == made.decide(asked)
    enforced = [one for one in found.rules if not one.rule.shadow]
    assert tuple(one.rule.id for one in enforced if one.outcome == "winner") == found.decision.rules
    # What shadow rules would have done is what the same rules do once they are enforced.
    would = policy(text.replace('"shadow"', '"enforce"')).decide(asked)
    if any(shadow for _, _, shadow in rules):
        assert found.would is not None
        assert (found.would.effect, found.would.rules, found.would.wants) == (would.effect, would.rules, would.wants)
    else:
        assert found.would is None


def test_shadow_rules_say_what_they_would_have_done() -> None:
    shadow = rule("strict", "deny", when="params.n == 7").replace("effect", 'mode = "shadow"\neffect')
    found = why(rule("open", "allow") + shadow)
    assert (found.decision.effect, found.would and found.would.effect) == ("allow", "deny")
    assert (only(found, "strict").outcome, only(found, "open").outcome) == ("winner", "winner")


LABELS = """
[[label]]
id = "many"
match = ["demo.everything"]
when = "size(params.strings) > 2"
add = ["many"]
[[label]]
id = "broken"
match = ["demo.everything"]
when = "params.gone_b"
add = ["gone"]
"""


def test_labels_with_their_conditions() -> None:
    found = why(LABELS + rule("x", "deny", when="'many' in labels") + rule("y", "allow", when="'gone' in labels"))
    assert [(one.label.id, one.added) for one in found.labels] == [("many", True), ("broken", None)]
    assert found.decision.labels == ("gone?", "many")
    assert only(found, "y").outcome == "error_skipped"


def test_a_stored_decision_is_explained_with_the_labels_on_record() -> None:
    made = policy(LABELS + rule("x", "deny", when="'many' in labels") + rule("y", "allow"))
    recorded = Decision("allow", ("y",), labels=())
    moment: Any = Moment()
    stored = execution(moment, action=EVERYTHING.name, params=VALUES, decision=recorded, created=NOW)
    found = explain_execution(made, stored, EVERYTHING)
    assert (found.call.now, found.call.user, found.call.params) == (NOW, stored.user, VALUES)
    assert (found.decision.effect, found.recorded) == ("allow", recorded)
    assert only(found, "x").outcome == "when_false"


def test_an_explanation_is_json() -> None:
    text = json.dumps(data(why(WORLD + LABELS)), allow_nan=False)
    assert json.loads(text)["decision"]["wants"][0]["from"] == ["requester"]


def test_an_unknown_action_is_denied_by_no_rule() -> None:
    strange = msgspec.structs.replace(EVERYTHING, name="demo.nothing")
    found = explain(policy(WORLD), call(action=strange))
    assert (found.decision.effect, found.rules) == ("deny", ())


# What a file describes.


def described(body: dict[str, Any], aliases: dict[str, str] | None = None) -> Call:
    groups = {"ana@example.com": frozenset({"vip"})}
    return read_call(
        "a.json", body, ACTIONS, aliases=aliases or {}, groups_of=lambda who: groups.get(who, frozenset()), zone=UTC,
        now=NOW,
    )  # fmt: skip


def test_a_file_has_the_shape_of_executes_body() -> None:
    made = described(
        {"action": "pay.transfer", "user": "Ana.Rossi@example.com", "params": {"amount": 5, "to": ["a"]},
         "account": "acc", "reason": "x", "expires_in": 60},
        {"ana.rossi@example.com": "ana@example.com"},
    )  # fmt: skip
    assert (made.user, made.groups, made.verified) == ("ana@example.com", frozenset({"vip"}), True)
    assert (made.params, made.account, made.agent, made.chain, made.now) == (
        {"amount": 5, "to": ["a"]}, "acc", "test", ("test",), NOW,
    )  # fmt: skip
    assert described({"action": "pay.list"}).params == {"limit": 10}
    assert described({"action": "pay.list"}).user is None


def test_null_is_absence_as_it_is_in_a_call() -> None:
    given_ = {"n": None, "card": {"number": "1", "cvv": None, "issuer": None}, "maybe": ["x", None], "any": None}
    made = described({"action": "demo.everything", "params": given_, "user": None, "account": None})
    assert (made.params, made.user, made.account) == (given_, None, None)
    found = explain(policy(rule("x", "deny", when="has(params.n) || has(params.card.cvv)")), made)
    assert only(found, "x").outcome == "when_false"


def test_facts_stand_beside_it_or_in_set_as_in_a_test() -> None:
    made = described(
        {"action": "pay.list", "user": {"id": "ana@example.com", "verified": False}, "agent": "bot",
         "set": {"user.groups": ["a"], "agent.chain": ["top", "bot"], "now.hour": 3, "params.limit": 4}}
    )  # fmt: skip
    assert (made.groups, made.verified, made.agent, made.chain) == (frozenset({"a"}), False, "bot", ("top", "bot"))
    assert (made.params, made.now) == ({"limit": 4}, NOW - 8 * 3_600_000)
    assert described({"action": "pay.list", "now": "2026-01-05T12:00:00Z"}).now == NOW + 3_600_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "action: unknown action None"),
        ({"action": "pay.lits"}, "action: unknown action 'pay.lits' (did you mean 'pay.list'?)"),
        ({"action": "pay.list", "params": {"limti": 1}}, "pay.list has no parameter 'limti' (did you mean 'limit'?)"),
        ({"action": "pay.list", "params": {"limit": "x"}}, "params.limit: not an integer"),
        ({"action": "pay.list", "usr": "x"}, "unknown fact 'usr'"),
        ({"action": "pay.list", "params": 3}, "unknown fact 'params'"),
        ({"action": "pay.list", "user": "a b"}, "user.id: 'a b'"),
        ({"action": "pay.list", "user": {"id": None}}, "user.id: not a string"),
        ({"action": "pay.list", "set": {"agent.id": None}}, "agent.id: not a string"),
        ({"action": "pay.list", "set": {"now": None}}, "now: None is no time"),
        ({"action": "pay.list", "set": 3}, "set: facts by their names, as a [[test]] has them"),
        ({"action": "pay.list", "account": 3}, "account: not a string"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(body: dict[str, Any], message: str) -> None:
    with pytest.raises(Faults) as wrong:
        described(body)
    assert message in str(wrong.value.faults[0])
