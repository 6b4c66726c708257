"""The kit as a stranger's conftest.py has it, with an API behind a key, one behind OAuth, and functions."""

from __future__ import annotations

import pytest

from jit_auth.client import Client, Execution
from jit_auth.testing import JitAuth, Setup, jit_auth_fixture

__all__ = ["jit_auth_fixture"]

BILLING = """
id = "billing"
name = "Billing"
base_url = "https://billing.example.com/v1"

[provider]
kind = "api_key"
inject = { header = "Authorization", value = "Bearer {secret}" }

[actions.refund]
title = "Refund an invoice"
summary = "Refund {amount} of {invoice}"
method = "POST"
path = "/invoices/{invoice}/refunds"
risk = "high"
effect = "create"
params.invoice = { type = "string", required = true }
params.amount = { type = "integer", required = true }
params.memo = { type = "string" }

[actions.invoices]
title = "List invoices"
method = "GET"
path = "/invoices"
risk = "low"
effect = "read"
"""
MAILHUB = """
id = "mailhub"
name = "MailHub"
base_url = "https://api.mailhub.example/v1"

[provider]
kind = "oauth2"
authorize_url = "https://auth.mailhub.example/authorize"
token_url = "https://auth.mailhub.example/token"
revoke_url = "https://auth.mailhub.example/revoke"
userinfo_url = "https://auth.mailhub.example/me"

[actions.messages]
title = "List messages"
method = "GET"
path = "/messages"
scopes = ["mail.read"]
risk = "low"
effect = "read"

[actions.labels]
title = "List labels"
method = "GET"
path = "/labels"
scopes = ["mail.read", "mail.labels"]
risk = "low"
effect = "read"
"""
OPS = """
id = "ops"

[actions.restart]
title = "Restart a service"
summary = "Restart {service}"
run = "agent"
risk = "high"
effect = "update"
params.service = { type = "string", required = true }
"""
POLICIES = """
format = 1

[defaults]
unknown_to = ["user:dee@example.com"]

[[rule]]
id = "reads"
match = ["*"]
when = "action.effect == 'read'"
effect = "allow"

[[rule]]
id = "refunds"
match = ["billing.refund"]
effect = "require_approval"
approval = { from = ["group:finance"], editable = ["amount"], for_max = "1h" }

[[rule]]
id = "large"
match = ["billing.refund"]
when = "params.amount > 1000"
effect = "require_approval"
approval = { from = ["group:finance"], need = 2 }

[[rule]]
id = "restarts"
match = ["ops.restart"]
effect = "require_approval"
approval = { from = ["user:ana@example.com"] }
"""
ALICE = "alice@example.com"
ANA = "ana@example.com"
BO = "bo@example.com"
PEOPLE: dict[str, dict[str, list[str]]] = {
    ANA: {"groups": ["finance"]},
    BO: {"groups": ["finance"]},
    "cy@example.com": {},
}


@pytest.fixture
def jit_auth_setup() -> Setup:
    return Setup(connectors=[BILLING, MAILHUB, OPS], policies=[POLICIES], people=PEOPLE)


@pytest.fixture
def agent(jit_auth: JitAuth) -> Client:
    return jit_auth.client()


def refund(agent: Client, amount: int = 5, **body: str) -> Execution:
    """A call that people are asked for."""
    params = {"invoice": "in-1", "amount": amount}
    asked = agent.execute("billing.refund", user=ALICE, params=params, callback_url=body.get("callback_url"))
    assert asked.status == "paused", asked.raw
    return asked
