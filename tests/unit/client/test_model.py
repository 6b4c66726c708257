"""Executions as values: every outcome, unknown members, nonsense, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.client import (
    Cancelled,
    Denied,
    Execution,
    Expired,
    Failed,
    JitAuthError,
    NotSucceeded,
    Paused,
    Preview,
    Unknown,
)
from tests.unit.client.kit import LINK, RAW, ended, execution

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
READ = [name for name, value in vars(Execution).items() if isinstance(value, property)] + [
    name for name, value in vars(Execution.__mro__[1]).items() if isinstance(value, property)
]


def test_every_member_is_read() -> None:
    found = execution()
    assert {name: getattr(found, name) for name in RAW if name not in ("chain", "labels", "waiting_for")} == {
        name: value for name, value in RAW.items() if name not in ("chain", "labels", "waiting_for")
    }
    assert found.chain == ("mailbot",)
    assert list(found.waiting_for) == RAW["waiting_for"]
    assert found.consent_links == (LINK,)


@pytest.mark.parametrize("status", ["paused", "released", "executing", "a_later_word"])
def test_what_has_not_ended_is_open(status: str) -> None:
    found = execution(status=status)
    assert (found.open, found.ok, found.advice) == (True, False, "wait")
    with pytest.raises(Paused) as paused:
        found.unwrap()
    assert paused.value.execution is found


@pytest.mark.parametrize(
    ("status", "raised"),
    [("denied", Denied), ("expired", Expired), ("cancelled", Cancelled), ("failed", Failed), ("unknown", Unknown)],
)
def test_each_end_but_success_is_raised(status: str, raised: type[NotSucceeded]) -> None:
    found = ended(status, "some_code")
    assert (found.open, found.ok) == (False, False)
    with pytest.raises(raised, match="So it is") as caught:
        found.unwrap()
    assert type(caught.value) is raised
    assert isinstance(caught.value, JitAuthError)
    assert (caught.value.code, caught.value.hint, caught.value.execution) == ("some_code", "Look.", found)
    assert caught.value.for_model() == found.for_model()


def test_success_gives_the_body() -> None:
    found = ended("succeeded", result={"status": 200, "headers": {}, "body": [1, 2], "untrusted": True})
    assert (found.open, found.ok, found.unwrap()) == (False, True, [1, 2])
    assert ended("succeeded", result={"status": 200, "body": None, "truncated": True}).unwrap() is None
    with pytest.raises(ValueError, match="has succeeded"):
        found.failure()


def test_a_failure_says_what_the_provider_answered() -> None:
    with pytest.raises(Failed, match="answered 422"):
        ended("failed", result={"status": 422, "body": {"why": "no"}}).unwrap()


def test_an_error_stands_on_one_line_of_a_log() -> None:
    with pytest.raises(Denied) as caught:
        ended("denied", "approval_denied", action="x\ny", error={"message": "no\r\n2026 INFO fine \u202e"}).unwrap()
    assert str(caught.value).isprintable()


def test_copies_are_equal() -> None:
    found = execution()
    assert copy.deepcopy(found) == pickle.loads(pickle.dumps(found)) == found  # noqa: S301 (made here)
    assert len({found, execution(), execution(updated_at="later")}) == 2
    assert found != Preview(RAW)
    error = ended("denied", "policy_denied").failure()
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (made here)
    assert (str(again), again.execution) == (str(error), error.execution)


@given(st.dictionaries(st.sampled_from([*RAW, "joined", "removed"]) | st.text(), JSON))
def test_whatever_is_answered_can_be_read(members: dict[str, Any]) -> None:
    for found in (Execution(members), Execution({**RAW, **members})):
        for name in READ:
            getattr(found, name)
        assert isinstance(found.for_model(), str)
        assert isinstance(repr(found), str)
        assert found.ok + found.open <= 1
        if not found.ok:
            assert str(found.failure()).isprintable()
        assert hash(found) == hash(copy.copy(found))
    Preview(members).for_model()


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name not in RAW), JSON))
def test_unknown_members_change_nothing_and_are_kept(more: dict[str, Any]) -> None:
    more.pop("joined", None)
    found = Execution({**more, **RAW})
    assert {name: getattr(found, name) for name in READ if name != "raw"} == {
        name: getattr(execution(), name) for name in READ if name != "raw"
    }
    assert all(found.raw[name] == value for name, value in more.items())
