"""A call that is tried again for long says so once, in the log, without the token or what was sent."""

from __future__ import annotations

import pytest

from jit_auth.client import Repeats
from jit_auth.client.protocol import Answer, Call, Lost, Pause, Speaker

CALL = Call("POST", "/execute", b'{"action": "m.pay"}', "key-1")


def tried(times: int, answer: Answer | None = None) -> None:
    """A call that is lost, or answered so, that many times. Its pauses are handed over, not waited for."""
    steps = Speaker("http://127.0.0.1:8080", Repeats()).ask(CALL)
    wanted = next(steps)
    for _ in range(times):
        assert wanted == CALL
        pause = steps.send(answer) if answer is not None else steps.throw(Lost("connection refused"))
        assert isinstance(pause, Pause)
        wanted = next(steps)
    steps.close()


def test_a_service_that_is_away_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    tried(9)
    (said,) = caplog.messages
    assert said.startswith("jit_auth does not answer at http://127.0.0.1:8080: connection refused; trying again for ")
    assert "m.pay" not in said


def test_a_connection_that_was_stale_is_not(caplog: pytest.LogCaptureFixture) -> None:
    tried(2)
    assert caplog.messages == []


def test_a_service_that_is_halted_is(caplog: pytest.LogCaptureFixture) -> None:
    tried(9, Answer(503, {}, b""))
    (said,) = caplog.messages
    assert "answered 503" in said
