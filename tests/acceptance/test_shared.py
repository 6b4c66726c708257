"""One's own API behind a key or a password: set up by files alone, called for nobody in particular."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Service, World
from tests.fakes.authority import Authority
from tests.fakes.own_api import OwnApi

Own = Callable[..., Service]
ANA = "ana@example.com"
KEY = "bill-n3ver/Seen+again"
WORD = "ledger:n3ver-seen"
ENV = {"BILLING_KEY": KEY, "LEDGER_WORD": WORD}

CONFIG = (
    files.CONFIG.replace('"mailhub.*", "mail', '"billing.*", "ledger.*", "mailhub.*", "mail', 1)
    + """
[providers.billing]
secret = { env = "BILLING_KEY" }

[providers.ledger]
username = "jit-auth"
secret = { env = "LEDGER_WORD" }
"""
)
RULES = (
    files.POLICIES
    + """
[[rule]]
id = "own-reads"
match = ["billing.list", "ledger.list"]
effect = "allow"

[[rule]]
id = "own-writes"
match = ["billing.pay"]
effect = "require_approval"
reason = "Money leaves the house"
approval = { from = ["user:ana@example.com"] }
"""
)
ACTIONS = """
[actions.list]
title = "List"
method = "GET"
path = "/list"
risk = "low"
effect = "read"

[actions.pay]
title = "Pay an invoice"
summary = "Pay {invoice}"
method = "POST"
path = "/pay"
risk = "high"
effect = "create"
params.invoice = { type = "string", required = true }
"""


def connector(name: str, url: str, provider: str) -> str:
    return f'id = "{name}"\nbase_url = "{url}"\n\n[provider]\n{provider}\n{ACTIONS}'


@pytest.fixture
def billing(world: World, tmp_path: Path) -> Iterator[tuple[OwnApi, str]]:
    """An API under TLS, and the authority that vouches for it."""
    authority, api, stack = Authority.make(tmp_path), OwnApi(("X-Api-Key", KEY)), AsyncExitStack()
    world.run(stack.enter_async_context(api.running(authority.server("127.0.0.1"))))
    yield api, authority.pem
    world.run(stack.aclose())


@pytest.fixture
def ledger(world: World) -> Iterator[OwnApi]:
    pair = b64encode(f"jit-auth:{WORD}".encode()).decode()
    api, stack = OwnApi(("Authorization", f"Basic {pair}")), AsyncExitStack()
    world.run(stack.enter_async_context(api.running()))
    yield api
    world.run(stack.aclose())


def made(url: str, ledger_url: str, pem: str) -> dict[str, str]:
    header = 'kind = "api_key"\ninject = { header = "X-Api-Key", value = "{secret}" }\nca_file = "ca.pem"'
    return {
        "config.toml": CONFIG,
        "policies.toml": RULES,
        "connectors/billing/connector.toml": connector("billing", url, header),
        "connectors/billing/ca.pem": pem,
        "connectors/ledger/connector.toml": connector("ledger", ledger_url, 'kind = "basic"'),
    }


def test_an_api_of_one_s_own(own: Own, billing: tuple[OwnApi, str], ledger: OwnApi) -> None:
    api, pem = billing
    service = own(made(api.url, ledger.url, pem), ENV)
    assert service.command("check").returncode == 0
    service.start()
    for action in ("billing.list", "ledger.list"):
        told = service.agent.execute(action)
        assert (told.status, told.json["status"], told.json["user"]) == (200, "succeeded", None)
    paused, item = service.paused(service.agent.execute("billing.pay", params={"invoice": "R-7"}))
    assert (paused["user"], paused["account"], item["from"]) == (None, None, [f"user:{ANA}"])
    url = service.link(item["id"], ANA)
    page = service.anyone.get(url, Accept="text/html").body.decode()
    assert "Pay R-7" in page
    assert "a credential that this service holds for everybody" in page
    assert service.vote(url).status == 200
    done = service.agent.settled(paused)
    assert (done["status"], done["user"], done["digest"]) == ("succeeded", None, paused["digest"])
    assert [seen.path for seen in api.seen] == ["/list", "/pay"]
    trail = service.command("audit", "export").stdout
    everything = f"{told.body!r}{page}{done}{trail}{service.lines}{service.stderr}"
    everything += "".join(path.read_bytes().decode("latin-1") for path in service.folder.glob("jit-auth.db*"))
    for secret in (KEY, WORD, b64encode(WORD.encode()).decode()[1:-3], "bill-n3ver%2FSeen%2Bagain"):
        assert secret not in everything
    shown = service.command("connectors", "show", "billing").stdout
    assert "one for all users" in shown
    assert KEY not in shown
    assert service.command("audit", "verify").returncode == 0


def test_what_is_missing_is_named_with_its_line(own: Own, billing: tuple[OwnApi, str], ledger: OwnApi) -> None:
    api, pem = billing
    wanted = made(api.url, ledger.url, pem)
    bare = CONFIG.replace('secret = { env = "BILLING_KEY" }\n', "")
    line = bare.splitlines().index("[providers.billing]") + 1
    service = own(wanted | {"config.toml": bare}, ENV)
    told = service.command("check")
    assert (told.returncode, f"config.toml:{line}: " in told.stdout) == (1, True), told.stdout
    assert "Set `secret` in [providers.billing]." in told.stdout
    served = service.command("serve")
    assert (served.returncode, "[providers.billing]" in served.stderr + served.stdout) == (1, True)
    whole = own(wanted | {"connectors/billing/ca.pem": "nothing"}, ENV).command("check")
    line = wanted["connectors/billing/connector.toml"].splitlines().index('ca_file = "ca.pem"') + 1
    assert (whole.returncode, f"connector.toml:{line}: ca_file: " in whole.stdout) == (1, True), whole.stdout


@pytest.mark.parametrize("status", [401, 403])
def test_a_credential_that_is_refused_is_no_user_s_matter(
    own: Own, billing: tuple[OwnApi, str], ledger: OwnApi, status: int
) -> None:
    api, pem = billing
    service = own(made(api.url, ledger.url, pem), ENV).start()
    ledger.statuses = [status]
    told = service.agent.execute("ledger.list").json
    assert (told["status"], told["waiting_for"]) == ("failed", [])
    assert told["error"]["code"] == "provider_misconfigured"
    assert "config.toml" in told["error"]["hint"]
