"""Who may decide: requesters, groups, editors; and whether votes are enough whatever their order (THREAT_MODEL 34)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core.quorum import Requesters, eligible, enough, grouped, people
from jit_auth.model import Escalate, Want

GROUPS = {"finance": frozenset({"ana", "bo", "cy"}), "directors": frozenset({"cy", "dee"})}


def members(name: str) -> frozenset[str]:
    return GROUPS.get(name, frozenset())


def test_requesters_do_not_count_in_a_group() -> None:
    want = Want(("group:finance",))
    assert eligible(want, Requesters("ana"), members) == {"bo", "cy"}
    assert eligible(want, Requesters("alice", frozenset({"bo"})), members) == {"ana", "cy"}
    assert eligible(want, Requesters("alice", frozenset(), frozenset({"cy"})), members) == {"ana", "bo"}


def test_a_requester_who_is_named_counts_and_an_editor_never() -> None:
    assert eligible(Want(("requester",)), Requesters("ana"), members) == {"ana"}
    assert eligible(Want(("user:ana", "group:finance")), Requesters("ana"), members) == {"ana", "bo", "cy"}
    assert eligible(Want(("user:ana",)), Requesters("alice", frozenset(), frozenset({"ana"})), members) == set()
    assert eligible(Want(("requester",)), Requesters(None), members) == set()


def test_an_escalation_widens_only_where_the_rule_says_so_and_only_once_it_took_place() -> None:
    told = Escalate(1, ("group:directors",))
    counted = Escalate(2, ("group:directors",), True)
    want = Want(("user:ana",), escalate=(told, counted))
    assert eligible(want, Requesters(), members, (told,)) == {"ana"}
    assert eligible(want, Requesters(), members, (told, counted)) == {"ana", "cy", "dee"}
    assert eligible(want, Requesters(), members) == {"ana"}


def test_one_person_in_two_groups_is_not_four_eyes() -> None:
    wants = (Want(("group:finance",)), Want(("group:directors",)))
    who = [members("finance"), members("directors")]
    assert not enough(wants, who, {"cy"})
    assert enough(wants, who, {"cy", "bo"})
    assert enough(wants, who, {"cy", "dee"})
    assert not enough(wants, who, {"ana", "bo"})


def test_who_is_named_is_asked_directly_and_members_as_a_group() -> None:
    names = ("group:finance", "user:ana")
    assert people(names, Requesters(), members) == {"ana", "bo", "cy"}
    assert grouped(names, Requesters(), members) == {"bo", "cy"}


@given(
    st.lists(
        st.tuples(st.frozensets(st.sampled_from("abcdef"), min_size=1), st.integers(1, 3)), min_size=1, max_size=4
    ),
    st.frozensets(st.sampled_from("abcdef")),
    st.randoms(use_true_random=False),
)
def test_enough_is_a_perfect_assignment_whatever_the_order(
    asked: list[tuple[frozenset[str], int]], voters: frozenset[str], random: object
) -> None:
    def brute(seats: list[frozenset[str]], left: frozenset[str]) -> bool:
        return not seats or any(brute(seats[1:], left - {one}) for one in seats[0] & left)

    wants = [Want(("group:x",), need) for _, need in asked]
    who = [people for people, _ in asked]
    expected = brute([people for people, need in asked for _ in range(need)], voters)
    assert enough(wants, who, voters) == expected
    assert enough(wants[::-1], who[::-1], sorted(voters, reverse=True)) == expected
