"""What an answer means: refused credentials, limits, lost answers."""

from __future__ import annotations

import msgspec
import pytest

from jit_auth.model import Action, Missed, Reply
from jit_auth.send.challenge import LONGEST, retry_after
from jit_auth.send.reply import Outcome, classify

NOW = 1_795_514_400_000  # 2026-11-24T10:00:00Z
ACTION = Action(
    name="mailhub.send", connector="mailhub", provider="mailhub", title="Send", summary="Send", show=(), method="POST",
    path="/", risk="low", effect="create", retry="never",
)  # fmt: skip


def outcome(status: int, *headers: tuple[str, str], retry: str = "never") -> Outcome:
    return classify(Reply(status, headers, b""), msgspec.structs.replace(ACTION, retry=retry), now=NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 226, 300, 301, 302, 304, 307, 399])
def test_2xx_and_3xx_are_done(status: int) -> None:
    assert outcome(status) == Outcome("done")


@pytest.mark.parametrize(
    "status", [400, 402, 404, 405, 407, 409, 410, 418, 421, 422, 425, 451, 499, 500, 501, 505, 599]
)
def test_errors_are_failures(status: int) -> None:
    assert outcome(status) == Outcome("failed")


@pytest.mark.parametrize("status", [408, 502, 504])
@pytest.mark.parametrize("retry", ["never", "safe", "idempotent", "key:Idempotency-Key"])
def test_what_an_intermediary_answered_is_a_lost_answer(status: int, retry: str) -> None:
    assert outcome(status, ("retry-after", "1"), retry=retry) == Outcome("lost")


@pytest.mark.parametrize(
    ("challenge", "invalid"),
    [
        ('Bearer error="invalid_token"', True),
        ('bearer realm="x, y", ERROR=invalid_token, error_description="it \\"expired\\""', True),
        ('Basic realm="a", Bearer realm="b", error="invalid_token"', True),
        ('Negotiate YII/abc==, Bearer error="invalid_token"', True),
        ('Bearer realm="b", Bearer error="invalid_token"', True),
        ('Bearer , error="invalid_token"', True),
        ("Bearer", False),
        ('Bearer realm="error=\\"invalid_token\\""', False),
        ('Basic realm="Bearer error=invalid_token"', False),
        ('Basic error="invalid_token"', False),
        ('Bearer error="invalid_request"', False),
        ('Bearer error="invalid_token', False),
        ('XBearer error="invalid_token"', False),
        ("", False),
        ('"' * 3000, False),
    ],
)
def test_only_a_bearer_challenge_says_that_a_token_was_refused(challenge: str, invalid: bool) -> None:
    assert outcome(401, ("www-authenticate", challenge)) == Outcome("unauthorized", invalid_token=invalid)


def test_a_401_without_a_challenge_is_unauthorized_too() -> None:
    assert outcome(401) == Outcome("unauthorized")
    two = (("www-authenticate", "Basic"), ("www-authenticate", 'Bearer error="invalid_token"'))
    assert outcome(401, *two).invalid_token


def test_a_403_names_the_scopes_that_are_missing() -> None:
    challenge = 'Bearer realm="x", error="insufficient_scope", scope="mail.send mail.read"'
    assert outcome(403, ("www-authenticate", challenge)) == Outcome(
        "insufficient_scope", scopes=("mail.send", "mail.read")
    )
    assert outcome(403, ("www-authenticate", "Bearer error=insufficient_scope")) == Outcome("insufficient_scope")
    assert outcome(403) == Outcome("failed")
    assert outcome(403, ("www-authenticate", 'Bearer error="invalid_token"')) == Outcome("failed")
    assert outcome(401, ("www-authenticate", challenge)).kind == "unauthorized"


def test_429_and_503_with_a_retry_after_were_not_executed() -> None:
    assert outcome(429, ("retry-after", "7")) == Outcome("rate_limited", retry_after=7000)
    assert outcome(503, ("retry-after", "7"), retry="safe") == Outcome("rate_limited", retry_after=7000)
    assert outcome(503, ("retry-after", "7"), retry="never") == Outcome("failed")
    assert outcome(429) == Outcome("failed")
    assert outcome(503, retry="safe") == Outcome("failed")
    assert outcome(500, ("retry-after", "7"), retry="safe") == Outcome("failed")


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", 0),
        ("120", 120_000),
        ("1000000000", LONGEST),
        ("9" * 400, LONGEST),
        ("Tue, 24 Nov 2026 10:00:30 GMT", 30_000),
        ("Tuesday, 24-Nov-26 10:00:30 GMT", 30_000),
        ("Tue Nov 24 10:00:30 2026", 30_000),
        ("Tue, 24 Nov 2026 09:59:40 GMT", 0),
        ("Thu, 24 Nov 2099 10:00:00 GMT", LONGEST),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("Tue, 99 Nov 2026 10:00:30 GMT", None),
        ("Tue, 24 Nov 99999999 10:00:30 GMT", None),
    ],
)
def test_a_senseless_retry_after_counts_as_none(value: str, wait: int | None) -> None:
    assert retry_after(Reply(429, (("retry-after", value),), b""), NOW) == wait


def test_what_was_missed() -> None:
    assert classify(Missed(True, "outcome_unknown", ""), ACTION) == Outcome("lost")
    assert classify(Missed(False, "provider_unavailable", ""), ACTION) == Outcome("never_left")
    assert classify(Missed(False, "address_refused", ""), ACTION) == Outcome("refused")
    assert classify(Missed(False, "request_refused", ""), ACTION) == Outcome("refused")
