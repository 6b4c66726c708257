"""Properties: an error never loosens, order never matters, and whatever is decided is decided again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jit_auth.model import Decision, History

from .expressions import GONE, TYPES, VALUES, Tree, trees
from .world import VALUES as PARAMS
from .world import call, examples, policy, rule

STRICT = {"allow": 0, "require_approval": 1, "deny": 2}
EFFECTS = tuple(STRICT)


def decide(rules: list[str], no_match: str, **facts: Any) -> Decision:
    return policy(f'[defaults]\nno_match = "{no_match}"\n' + "".join(rules)).decide(call(**facts))


@st.composite
def rules_with_a_hole(draw: st.DrawFn) -> tuple[list[tuple[str, str, Tree]], int, tuple[int, ...]]:
    """Some rules (effect, when or unless, tree), which of them has the hole, and the way to it."""
    count = draw(st.integers(1, 4))
    rules = [
        (draw(st.sampled_from(EFFECTS)), draw(st.sampled_from(["when", "unless"])), draw(trees())) for _ in range(count)
    ]
    chosen = draw(st.integers(0, count - 1))
    way = draw(st.sampled_from(list(rules[chosen][2].places())))
    return rules, chosen, way


def written(rules: list[tuple[str, str, Tree]], chosen: int, way: tuple[int, ...], text: str) -> list[str]:
    made = []
    for number, (effect, key, tree) in enumerate(rules):
        whole = tree.put(way, text) if number == chosen else tree
        made.append(rule(f"r{number}", effect, **{key: str(whole)}))
    return made


@given(rules_with_a_hole(), st.sampled_from(["allow", "deny"]), st.booleans(), st.booleans())
@examples(120)
def test_an_error_in_place_of_any_part_is_never_weaker_than_a_value(
    hole: tuple[list[tuple[str, str, Tree]], int, tuple[int, ...]], no_match: str, verified: bool, open_: bool
) -> None:
    rules, chosen, way = hole
    more = [rule("open", "allow")] if open_ else []
    type_ = rules[chosen][2].at(way).type
    broken = decide(written(rules, chosen, way, GONE[type_]) + more, no_match, verified=verified)
    for value in VALUES[type_]:
        found = decide(written(rules, chosen, way, value) + more, no_match, verified=verified)
        # A rule that asks counts as matched, also where it would else have left the call to no_match.
        asked = broken.effect == "require_approval" and not found.rules
        assert STRICT[broken.effect] >= STRICT[found.effect] or asked, (value, found, broken)
        if broken.effect == found.effect != "allow":
            assert set(broken.rules) >= set(found.rules)
            assert {want.of for want in broken.wants} >= {want.of for want in found.wants}


_READ = ("task.private", "task.untrusted", "task.external", "task.count > 2", "'external' in action.exposes")


@given(st.lists(st.tuples(st.sampled_from(EFFECTS), st.sampled_from(["when", "unless"]), st.sampled_from(_READ),
                          st.sampled_from(_READ), st.sampled_from(["{}", "!({})", "{} && {}", "{} || {}"])),
                min_size=1, max_size=4), st.sampled_from(["allow", "deny"]))  # fmt: skip
@examples(150)
def test_a_call_that_names_no_task_gets_away_with_no_more_than_one_that_does(
    rules: list[tuple[str, str, str, str, str]], no_match: str
) -> None:
    """Whatever an honest task may have touched: leaving the task out never loosens, nor does counting nothing."""
    texts = [
        rule(f"r{number}", effect, **{key: form.format(one, two)})
        for number, (effect, key, one, two, form) in enumerate(rules)
    ]
    found = [
        decide(texts, no_match, history=History(task_private=p, task_untrusted=u, task_external=e, task_count=count))
        for p in (False, True) for u in (False, True) for e in (False, True) for count in (0, 3)
    ]  # fmt: skip
    for broken in (decide(texts, no_match, task=False), decide(texts, no_match, history=None)):
        for one in found:
            asked = broken.effect == "require_approval" and not one.rules
            assert STRICT[broken.effect] >= STRICT[one.effect] or asked, (one, broken)


@given(st.lists(st.tuples(st.sampled_from(EFFECTS), trees(depth=3)), min_size=1, max_size=5), st.randoms(),
       st.sampled_from(["allow", "deny"]))  # fmt: skip
@examples(100)
def test_order_never_matters(rules: list[tuple[str, Tree]], random: Any, no_match: str) -> None:
    texts = [rule(f"r{number}", effect, when=str(tree)) for number, (effect, tree) in enumerate(rules)]
    shuffled = texts[:]
    random.shuffle(shuffled)
    assert decide(texts, no_match) == decide(shuffled, no_match)


@given(st.lists(st.tuples(st.sampled_from(EFFECTS), st.integers(1, 9_000)), min_size=1, max_size=6), st.randoms())
@examples(50)
def test_the_limit_of_steps_knows_no_order(rules: list[tuple[str, int]], random: Any) -> None:
    texts = [
        rule(f"r{number}", effect, when=f"params.ints.exists(x, x >= {steps})")
        for number, (effect, steps) in enumerate(rules)
    ]
    texts.append(rule("plain", "allow"))
    given_ = PARAMS | {"ints": list(range(9_500))}
    shuffled = texts[:]
    random.shuffle(shuffled)
    found = decide(texts, "deny", params=given_)
    assert found == decide(shuffled, "deny", params=given_)
    exhausted = sum(steps + 1 for _, steps in rules) > 10_000
    assert len(found.errors) == (len(rules) if exhausted else 0)


@given(trees(), st.booleans())
@examples(100)
def test_a_decision_is_the_same_twice_and_in_whatever_company(tree: Tree, verified: bool) -> None:
    alone = policy(rule("x", "deny", when=str(tree)))
    asked = call(verified=verified)
    found = alone.decide(asked)
    assert found == alone.decide(asked)
    company = policy(rule("x", "deny", when=str(tree)) + rule("y", "allow", when=f"!{tree}") + rule("z", "allow"))
    assert ("x" in company.decide(asked).rules) == ("x" in found.rules)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(sorted(PARAMS)), _ANY), trees(depth=3, type_="bool"))
@examples(150)
def test_whatever_the_parameters_hold_a_decision_comes_out(params: dict[str, Any], tree: Tree) -> None:
    more = (
        "params.items.exists(i, i.name == 'x' || 'y' in i.tags) || params.any == params.other || null in params.loose"
    )
    text = rule("x", "deny", when=str(tree)) + rule("y", "require_approval", when=more) + rule("z", "allow")
    assert policy(text).decide(call(params=params)).effect in EFFECTS


def test_every_type_has_values_and_an_error() -> None:
    assert set(TYPES) == set(GONE) == set(VALUES)
