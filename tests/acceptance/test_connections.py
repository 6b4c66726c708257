"""/connections as a process serves it, with django-oauth-toolkit as the provider: connect first, list, choose, end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance import files
from tests.acceptance.kit import Answer, Http, Service, World, until
from tests.fakes.browser import Browser
from tests.fakes.provider_dot import DotProvider

SECRET = "d0t+secret %"
ALICE, WORK, ZED = "alice@example.com", "work@example.com", "zed@example.com"
READ, SEND = "dothub.read", "dothub.send"


@pytest.fixture(scope="module")
def dot() -> Iterator[DotProvider]:
    with DotProvider.start() as server:
        yield server


def connector(dot: DotProvider) -> str:
    return f"""
id = "dothub"
name = "DotHub"
base_url = "{dot.url}/v1"

[provider]
kind = "oauth2"
issuer = "{dot.url}"
authorize_url = "{dot.authorize_url}"
token_url = "{dot.token_url}"
revoke_url = "{dot.revoke_url}"
userinfo_url = "{dot.userinfo_url}"
hosts = ["127.0.0.1"]
scope_titles = {{ "mail.read" = "Read your mail", "mail.send" = "Send mail as you" }}

[actions.read]
title = "Read messages"
method = "GET"
path = "/messages"
scopes = ["mail.read"]
risk = "low"
effect = "read"

