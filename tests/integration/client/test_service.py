"""Both clients against the whole service: every outcome, people in between, repeats, real deliveries."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from jit_auth.client import Denied, Paused, Refused, Repeats, Unreachable, WebhookError, verify_webhook
from tests.fakes.browser import Browser
from tests.fakes.receiver import receiving
from tests.integration.client.kit import Speaks, client
from tests.integration.service.kit import AGENT, Kit, kit

ALICE = "alice@example.com"
MAIL = {"to": ["carol@example.net"], "subject": "Tuesday", "body": "at ten"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit(tmp_path) as found, found.running():
        yield found


@pytest.fixture
async def agent(kind: str, world: Kit) -> AsyncIterator[Speaks]:
    found = client(kind, world.url, AGENT)
    yield found
    await found.close()


async def test_from_consent_to_the_result(agent: Speaks, world: Kit) -> None:
    asked = await agent("execute", "mailhub.send_message", user=ALICE, params=MAIL, idempotency_key="k", reason="why")
    assert (asked.open, asked.status, asked.summary) == (True, "paused", "Send to carol@example.net: Tuesday")
    with pytest.raises(Paused):
        asked.unwrap()
    (link,) = asked.consent_links
    told = asked.for_model()
    assert told.startswith("Wait.")
    assert link not in told
    assert "/connect/" not in told
    assert (await agent("wait", asked.id, 0)).status == "paused"

    await world.connect(await world.call("GET", f"/executions/{asked.id}"))
    await world.decide(await world.approval_link(asked.id))
    done = await agent("wait", asked, 20)
    assert (done.status, done.ok, done.advice) == ("succeeded", True, "done")
    assert done.unwrap() == done.result["body"]
    assert [mail["subject"] for mail in world.mail.messages] == ["Tuesday"]
    again = await agent("execute", "mailhub.send_message", user=ALICE, params=MAIL, idempotency_key="k", reason="why")
    assert again == done
    assert await agent("get", done.id) == done
    with pytest.raises(Refused, match="already_finished") as refused:
        await agent("cancel", done.id)
    assert refused.value.status == 409
    with pytest.raises(Refused, match="idempotency_mismatch"):
        await agent("execute", "mailhub.send_message", user=ALICE, params={**MAIL, "subject": "x"}, idempotency_key="k")


async def test_denied_by_rules_and_by_people(agent: Speaks, world: Kit) -> None:
    denied = await agent("execute", "mailhub.delete_message", user=ALICE, params={"id": "m1"})
    assert (denied.status, denied.error_code, denied.advice) == ("denied", "policy_denied", "never")
    assert "Nothing is deleted" in denied.for_model()
    asked = await agent("execute", "mailhub.send_message", user=ALICE, params=MAIL)
    await world.decide(await world.approval_link(asked.id), "deny", feedback="Not\u202e today")
    ended = await agent("wait", asked.id, 20)
    with pytest.raises(Denied) as caught:
        ended.unwrap()
    assert caught.value.code == "approval_denied"
    assert "\u202e" not in caught.value.for_model()
    assert "Not\\u202e today" in caught.value.for_model()


async def test_what_is_not_admitted(agent: Speaks, world: Kit) -> None:
    with pytest.raises(Refused) as wrong:
        await agent("execute", "mailhub.send_message", user=ALICE, params={"subject": 1, "more": 2})
    assert (wrong.value.status, wrong.value.code) == (422, "invalid_params")
    assert {fault["pointer"] for fault in wrong.value.faults} >= {"/params/subject"}
    with pytest.raises(Refused, match="action_not_permitted"):
        await agent("execute", "other.thing", user=ALICE, params={})
    with pytest.raises(Refused, match="unknown_field"):
        await agent("execute", "mailhub.note", user=ALICE, params={"text": "x"}, resaon="typo")
    with pytest.raises(Refused) as unknown:
        await agent("get", "exe_nothing")
    assert unknown.value.status == 404
    stranger = client("blocking", world.url, "jat_agt_wrong")
    with pytest.raises(Refused, match="unauthenticated") as refused:
        await stranger("actions")
    assert "jat_agt_wrong" not in str(refused.value)
    await stranger.close()


async def test_lists_cancels_and_the_catalogue(agent: Speaks) -> None:
    asked = [
        await agent("execute", "mailhub.send_message", user=ALICE, params={**MAIL, "subject": str(number)})
        for number in range(5)
    ]
    assert (await agent("cancel", asked[0].id)).status == "cancelled"
    assert (await agent("cancel", asked[0].id)).status == "cancelled"
    found = await agent.all(status="paused", user=ALICE, limit=2)
    assert [each.id for each in found] == [each.id for each in reversed(asked[1:])]
    names = [action["name"] for action in await agent("actions")]
    assert "mailhub.send_message" in names
    assert names == sorted(names)
    assert (await agent("action", "mailhub.note"))["params"]["required"] == ["text"]
    with pytest.raises(Refused, match="unknown_action"):
        await agent("action", "mailhub.nothing")


async def test_a_dry_run_leaves_nothing(agent: Speaks, world: Kit) -> None:
    seen = await agent("preview", "mailhub.send_message", user=ALICE, params=MAIL)
    assert (seen.id, seen.status, seen.effect, seen.ok, seen.denied) == (None, None, "require_approval", False, False)
    assert {item["kind"] for item in seen.waiting_for} == {"consent", "approval"}
    assert seen.summary == "Send to carol@example.net: Tuesday"
    assert (await agent("preview", "mailhub.delete_message", user=ALICE, params={"id": "m1"})).denied
    with pytest.raises(Refused, match="invalid_params"):
        await agent("preview", "mailhub.note", user=ALICE, params={})
    assert await agent.all() == []


async def test_the_catalogue_as_the_model_apis_want_it(agent: Speaks) -> None:
    openai = await agent("actions", format="openai")
    assert "mailhub__send_message" in str(openai)
    assert len(openai) == len(await agent("actions")) == len(await agent("actions", format="anthropic"))
    assert 0 < len(await agent("actions", q="note")) < len(openai)
    asked = await agent("execute", "mailhub__delete_message", user=ALICE, params={"id": "m1"})
    assert asked.action == "mailhub.delete_message"


async def test_an_account_is_connected_before_a_call_needs_it(kind: str, tmp_path: Path) -> None:
    async with kit(tmp_path) as world:
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace("[agents.mailbot]\n", "[agents.mailbot]\nconnections = true\n"))
        async with world.running():
            agent = client(kind, world.url, AGENT)
            asked = await agent("connections.create", ALICE, ["mailhub.list_messages"])
            assert await agent("connections.list", ALICE) == []
            async with Browser() as browser:
                await browser.connect(asked["url"])
            (connection,) = await agent("connections.list", ALICE)
            assert (await agent("execute", "mailhub.list_messages", user=ALICE, params={})).ok
            assert (await agent("connections.create", ALICE, ["mailhub.list_messages"]))["url"] is None
            ended = await agent("connections.delete", connection["id"])
            assert ended["id"] == connection["id"]
            assert await agent("connections.list", ALICE) == []
            with pytest.raises(Refused) as unknown:
                await agent("connections.delete", "gra_nothing")
            assert unknown.value.status == 404
            await agent.close()


async def test_the_service_goes_away_and_comes_back(kind: str, tmp_path: Path) -> None:
    async with kit(tmp_path) as world:
        agent = client(kind, world.url, AGENT)
        async with world.running():
            asked = await agent("execute", "mailhub.send_message", user=ALICE, params=MAIL)
        hasty = client(kind, world.url, AGENT, repeats=Repeats(seconds=0.0))
        with pytest.raises(Unreachable):
            await hasty("get", asked.id)
        await hasty.close()
        waiting = asyncio.ensure_future(agent("wait", asked.id, 30))
        async with world.running():
            await agent("cancel", asked.id)
            assert (await waiting).status == "cancelled"
            await agent.close()


async def test_callbacks_are_believed_and_others_are_not(tmp_path: Path) -> None:
    async with receiving() as receiver, kit(tmp_path) as world:
        text = (tmp_path / "config.toml").read_text()
        secret = "whsec_" + "QUJD" * 10 + "QUI="
        text = text.replace(
            "[agents.mailbot]\n",
            f'[agents.mailbot]\ncallback_urls = ["{receiver.url}/hooks/"]\ncallback_secret = "{secret}"\n',
        )
        (tmp_path / "config.toml").write_text(text)
        async with world.running():
            agent = client("async", world.url, AGENT)
            url = f"{receiver.url}/hooks/x"
            asked = await agent("execute", "mailhub.send_message", user=ALICE, params=MAIL, callback_url=url)
            await agent("cancel", asked.id)
            delivered = await receiver.until(lambda told: told if len(told) >= 3 else None)
            await agent.close()
    events = [verify_webhook(each.body, each.headers, secret) for each in delivered]
    assert {event["data"]["execution"] for event in events} == {asked.id}
    assert {"execution.paused", "execution.finished"} <= {event["type"] for event in events}
    for each in delivered:
        assert Webhook(secret).verify(each.body, each.headers)["data"]["execution"] == asked.id
        with pytest.raises(WebhookError):
            verify_webhook(each.body + b" ", each.headers, secret)
        with pytest.raises(WebhookError):
            verify_webhook(each.body, each.headers, "whsec_" + "QUJE" * 10 + "QUI=")
    assert hashlib.sha256(AGENT.encode()).hexdigest() not in str(events)
