"""Which copies are made: shared ones for groups, direct ones for people who are named, none where nothing reaches."""

from __future__ import annotations

from jit_auth.core.reach import Reach, Way

SLACK = Way("slack", {"ana": "U1", "bo": "U2"}, shared=True)
MAIL = Way("email", {"ana": "ana@x.example"}, mailbox=True)
TERMINAL = Way("terminal", everyone=True)
ALL = Reach((SLACK, MAIL, TERMINAL))


def test_a_group_is_asked_once_in_a_shared_place_and_each_by_mail() -> None:
    made = ALL.copies({"ana", "bo", "cy@x.example"}, ("slack", "email", "page"), grouped={"ana", "bo", "cy@x.example"})
    assert ("slack", "channel:slack") in made
    assert [one for one in made if one[0] == "slack"] == [("slack", "channel:slack")]
    assert [one for one in made if one[0] == "email"] == [("email", "ana"), ("email", "cy@x.example")]
    assert len([one for one in made if one[0] == "terminal"]) == 3


def test_who_is_named_gets_a_direct_copy_beside_the_shared_one() -> None:
    made = ALL.copies({"ana", "bo"}, ("slack",), grouped={"bo"})
    assert [one for one in made if one[0] == "slack"] == [("slack", "channel:slack"), ("slack", "ana")]


def test_without_a_shared_place_a_group_gets_direct_copies() -> None:
    direct = Reach((Way("slack", {"ana": "U1", "bo": "U2"}),))
    assert direct.copies({"ana", "bo"}, ("slack",), grouped={"ana", "bo"}) == [("slack", "ana"), ("slack", "bo")]


def test_reachable_is_by_what_the_rules_allow() -> None:
    assert ALL.reachable("cy", ("page",))
    assert not ALL.reachable("cy", ("slack", "email"))
    assert ALL.reachable("cy@x.example", ("email",))
    assert not ALL.reachable("ana", ())


def test_the_next_channel_is_one_that_is_allowed_and_has_not_failed() -> None:
    assert ALL.instead("ana", ("slack", "email"), {"slack"}) == "email"
    assert ALL.instead("ana", ("slack", "email"), {"slack", "email"}) is None
    assert ALL.instead("bo", ("slack", "email"), {"slack"}) is None