[actions.send]
title = "Send a message"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "low"
effect = "create"
params.to = {{ type = "string", required = true }}
"""


RULE = """
[[rule]]
id = "dot"
match = ["dothub.*"]
effect = "allow"
ignores = ["to"]
"""


@pytest.fixture
def served(own: Callable[..., Service], dot: DotProvider) -> Service:
    """Both agents may connect; nothing of it is running before."""
    config = files.CONFIG.replace('"public.*"]', '"public.*", "dothub.*"]\nconnections = true')
    config = config.replace('"echo.say"]', '"echo.say", "dothub.read"]\nconnections = true')
    config = config.replace(
        "[providers.corp]",
        f'[providers.dothub]\nclient_id = "jit-auth"\nclient_secret = "{SECRET}"\n\n[providers.corp]',
    )
    service = own(
        {
            "config.toml": config,
            "policies.toml": files.POLICIES + RULE,
            "connectors/dothub/connector.toml": connector(dot),
        }
    )
    dot.client("jit-auth", SECRET, f"{service.url}/oauth/callback/dothub")
    dot.reset()
    return service.start()


def ask(agent: Http, *actions: str, user: str = ALICE, **more: Any) -> Any:
    answer = agent.post("/connections", {"user": user, "actions": list(actions), **more})
    assert answer.status == 201, answer.body
    return answer.json


def items(agent: Http, user: str = ALICE) -> list[Any]:
    found: list[Any] = agent.get(f"/connections?user={user}").json["items"]
    return found


def delete(agent: Http, id: str) -> Answer:
    return agent.ask("DELETE", f"/connections/{id}")


def test_from_nothing_to_two_accounts_and_back(served: Service, world: World, dot: DotProvider) -> None:
    agent = served.agent
    told = ask(agent, READ, SEND, return_url="http://127.0.0.1:9000/done")
    (item,) = told["waiting_for"]
    assert (item["kind"], item["provider"]) == ("consent", "dothub")
    assert sorted(item["missing_scopes"]) == ["mail.read", "mail.send"]
    assert told["url"] == item["url"]
    page = served.anyone.get(item["url"], Accept="text/html").body.decode()
    for word in ("mailbot", "DotHub", "Read messages", "Send a message", "Read your mail", "Send mail as you", ALICE):
        assert word in page, word
    served.restart()
    assert ask(agent, SEND, READ, return_url="http://127.0.0.1:9000/done")["url"] == item["url"]

    async def play(browser: Browser) -> str:
        await browser.get(item["url"])
        await browser.submit()
        try:
            await browser.consent(user=ALICE)
        except OSError:  # nothing listens on 9000
            return browser.trail[-1]
        return browser.page.url

    assert world.browse(play) == "http://127.0.0.1:9000/done"
    assert agent.execute(READ, ALICE).json["status"] == "succeeded"
    assert agent.execute(SEND, ALICE, params={"to": "bo"}).json["status"] == "succeeded"
    assert ask(agent, READ, SEND)["waiting_for"] == []

    more = ask(agent, READ, another_account=True)
    assert "Both are kept" in world.consent(more["url"], user=WORK).text
    found = items(agent)
    assert [each["account_name"] for each in found] == [WORK, ALICE]
    assert len({each["account"] for each in found}) == 2
    refused = agent.execute(READ, ALICE)
    assert (refused.status, refused.code) == (422, "ambiguous_account")
    assert sorted(refused.json["accounts"]) == [ALICE, WORK]
    for each in found:
        for name in (each["account"], each["account_name"]):
            done = agent.execute(READ, ALICE, account=name).json
            assert (done["status"], done["account"]) == ("succeeded", each["account_name"])
    lacks = ask(agent, SEND, account=WORK)
    assert lacks["waiting_for"][0]["missing_scopes"] == ["mail.send"]

    ended = delete(agent, found[0]["id"])
    assert (ended.status, ended.json) == (200, {"id": found[0]["id"], "status": "revoked", "at_provider": "revoked"})
    assert sum(count for name, count in dot.counts().items() if "revoke_token" in name) >= 1
    assert [each["account_name"] for each in items(agent)] == [ALICE]
    assert agent.execute(READ, ALICE).json["status"] == "succeeded", "the other one is as it was"
    assert delete(agent, found[0]["id"]).status == 404
    text = json.dumps(items(agent))
    assert "token" not in text


def test_agents_see_their_own_and_a_suspended_one_nothing(served: Service, world: World, dot: DotProvider) -> None:
    world.consent(ask(served.agent, READ)["url"], user=ALICE)
    (mine,) = items(served.agent)
    assert items(served.other) == []
    assert delete(served.other, mine["id"]).status == 404
    assert served.other.get(f"/connections?user={WORK}").code == "user_not_permitted"
    assert served.other.post("/connections", {"user": ALICE, "actions": [SEND]}).code == "action_not_permitted"
    theirs = ask(served.other, READ)
    assert theirs["waiting_for"][0]["new_agent"] is True
    zeds = ask(served.other, READ, user=ZED)
    assert served.admin.post("/admin/agents/otherbot/suspend", {}).status == 200
    for url in (theirs["url"], zeds["url"]):
        assert served.anyone.get(url, Accept="text/html").status == 410
    assert served.other.post("/connections", {"user": ALICE, "actions": [READ]}).code == "revoked"
    assert served.other.get(f"/connections?user={ALICE}").code == "revoked"
    assert served.admin.post("/admin/agents/otherbot/restore", {}).status == 200
    assert served.anyone.get(theirs["url"], Accept="text/html").status == 410
    again = ask(served.other, READ)
    assert again["url"] != theirs["url"]
    assert served.anyone.form(again["url"], {"decision": "allow"}, Origin=served.url).status == 200
    assert until(lambda: items(served.other))[0]["id"] == mine["id"]
    assert delete(served.agent, mine["id"]).json == {"id": mine["id"], "status": "withdrawn", "at_provider": None}
    assert served.other.execute(READ, ALICE).json["status"] == "succeeded"
    assert delete(served.other, mine["id"]).json["status"] == "revoked"
    check = served.command("audit", "verify")
    assert check.returncode == 0, check.stdout + check.stderr


def test_without_the_key_there_is_a_refusal_that_names_it(service: Service) -> None:
    for answer in (
        service.agent.post("/connections", {"user": ALICE, "actions": ["mailhub.list_messages"]}),
        service.agent.get(f"/connections?user={ALICE}"),
        service.agent.ask("DELETE", "/connections/grt_x"),
    ):
        assert (answer.status, answer.code) == (403, "connections_not_permitted")
        assert "connections = true" in answer.json["hint"]
    assert service.anyone.get("/connections").status == 401


def test_a_key_that_is_no_truth_value_is_a_fault(own: Callable[..., Service]) -> None:
    config = files.CONFIG.replace('"public.*"]', '"public.*"]\nconnections = "yes"')
    came = own({"config.toml": config}).command("check")
    assert came.returncode == 1
    assert "config.toml:" in came.stdout + came.stderr
    assert "connections" in came.stdout + came.stderr
