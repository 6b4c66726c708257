"""What several actions need together: nothing that none of them needs, and enough for each of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.scopes import lack_of, lacking, lacking_of
from jit_auth.model import Action, Consent, Grant, Provider

NAMES = [f"s{number}" for number in range(6)]
SOME = st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple)
ACTIONS = st.lists(st.tuples(SOME, SOME), min_size=1, max_size=4)
PROVIDER = Provider(id="p", hosts=("h",))


Parts = list[tuple[tuple[str, ...], tuple[str, ...]]]


def made(given: Parts) -> list[Action]:
    return [
        Action(
            name=f"c.a{number}", connector="c", provider="p", title="t", summary="t", show=(), retry="safe",
            method="GET", path="/", scopes=scopes, any_scopes=others, risk="low", effect="read",
        )
        for number, (scopes, others) in enumerate(given)
    ]  # fmt: skip


@given(ACTIONS, st.frozensets(st.sampled_from(NAMES)))
def test_with_what_is_missing_each_has_enough(parts: Parts, held: frozenset[str]) -> None:
    actions = made(parts)
    missing = lacking_of(actions, held)
    assert len(set(missing)) == len(missing)
    assert held.isdisjoint(missing)
    assert set(missing) <= {scope for scopes, others in parts for scope in (*scopes, *others)}
    for action in actions:
        assert lacking(action, (), held | set(missing)) == ()


@given(ACTIONS, st.frozensets(st.sampled_from(NAMES)))
def test_no_more_than_the_actions_ask_one_by_one(parts: Parts, held: frozenset[str]) -> None:
    actions = made(parts)
    one_by_one = {scope for action in actions for scope in lacking(action, (), held)}
    assert set(lacking_of(actions, held)) <= one_by_one
    assert (lacking_of(actions, held) == ()) == (one_by_one == set())


def test_what_is_lacked_of_a_grant_and_of_a_consent() -> None:
    (action,) = made([(("s0", "s1"), ())])
    grant = Grant(id="grt_1", user="a", provider="p", scopes=("s0", "s1"), created=0, updated=0)
    consent = Consent(grant="grt_1", agent="bot", scopes=("s0", "s1"), at=0)
    assert lack_of([action], PROVIDER, grant, consent, 1) is None
    for held, given_, scopes, new in (
        (None, None, ("s0", "s1"), False),
        (grant, None, (), True),
        (grant, Consent(grant="grt_1", agent="bot", scopes=("s0",), at=0), (), True),
        (Grant(id="grt_1", user="a", provider="p", scopes=("s0",), created=0, updated=0), consent, ("s1",), False),
        (Grant(id="grt_1", user="a", provider="p", state="broken", created=0, updated=0), consent, ("s0", "s1"), False),
    ):
        lack = lack_of([action], PROVIDER, held, given_, 1)
        assert lack is not None
        assert (lack.scopes, lack.new_agent) == (scopes, new)
