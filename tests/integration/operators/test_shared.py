"""Shared credentials: one's own API behind a key or a password, called for nobody in particular, judged by policy."""

from __future__ import annotations

import hashlib
import logging
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from jit_auth.egress import Egress
from jit_auth.errors import Away
from jit_auth.model import Provider, Request
from jit_auth.oauth.call import call
from jit_auth.oauth.metadata import Discovery
from tests.fakes.authority import Authority
from tests.fakes.own_api import OwnApi
from tests.integration.operators.conftest import ADMINS, admin
from tests.integration.service.kit import POLICIES, Answer, Kit, kit

CLERK = "jat_agt_" + "d" * 43
KEY = "own-Key/n3ver+seen=="
WORD = "pass:w0rd/n3ver"
PAIR = b64encode(f"jit-auth:{WORD}".encode()).decode()
SHORT = b64encode(WORD.encode()).decode().rstrip("=")[1:-1]

RULES = """
[[rule]]
id = "own"
match = ["billing.list", "billing.note", "search.*", "ledger.*", "abroad.*"]
effect = "allow"

[[rule]]
id = "pay"
match = ["billing.pay"]
effect = "require_approval"
reason = "Money leaves the house"
approval = { from = ["user:ana@example.com"] }

[[rule]]
id = "self"
match = ["billing.self"]
effect = "require_approval"
approval = { from = ["requester"] }

[[rule]]
id = "owned"
match = ["billing.owned"]
effect = "require_approval"
approval = { from = ["group:books"] }
"""
CONFIG = f"""
[agents.clerk]
secret_sha256 = "{hashlib.sha256(CLERK.encode()).hexdigest()}"
actions = ["billing.*", "search.*", "ledger.*", "abroad.*"]
users = ["*"]
owners = ["bo@example.com"]

[people."bo@example.com"]
groups = ["books"]

[providers.billing]
secret = "{KEY}"

[providers.search]
secret = "{KEY}"

[providers.abroad]
secret = "{KEY}"

[providers.ledger]
username = "jit-auth"
secret = "{WORD}"
"""


def connector(name: str, url: str, provider: str, *writes: str) -> str:
    """One read, and a write by each of the names."""
    text = f"""
id = "{name}"
base_url = "{url}"

[provider]
{provider}

[actions.list]
title = "List"
method = "GET"
path = "/list"
risk = "low"
effect = "read"
params.q = {{ type = "string" }}
"""
    for write in writes:
        text += f"""
[actions.{write}]
title = "{write.title()} an invoice"
summary = "{write.title()} {{invoice}}"
method = "POST"
path = "/{write}"
risk = "high"
effect = "create"
retry = "never"
params.invoice = {{ type = "string", required = true }}
"""
    return text


@dataclass
class Desk:
    """The service, and what stands behind the shared credentials."""

    kit: Kit
    billing: OwnApi
    search: OwnApi
    ledger: OwnApi

    async def execute(self, action: str, *, key: str | None = None, prefer: str | None = None, **body: Any) -> Answer:
        headers = {name: value for name, value in (("Idempotency_Key", key), ("Prefer", prefer)) if value is not None}
        told = {"action": action, "params": {"invoice": "R-7"} if action.startswith("billing.") else {}} | body
        return await self.kit.call("POST", "/execute", told, token=CLERK, **headers)

    async def get(self, path: str) -> Any:
        return (await self.kit.call("GET", path, token=CLERK)).json


@asynccontextmanager
async def opened(folder: Path, **more: Any) -> AsyncIterator[Desk]:
    """Everything but the running service."""
    authority = Authority.make(folder)
    async with AsyncExitStack() as stack:
        billing, search = OwnApi(("X-Api-Key", KEY)), OwnApi(("key", KEY))
        ledger = OwnApi(("Authorization", f"Basic {PAIR}"))
        await stack.enter_async_context(billing.running(authority.server("127.0.0.1")))
        for api in (search, ledger):
            await stack.enter_async_context(api.running())
        world = await stack.enter_async_context(kit(folder, policies=POLICIES + RULES, config=CONFIG + ADMINS, **more))
        header = 'kind = "api_key"\ninject = { header = "X-Api-Key", value = "{secret}" }\n'
        for name, api, provider in (
            ("billing", billing, header + 'ca_file = "ca.pem"'),
            ("abroad", billing, header),
            ("search", search, 'kind = "api_key"\ninject = { query = "key" }'),
            ("ledger", ledger, 'kind = "basic"'),
        ):
            place = world.folder / "connectors" / name
            place.mkdir()
            writes = ("note", "pay", "self", "owned") if name == "billing" else ()
            (place / "connector.toml").write_text(connector(name, api.url, provider, *writes))
        (world.folder / "connectors" / "billing" / "ca.pem").write_text(authority.pem)
        yield Desk(world, billing, search, ledger)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as found, found.kit.running():
        yield found


