"""What a service is made of in a test: texts, folders, a deployment's files, which lead no test to production."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from jit_auth.errors import Faults
from jit_auth.testing import Misused, Setup, run
from jit_auth.testing.configuration import Configuration
from tests.integration.testing_kit.conftest import ALICE, ANA, BILLING, PEOPLE, POLICIES, refund

CONFIG = """
[server]
public_url = "https://jit-auth.example.com"
listen = "0.0.0.0:443"
environment = "production"

[storage]
url = { command = ["touch", "ran-for-the-database"] }

[vault]
keys = [{ id = "k", command = ["touch", "ran-for-the-key"] }]

[admins.olga]
secret_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
role = "security"

[issuers.corp]
issuer = "https://login.example.com"
client_id = "jit-auth"
client_secret = { file = "not-here" }
domains = ["example.com"]

[users]
verify = "oidc"
issuer = "corp"
consent = "shared"

[agents.clerk]
secret_sha256 = "1111111111111111111111111111111111111111111111111111111111111111"
actions = ["billing.*"]
users = ["alice@example.com"]
callback_secret = { env = "NOT_SET" }
callback_urls = ["https://clerk.example.com/hooks/"]

[people."ana@example.com"]
groups = ["finance"]
slack = "U012ANA"
[people."bo@example.com"]
groups = ["finance"]

[channels.slack]
bot_token = { env = "NOT_SET" }
signing_secret = { command = ["touch", "ran-for-slack"] }

[channels.email]
smtp_url = { file = "not-here" }
from = "approvals@example.com"

[providers.billing]
secret = "a-literal-secret-of-production"

[connectors]
paths = ["connectors"]

[policies]
paths = ["policies.toml"]

[limits]
approved_send_within = "1m"

