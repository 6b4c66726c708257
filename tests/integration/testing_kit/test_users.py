"""Accounts that users have, without a browser: connected before, when asked, in part, or refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jit_auth.client import Client, Refused
from jit_auth.testing import JitAuth, Problem, Setup
from tests.integration.testing_kit.conftest import ALICE, MAILHUB

READS = """
format = 1
[[rule]]
id = "reads"
match = ["*"]
when = "action.effect == 'read'"
effect = "allow"
"""


def test_a_user_who_has_connected(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.connect(ALICE, "mailhub.messages")
    jit_auth.api.answer([{"id": 1}])
    assert agent.execute("mailhub.messages", user=ALICE).unwrap() == [{"id": 1}]
    assert jit_auth.api.requests[0].headers["authorization"].startswith("Bearer token-")
    assert agent.execute("mailhub.messages", user="bob@example.com").status == "paused"
    lacking = agent.execute("mailhub.labels", user=ALICE)
    assert lacking.waiting_for[0]["missing_scopes"] == ["mail.labels"]
    assert jit_auth.consent(lacking).ok


def test_consents_are_one_agents_and_the_kit_gives_it_no_rights(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.register("other", actions=["mailhub.messages"])
    jit_auth.connect(ALICE, "mailhub.messages", agent="other")
    assert agent.execute("mailhub.messages", user=ALICE).status == "paused"
    with jit_auth.client("other") as other:
        assert other.execute("mailhub.messages", user=ALICE).ok
        with pytest.raises(Refused) as refused:
            other.connections.list(ALICE)
        assert refused.value.code == "connections_not_permitted"
    with pytest.raises(Problem) as barred:
        jit_auth.connect(ALICE, "mailhub.labels", agent="other")
    assert barred.value.code == "action_not_permitted"


def test_what_the_provider_gives_in_part(jit_auth: JitAuth, agent: Client) -> None:
    asked = agent.execute("mailhub.labels", user=ALICE)
    part = jit_auth.consent(asked, scopes=["mail.read"])
    assert (part.status, part.waiting_for[0]["missing_scopes"]) == ("paused", ["mail.labels"])
    assert jit_auth.consent(asked).ok


def test_a_user_who_says_no(jit_auth: JitAuth, agent: Client) -> None:
    asked = agent.execute("mailhub.messages", user=ALICE)
    assert jit_auth.refuse_consent(asked).error_code == "consent_refused"
    assert jit_auth.api.requests == ()


def test_tokens_are_refreshed_and_live_through_a_restart(jit_auth: JitAuth, agent: Client) -> None:
    jit_auth.connect(ALICE, "mailhub.messages")
    jit_auth.advance(timedelta(hours=2))
    jit_auth.restart(away=timedelta(hours=2))
    assert agent.execute("mailhub.messages", user=ALICE).ok
    jit_auth.revoke(user=ALICE)
    assert agent.execute("mailhub.messages", user=ALICE).status == "paused"


def test_several_accounts_are_named(jit_auth: JitAuth, agent: Client) -> None:
    for account in ("work@example.com", "home@example.com"):
        asked = agent.execute("mailhub.messages", user=f"{account.split('@')[0]}@users.example.com")
        assert jit_auth.consent(asked, account=account).ok


class TestShippedConnectors:
    """Providers of every form: nested tokens, issuers, other separators."""

    @pytest.fixture
    def jit_auth_setup(self) -> Setup:
        issuer = MAILHUB.replace('id = "mailhub"', 'id = "byissuer"')
        for line in issuer.splitlines():
            if line.startswith(("authorize_url", "token_url", "revoke_url", "userinfo_url")):
                issuer = issuer.replace(line, "")
        issuer = issuer.replace('kind = "oauth2"', 'kind = "oauth2"\nissuer = "https://auth.mailhub.example"')
        return Setup(connectors=[issuer], policies=[READS])

    def test_each_can_be_connected(self, jit_auth: JitAuth, agent: Client) -> None:
        issue: dict[str, object] = {"owner": "o", "repo": "r", "issue_number": 1}
        calls: dict[str, dict[str, object]] = {
            "github.get_issue": issue,
            "github.get_authenticated_user": {},  # at the address of its userinfo
            "gmail.list_messages": {},
            "slack.list_channels": {},
            "byissuer.messages": {},
        }
        for action in calls:
            jit_auth.connect(ALICE, action)
        assert jit_auth.api.requests == ()
        for action, params in calls.items():
            assert agent.execute(action, user=ALICE, params=params).ok, action
        assert len(jit_auth.api.requests) == len(calls)