@pytest.mark.parametrize("action", ["billing.list", "search.list", "ledger.list"])
async def test_a_call_for_nobody_is_done_and_tells_no_secret(
    desk: Desk, action: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await desk.execute(action, params={"q": "x"} if action == "search.list" else {})
    assert (answer.status, answer.json["status"], answer.json["result"]["status"]) == (200, "succeeded", 200)
    assert (answer.json["user"], answer.json["account"], answer.json["waiting_for"]) == (None, None, [])
    store = desk.kit.service and desk.kit.service.store
    assert store is not None
    told = [
        str(answer.json),
        str(await desk.get(f"/executions/{answer.json['id']}")),
        str([row async for row in store.audit.rows()]),
        caplog.text,
        "".join(capfd.readouterr()),
        "".join(desk.kit.printed),
        "".join(path.read_bytes().decode("latin-1") for path in desk.kit.folder.glob("jit-auth.db*")),
    ]
    for secret in (KEY, WORD, PAIR, SHORT, "own-Key%2Fn3ver", b64encode(KEY.encode()).decode()[1:-3]):
        assert not [text for text in told if secret in text]
    assert "[removed]" in told[0]


async def test_the_key_goes_to_its_place_alone(desk: Desk) -> None:
    await desk.execute("search.list", params={"q": "a&key=b"})
    await desk.execute("ledger.list")
    await desk.execute("billing.note")
    assert desk.search.seen[0].raw_path == "/list?q=a%26key%3Db&key=own-Key%2Fn3ver%2Bseen%3D%3D"
    assert "authorization" not in desk.search.seen[0].headers
    assert desk.ledger.seen[0].headers["Authorization"] == f"Basic {PAIR}"
    assert desk.billing.seen[0].headers["X-Api-Key"] == KEY
    assert (desk.billing.seen[0].method, desk.billing.seen[0].path) == ("POST", "/note")


@pytest.mark.parametrize("there", ["/end?x=1", "end", "/end?key=own-Key%2Fn3ver%2Bseen%3D%3D"])
async def test_a_key_follows_to_the_same_origin(desk: Desk, there: str) -> None:
    desk.search.moves, desk.ledger.moves = {"/list": there}, {"/list": "/end"}
    for action in ("search.list", "ledger.list"):
        answer = await desk.execute(action)
        assert (answer.json["status"], answer.json["result"]["status"]) == ("succeeded", 200)
        assert "own-Key" not in str(answer.json)
    assert desk.search.seen[0].raw_path.count("key=") == 1


async def test_a_key_does_not_follow_elsewhere(desk: Desk) -> None:
    desk.search.moves = {"/list": f"{desk.ledger.url}/list"}
    answer = await desk.execute("search.list")
    assert (answer.json["status"], answer.json["result"]["status"]) == ("succeeded", 302)
    assert desk.ledger.seen == []


async def test_an_approver_sees_whose_credential_it_is_and_nobody_consents(desk: Desk) -> None:
    answer = await desk.execute("billing.pay")
    assert answer.status == 202
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["approval"]
    url = await link(desk, answer.json["id"])
    async with desk.kit.session.get(url) as reply:
        page = await reply.text()
    assert "nobody in particular" in page
    assert "a credential that this service holds for everybody" in page
    assert "x-api-key" in page.lower()
    assert KEY not in page
    assert (await desk.kit.decide(url)).status == 200
    done = await desk.get(f"/executions/{answer.json['id']}?wait=10")
    assert (done["status"], done["user"]) == ("succeeded", None)
    assert len(desk.billing.seen) == 1


async def link(desk: Desk, execution_id: str) -> str:
    """The link that was printed for ana."""
    found = await desk.get(f"/executions/{execution_id}?wait=1")
    ids = [item["id"] for item in found["waiting_for"]]
    return next(line.split()[3] for line in desk.kit.printed if line.split()[1] in ids)


@pytest.mark.parametrize("action", ["billing.self", "billing.owned"])
async def test_nobody_is_the_requester_and_owners_do_not_count(desk: Desk, action: str) -> None:
    answer = await desk.execute(action)
    assert (answer.status, answer.json["execution"]["error"]["code"]) == (403, "no_approver")
    assert desk.billing.seen == []


async def test_a_user_may_be_named_and_is_asked_for_nothing(desk: Desk) -> None:
    answer = await desk.execute("billing.note", user="alice@example.com")
    assert (answer.status, answer.json["user"], answer.json["account"]) == (200, "alice@example.com", None)
    own = await desk.execute("billing.self", user="alice@example.com")
    assert [item["kind"] for item in own.json["waiting_for"]] == ["approval"]
    named = await desk.execute("billing.note", user="alice@example.com", account="alice")
    assert (named.status, named.json["code"]) == (422, "unknown_account")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_equal_calls_for_nobody_join_and_keys_hold(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    more = {} if database == "sqlite" else {"storage": request.getfixturevalue("postgres_url")}
    async with opened(tmp_path, **more) as desk, desk.kit.running():
        first = await desk.execute("billing.pay", key="k1")
        same = await desk.execute("billing.pay", key="k1")
        joined = await desk.execute("billing.pay")
        other = await desk.execute("billing.pay", params={"invoice": "R-8"})
        named = await desk.execute("billing.pay", user="alice@example.com")
        assert {first.json["id"], same.json["id"], joined.json["id"]} == {first.json["id"]}
        assert joined.json["joined"] is True
        assert len({first.json["id"], other.json["id"], named.json["id"]}) == 3
        listed = await desk.get("/executions?status=paused")
        assert [item["user"] for item in listed["items"]] == ["alice@example.com", None, None]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_credential_is_for_operators_and_asked_of_nobody(desk: Desk, status: int) -> None:
    desk.billing.statuses = [status]
    answer = await desk.execute("billing.note")
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert answer.json["error"]["code"] == "provider_misconfigured"
    assert "An operator" in answer.json["error"]["hint"]
    assert (answer.json["waiting_for"], answer.json["result"]["status"]) == ([], status)
    assert len(desk.billing.seen) == 1
    assert KEY not in str(answer.json)


async def test_another_secret_changes_no_digest(tmp_path: Path) -> None:
    """What was approved stays approved when the key is renewed: the digest holds the place alone."""
    async with opened(tmp_path) as desk:
        async with desk.kit.running():
            answer = await desk.execute("billing.pay")
            url = await link(desk, answer.json["id"])
        file = desk.kit.folder / "config.toml"
        file.write_text(file.read_text().replace(KEY, "a-new-key-of-theirs"))
        desk.billing.expects = ("X-Api-Key", "a-new-key-of-theirs")
        async with desk.kit.running():
            assert (await desk.get(f"/executions/{answer.json['id']}"))["digest"] == answer.json["digest"]
            assert (await desk.kit.decide(url)).status == 200
            done = await desk.get(f"/executions/{answer.json['id']}?wait=10")
            assert (done["status"], len(desk.billing.seen)) == ("succeeded", 1)


async def test_an_authority_counts_for_whoever_names_it(desk: Desk) -> None:
    """The same server: one connector names its authority, the other does not and sends it nothing."""
    assert (await desk.execute("billing.note")).json["status"] == "succeeded"
    answer = await desk.execute("abroad.list", prefer="wait=0")
    assert (answer.status, answer.json["status"]) == (202, "executing")
    withdrawn = await desk.kit.call("GET", f"/executions/{answer.json['id']}", token=CLERK)
    assert withdrawn.json["result"] is None
    assert len(desk.billing.seen) == 1


async def test_endpoints_of_a_provider_are_vouched_for_too(desk: Desk) -> None:
    pem = (desk.kit.folder / "connectors" / "billing" / "ca.pem").read_text()
    egress = Egress(["127.0.0.1"])
    request = Request("GET", f"{desk.billing.url}/token")
    try:
        reply = await call(egress, request, Provider(id="corp", hosts=("127.0.0.1",), ca=pem))
        assert reply.status == 401
        bare = Provider(id="corp", hosts=("127.0.0.1",), issuer=desk.billing.url)
        with pytest.raises(Away):
            await call(egress, request, bare)
        # Metadata that one provider's authority vouched for is not taken for another that trusts fewer.
        discovery = Discovery(egress, lambda: 0)
        assert not await discovery.promises_iss(replace(bare, ca=pem))
        with pytest.raises(Away):
            await discovery.promises_iss(bare)
    finally:
        await egress.close()


async def test_a_stopped_connector_sends_nothing(desk: Desk) -> None:
    assert (await admin(desk.kit, "revoke", {"connector": "billing", "reason": "leak"})).status == 200
    answer = await desk.execute("billing.note")
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    assert desk.billing.seen == []