[webhooks.ops]
url = "https://ops.example.com/hook"
secret = { command = ["touch", "ran-for-the-webhook"] }
"""
PLAIN = POLICIES.partition('\n[[rule]]\nid = "restarts"')[0]
RULES = PLAIN.replace('for_max = "1h"', 'for_max = "1h", via = ["slack", "page"]')


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    folder = tmp_path / "deployment"
    (folder / "connectors" / "billing").mkdir(parents=True)
    (folder / "connectors" / "billing" / "connector.toml").write_text(BILLING)
    (folder / "policies.toml").write_text(RULES)
    (folder / "config.toml").write_text(CONFIG)
    return folder


def test_a_deployments_own_files_decide_and_reach_nothing_of_it(deployment: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in deployment.rglob("*"))
    with run(Setup(config=deployment / "config.toml"), tmp_path / "kit") as kit:
        clerk = kit.client("clerk")
        asked = refund(clerk)
        assert asked.chain == ("clerk",)
        assert kit.approve(asked, by=ANA).ok
        (sent,) = kit.api.requests
        assert sent.url.startswith("https://billing.example.com/")
        assert b"production" not in sent.raw
        assert kit.next_delivery("execution.finished").url == "https://ops.example.com/hook"
    assert sorted(path.name for path in deployment.rglob("*")) == before  # no command ran, no database was made
    assert (tmp_path / "kit" / "jit-auth.db").exists()


def test_what_follows_from_its_address_stays(deployment: Path, tmp_path: Path) -> None:
    place = ("http://127.0.0.1:1", "jat_agt_x")
    beyond = Configuration(Setup(config=deployment / "config.toml"), tmp_path, *place).settings()
    assert (beyond.agents["clerk"].trusts_users, beyond.agents["clerk"].sees_people) == (False, False)
    assert (beyond.server.environment, beyond.loopback, beyond.users.consent) == ("production", True, "shared")
    assert beyond.storage.url == f"sqlite:///{tmp_path}/jit-auth.db"
    assert list(beyond.admins) == ["testing"]
    here = CONFIG.replace("https://jit-auth.example.com", "http://127.0.0.1:8080").replace("0.0.0.0:443", "[::1]:8080")
    (deployment / "config.toml").write_text(here)
    local = Configuration(Setup(config=deployment / "config.toml"), tmp_path, *place).settings()
    assert (local.agents["clerk"].trusts_users, local.agents["clerk"].sees_people) == (True, True)


def test_faults_are_told_where_they_are(deployment: Path, tmp_path: Path) -> None:
    config = deployment / "config.toml"
    config.write_text(CONFIG.replace("[limits]", "[limts]"))
    with pytest.raises(Faults, match=r"config\.toml:\d+: .*limts"), run(Setup(config=config), tmp_path / "one"):
        pass
    broken = PLAIN.replace("params.amount > 1000", "params.amuont > 1000")
    setup = Setup(connectors=[BILLING], policies=[broken], people=PEOPLE)
    with pytest.raises(Faults, match="did you mean 'amount'"), run(setup, tmp_path / "two"):
        pass
    with pytest.raises(Misused, match=r"no connector\.toml"), run(Setup(connectors=["title = 1"]), tmp_path / "three"):
        pass
    storage = {"storage": {"url": "postgresql://production.example/jit_auth"}}
    with pytest.raises(Misused, match="the kit's own"), run(Setup(tables=storage), tmp_path / "five"):
        pass
    with pytest.raises(Faults, match="no such folder"), run(Setup(connectors=[tmp_path / "none"]), tmp_path / "four"):
        pass


def test_without_rules_everything_is_denied(tmp_path: Path) -> None:
    with run(Setup(connectors=[BILLING]), tmp_path) as kit:
        denied = kit.client().execute("billing.invoices", user=ALICE)
        assert denied.error_code == "policy_denied"
        assert kit.api.requests == ()


def test_what_is_critical_is_named_as_ever(tmp_path: Path) -> None:
    critical = BILLING.replace('risk = "low"', 'risk = "critical"')
    rules = POLICIES.partition("[[rule]]")[0] + '[[rule]]\nid = "all"\nmatch = ["billing.invoices"]\neffect = "allow"\n'
    agents = {"one": {"actions": ["*"]}, "two": {"actions": ["billing.invoices"]}}
    setup = Setup(connectors=[critical], policies=[rules], agents=agents)
    with run(setup, tmp_path) as kit:
        names = {each["name"] for each in kit.client("one").actions()}
        assert "billing.refund" in names
        assert "billing.invoices" not in names
        assert kit.client("two").execute("billing.invoices", user=ALICE).ok


class Books(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'["real"]'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_a_server_of_the_tests_own_is_really_called(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Books)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        own = BILLING.replace("https://billing.example.com", f"http://127.0.0.1:{server.server_port}")
        with run(Setup(connectors=[own], policies=[PLAIN], people=PEOPLE), tmp_path) as kit:
            agent = kit.client()
            assert agent.execute("billing.invoices", user=ALICE).unwrap() == ["real"]
            assert len(kit.api.requests) == 1
            kit.api.lose_answer()
            assert agent.wait(agent.execute("billing.invoices", user=ALICE), 20).unwrap() == ["real"]
            assert len(kit.api.requests) == 3
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_hosts_and_addresses_are_judged_as_ever(tmp_path: Path) -> None:
    inside = BILLING.replace("https://billing.example.com", "https://169.254.169.254")
    with run(Setup(connectors=[inside], policies=[PLAIN], people=PEOPLE), tmp_path) as kit:
        failed = kit.client().execute("billing.invoices", user=ALICE)
        assert failed.error_code == "address_refused"
        assert kit.api.requests == ()


def test_two_at_once_know_nothing_of_each_other(tmp_path: Path) -> None:
    setup = Setup(connectors=[BILLING], policies=[PLAIN], people=PEOPLE)
    with run(setup, tmp_path / "one") as one, run(setup, tmp_path / "two") as two:
        assert one.url != two.url
        asked = refund(one.client())
        with pytest.raises(Misused, match="no execution"):
            two.approve(asked, by=ANA)
        assert one.approve(asked, by=ANA).ok
