"""Operators, events and further agents."""

from __future__ import annotations

import pytest

from jit_auth.client import Client, Refused, WebhookError
from jit_auth.errors import Faults
from jit_auth.testing import JitAuth, Misused, Setup
from tests.integration.testing_kit.conftest import ALICE, ANA, BILLING, PEOPLE, POLICIES, refund

HOOK = "https://agent.test/hooks/done"
SECRET = "whsec_" + "aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8h"


def test_halted_nothing_is_sent(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent)
    jit_auth.halt("an incident")
    assert jit_auth.approve(asked, by=ANA).open
    assert jit_auth.api.requests == ()
    jit_auth.resume("it is over")
    assert agent.wait(asked, 10).ok


def test_a_revoked_agent_and_a_stopped_connector(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent)
    jit_auth.revoke(agent="agent")
    assert agent.execute("billing.invoices", user=ALICE).error_code == "revoked"
    jit_auth.restore(agent="agent")
    assert agent.get(asked).error_code == "revoked"
    jit_auth.revoke(connector="billing")
    assert agent.execute("billing.invoices", user=ALICE).error_code == "revoked"
    jit_auth.restore(connector="billing")
    assert agent.execute("billing.invoices", user=ALICE).ok
    with pytest.raises(Refused):
        jit_auth.revoke(agent="nobody")


def test_an_agent_may_what_its_table_says(jit_auth: JitAuth) -> None:
    jit_auth.register("reader", actions=["billing.invoices"], users=[ALICE])
    with jit_auth.client("reader") as reader:
        assert reader.execute("billing.invoices", user=ALICE).ok
        with pytest.raises(Refused) as refused:
            reader.execute("billing.refund", user=ALICE, params={"invoice": "in-1", "amount": 1})
        assert refused.value.code == "action_not_permitted"
        with pytest.raises(Refused) as refused:
            reader.execute("billing.invoices", user="bob@example.com")
        assert refused.value.code == "user_not_permitted"
    with pytest.raises(Faults, match="acitons"):
        jit_auth.register("typo", acitons=["billing.*"])
    with pytest.raises(Misused, match="no agent 'typo'"):
        jit_auth.token("typo")
    jit_auth.restart()  # nothing of it is kept


def test_callbacks_are_signed_and_received(jit_auth: JitAuth, agent: Client) -> None:
    asked = refund(agent, callback_url=HOOK)
    jit_auth.approve(asked, by=ANA)
    came = jit_auth.next_delivery("execution.finished")
    secret = jit_auth.callback_secret()
    assert came.url == HOOK
    assert agent.verify_webhook(came.body, came.headers, secret) == came.event
    assert came.event["data"]["execution"] == asked.id
    with pytest.raises(WebhookError):
        agent.verify_webhook(came.body + b" ", came.headers, secret)
    assert jit_auth.next_delivery().type == "execution.paused"
    asked_of, decided = jit_auth.next_delivery(), jit_auth.next_delivery()
    assert (asked_of.type, decided.type) == ("approval.requested", "approval.decided")
    assert len(jit_auth.deliveries) == 4
    with pytest.raises(Misused, match=r"delivered so far: execution\.paused, "):
        jit_auth.next_delivery(timeout=0.01)
    assert len(jit_auth.api.requests) == 1  # events are none of the API's


class TestWebhooks:
    @pytest.fixture
    def jit_auth_setup(self) -> Setup:
        hooks = {"ops": {"url": "https://ops.example.com/jit-auth", "secret": SECRET}}
        return Setup(
            connectors=[BILLING],
            policies=[POLICIES.partition('[[rule]]\nid = "restarts"')[0]],
            people=PEOPLE,
            tables={"webhooks": hooks},
        )

    def test_are_received_too(self, jit_auth: JitAuth, agent: Client) -> None:
        asked = refund(agent)
        assert jit_auth.next_delivery("approval.requested").url == "https://ops.example.com/jit-auth"
        jit_auth.approve(asked, by=ANA)
        assert jit_auth.next_delivery("approval.decided").event["data"]["execution"] == asked.id
