"""What a test makes happen to a call: every outcome, by the engine's own way and with its checks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest

from jit_auth.client import Client
from jit_auth.testing import Answer, JitAuth, Misused, Problem, Sent
from tests.integration.testing_kit.conftest import ALICE, ANA, BO, refund


def test_an_approved_call_reaches_the_api_byte_for_byte(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.api.answer({"id": "re_1"})
    done = jit_auth.approve(refund(agent), by=ANA)
    assert done.unwrap() == {"id": "re_1"}
    (sent,) = jit_auth.api.requests
    assert (sent.method, sent.url) == ("POST", "https://billing.example.com/v1/invoices/in-1/refunds")
    assert (sent.path, sent.json) == ("/v1/invoices/in-1/refunds", {"amount": 5})
    assert sent.headers["authorization"] == "Bearer testing-secret"
    head, _, body = sent.raw.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/invoices/in-1/refunds HTTP/1.1\r\nHost: billing.example.com\r\n")
    assert body == sent.body


def test_who_is_not_asked_decides_nothing(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent)
    for person in ("cy@example.com", ALICE, "stranger@example.com"):
        for decide in (jit_auth.approve, jit_auth.deny):
            with pytest.raises(Problem) as refused:
                decide(asked, by=person)
            assert refused.value.code == "not_eligible"
    assert agent.get(asked).status == "paused"
    assert jit_auth.api.requests == ()


def test_the_requester_does_not_approve_an_own_call(jit_auth: JitAuth, agent: Client) -> None:
    asked = agent.execute("billing.refund", user=ANA, params={"invoice": "in-1", "amount": 5})
    with pytest.raises(Problem) as refused:
        jit_auth.approve(asked, by=ANA)
    assert refused.value.code == "not_eligible"
    assert jit_auth.approve(asked, by=BO).ok


def test_a_quorum_takes_two_and_each_once(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent, 5000)
    assert jit_auth.approve(asked, by=ANA).status == "paused"
    with pytest.raises(Problem) as refused:
        jit_auth.approve(asked, by=ANA)
    assert refused.value.code == "already_decided"
    assert jit_auth.approve(asked, by=BO).ok


def test_a_denial_brings_its_word(jit_auth: JitAuth, agent: Client) -> None:
    denied = jit_auth.deny(refund(agent), by=ANA, feedback="Ask again in May")
    assert (denied.status, denied.error_code) == ("denied", "approval_denied")
    assert denied.error is not None
    assert denied.error["feedback"] == "Ask again in May"
    again = agent.execute("billing.refund", user=ALICE, params={"invoice": "in-1", "amount": 5})
    assert again.error_code == "recently_denied"
    jit_auth.advance(timedelta(minutes=11))
    assert refund(agent).status == "paused"


def test_what_an_approver_changes_is_asked_of_others(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent)
    assert jit_auth.approve(asked, by=ANA, params={"amount": 3}).status == "paused"
    with pytest.raises(Problem) as refused:
        jit_auth.approve(asked, by=ANA)
    assert refused.value.code == "not_eligible"
    assert jit_auth.approve(asked, by=BO).ok
    assert jit_auth.api.requests[-1].json == {"amount": 3}
    with pytest.raises(Problem):
        jit_auth.approve(refund(agent), by=ANA, params={"memo": "no"})


def test_an_approval_for_a_while_serves_the_next(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.approve(refund(agent), by=ANA, hold=timedelta(minutes=30))
    again = {"invoice": "in-1", "amount": 5}
    assert agent.execute("billing.refund", user=ALICE, params=again).ok
    jit_auth.advance(timedelta(minutes=31))
    assert agent.execute("billing.refund", user=ALICE, params=again).status == "paused"


def test_nobody_decides_in_time(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent)
    before = jit_auth.now
    assert jit_auth.expire(asked).status == "expired"
    assert timedelta(minutes=59) < jit_auth.now - before < timedelta(minutes=61)
    with pytest.raises(Misused, match="it is expired"):
        jit_auth.approve(asked, by=ANA)
    with pytest.raises(Misused, match="nothing of it can expire"):
        jit_auth.expire(asked)


def test_a_lost_outcome_is_unknown_and_sent_once(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.api.lose_answer()
    asked = refund(agent)
    assert jit_auth.approve(asked, by=ANA).status == "unknown"
    jit_auth.advance(timedelta(days=1))
    assert len(jit_auth.api.requests) == 1
    with pytest.raises(Problem) as refused:
        jit_auth.resolve(asked, "failed", note="looked", by=ANA)
    assert refused.value.code == "not_eligible"
    assert jit_auth.resolve(asked, "failed", note="It is not in the books", by="dee@example.com").status == "failed"


def test_an_operator_finds_out(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.api.lose_answer()
    asked = jit_auth.approve(refund(agent), by=ANA)
    assert jit_auth.resolve(asked, "succeeded", note="It is in the books").ok


def test_a_lost_read_is_asked_again(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.api.lose_answer()
    assert agent.execute("billing.invoices", user=ALICE).ok
    assert len(jit_auth.api.requests) == 2


def test_an_api_that_fails_or_is_away(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.api.fail(409, {"error": "refunded already"})
    failed = jit_auth.approve(refund(agent), by=ANA)
    assert (failed.status, failed.result and failed.result["body"]) == ("failed", {"error": "refunded already"})
    jit_auth.api.unreachable()
    assert agent.wait(jit_auth.approve(refund(agent, 6), by=ANA), 20).ok
    assert len(jit_auth.api.requests) == 2  # what never left reached nobody


def test_the_api_is_a_function_of_the_request(jit_auth: JitAuth, agent: Client) -> None:
    def invoices(sent: Sent) -> Answer:
        return Answer(200, body=sent.method.encode(), headers={"Content-Type": "text/plain"})

    jit_auth.api.answer(invoices)
    jit_auth.api.answer_once([1])
    assert agent.execute("billing.invoices", user=ALICE).unwrap() == [1]
    assert agent.execute("billing.invoices", user=ALICE).unwrap() == "GET"


def test_time_passes_while_the_api_thinks(jit_auth: JitAuth, agent: Client) -> None:
    asked, answers = Event(), Event()

    def slow(sent: Sent) -> str:
        asked.set()
        return "at last" if answers.wait(20) else "never"

    jit_auth.api.answer(slow)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(agent.execute, "billing.invoices", user=ALICE)
        assert asked.wait(20)
        jit_auth.advance(5)
        answers.set()
        assert call.result(20).unwrap() == "at last"
    assert len(jit_auth.api.requests) == 1


def test_what_a_handler_raises_is_raised_at_the_end(jit_auth: JitAuth, agent: Client) -> None:
    def broken(sent: Sent) -> None:
        raise LookupError("in the test's own code")

    jit_auth.api.answer(broken)
    assert agent.execute("billing.invoices", user=ALICE).status == "failed"
    with pytest.raises(LookupError, match="own code"):
        jit_auth.close()
    jit_auth.api.faults.clear()


def test_a_restart_between_pause_and_decision(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent)
    jit_auth.restart(away=timedelta(minutes=30))
    assert agent.get(asked).status == "paused"
    assert jit_auth.approve(asked, by=ANA).ok
    assert len(jit_auth.api.requests) == 1


def test_a_restart_that_lasts_too_long(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent)
    jit_auth.restart(away=timedelta(hours=2))
    assert agent.wait(asked, 10).status == "expired"


async def test_on_an_event_loop(jit_auth: JitAuth) -> None:
    async with jit_auth.async_client() as agent:
        asked = await agent.execute("billing.refund", user=ALICE, params={"invoice": "in-1", "amount": 5})
        jit_auth.approve(asked, by=ANA)
        assert (await agent.wait(asked, timeout=10)).ok


def test_what_is_not_there(jit_auth: JitAuth, agent: Client) -> None:
    done = agent.execute("billing.invoices", user=ALICE)
    with pytest.raises(Misused, match=r"Nobody is asked for an approval by exe_\w+: it is succeeded"):
        jit_auth.approve(done, by=ANA)
    with pytest.raises(Misused, match="Nobody is asked for a consent"):
        jit_auth.consent(done)
    with pytest.raises(Misused, match="no execution 'exe_none'"):
        jit_auth.deny("exe_none", by=ANA)
    with pytest.raises(Misused, match="no agent 'nobody'"):
        jit_auth.client("nobody")
    with pytest.raises(Misused, match="does not go back"):
        jit_auth.advance(-1)
