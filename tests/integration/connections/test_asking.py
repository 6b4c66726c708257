"""POST /connections: what is missing is asked for before a call needs it, once, and by the user alone answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.browser import Browser
from tests.integration.connections.conftest import ALICE, NOTE, READ, SEND, allow, ask, facts, let, listed, play, reload
from tests.integration.service.kit import AGENT, OTHER, Kit, kit


async def test_connected_before_anything_fails(both: Kit) -> None:
    answer = await ask(both, READ, NOTE)
    assert answer.status == 201
    told = answer.json
    (item,) = told["waiting_for"]
    assert told["status"] == "open"
    assert told["url"] == item["url"]
    assert (item["kind"], item["provider"], item["new_agent"]) == ("consent", "mailhub", False)
    assert sorted(item["missing_scopes"]) == ["mail.read", "mail.send"]
    async with Browser() as browser:
        page = await browser.get(told["url"])
        for word in (
            "mailbot",
            "MailHub",
            "List messages",
            "Leave a note",
            "Read your e-mail",
            "Send e-mail as you",
            ALICE,
        ):
            assert word in page.text, word
        page = await browser.connect(told["url"], user=ALICE)
        assert "Connected" in page.html
    assert (await both.execute("list_messages")).json["status"] == "succeeded"
    assert (await both.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    again = await ask(both, READ, NOTE)
    assert (again.status, again.json["status"], again.json["url"], again.json["waiting_for"]) == (
        201, "connected", None, [],
    )  # fmt: skip
    (fact,) = await facts(both, "connection.asked")
    assert (fact["actions"], fact["provider"], fact["another"]) == (sorted([READ, NOTE]), "mailhub", False)
    async with Browser() as browser:
        assert (await browser.get(told["url"])).status == 409


async def test_an_equal_request_is_the_one_that_is_open(both: Kit) -> None:
    first = await ask(both, READ, NOTE)
    answers = await asyncio.gather(*(ask(both, *pair) for pair in ((READ, NOTE), (NOTE, READ, READ)) * 5))
    assert {answer.json["url"] for answer in answers} == {first.json["url"]}
    assert (await ask(both, READ)).json["url"] != first.json["url"]
    assert len(await facts(both, "connection.asked")) == 2


async def test_a_tool_name_stands_for_its_action(world: Kit) -> None:
    first = await ask(world, READ, NOTE)
    again = await ask(world, READ.replace(".", "__"), NOTE, NOTE.replace(".", "__"))
    assert (again.status, again.json["url"]) == (201, first.json["url"])
    assert sorted(again.json["actions"]) == sorted([READ, NOTE])
    for name in ("mailhub__nix", "ops__restart", "nix", "mailhub__list_messages__0123456789abcdef"):
        assert (await ask(world, name)).status in (403, 404)


async def test_of_equal_requests_at_once_one_asks(both: Kit) -> None:
    answers = await asyncio.gather(*(ask(both, READ) for _ in range(10)))
    assert {answer.status for answer in answers} <= {201, 503}
    assert len({answer.json["url"] for answer in answers if answer.status == 201}) == 1
    assert len(await facts(both, "connection.asked")) == 1


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    async with kit(tmp_path) as found:
        let(found, "mailbot")
        async with found.running():
            url = (await ask(found, READ)).json["url"]
        async with found.running():
            assert (await ask(found, READ)).json["url"] == url
            assert (await play(url)).status == 200
            assert (await found.execute("list_messages")).json["status"] == "succeeded"


async def test_a_paused_call_goes_on_by_it_and_the_other_way_round(world: Kit) -> None:
    asked = await ask(world, READ)
    call = await world.execute("list_messages")
    assert call.status == 202
    await play(asked.json["url"])
    assert (await world.ended(call.json["id"]))["status"] == "succeeded"
    asked = await ask(world, NOTE)
    call = await world.execute("note", params={"text": "x"})
    await world.connect(call)
    assert (await world.ended(call.json["id"]))["status"] == "succeeded"
    assert (await ask(world, NOTE)).json["status"] == "connected"


async def test_only_what_is_missing_is_new_and_what_was_given_is_kept(world: Kit) -> None:
    await play((await ask(world, READ)).json["url"])
    answer = await ask(world, READ, NOTE)
    assert answer.json["waiting_for"][0]["missing_scopes"] == ["mail.send"]
    async with Browser() as browser:
        page = await browser.get(answer.json["url"])
        assert "What the connection holds already" in page.html
        await browser.submit()
        assert "mail.read" in browser.page.url
        assert "mail.send" in browser.page.url
        await browser.consent(user=ALICE)
    (item,) = await listed(world)
    assert item["scopes"] == ["mail.read", "mail.send"]


async def test_another_agent_asks_for_itself_without_a_trip(world: Kit) -> None:
    await play((await ask(world, READ)).json["url"])
    assert await listed(world, token=OTHER) == []
    answer = await ask(world, READ, token=OTHER)
    (item,) = answer.json["waiting_for"]
    assert (item["missing_scopes"], item["new_agent"]) == ([], True)
    trips = world.provider.counts["authorize"]
    assert "Connected" in (await allow(item["url"])).html
    assert world.provider.counts["authorize"] == trips
    assert (await ask(world, READ, token=OTHER)).json["status"] == "connected"
    assert len(await listed(world, token=OTHER)) == 1


async def test_partly_granted_a_fresh_link_asks_for_the_rest(world: Kit) -> None:
    url = (await ask(world, READ, NOTE)).json["url"]
    page = await play(url, untick=["mail.send"])
    assert "Not everything was allowed" in page.html
    again = await ask(world, READ, NOTE)
    assert again.json["waiting_for"][0]["missing_scopes"] == ["mail.send"]
    assert again.json["url"] in page.html
    assert again.json["url"] != url
    async with Browser() as browser:
        assert (await browser.get(url)).status == 409
    await play(again.json["url"])
    assert (await ask(world, READ, NOTE)).json["status"] == "connected"


async def test_it_goes_back_to_return_url_and_nowhere_else(world: Kit) -> None:
    for url in (
        "http://evil.example/back/", "http://127.0.0.1:9/other", "http://127.0.0.1:9@evil.example/back/",
        "http://127.0.0.1:9/back/../x", "//evil.example/back/", "http://127.0.0.1:9/back/%2e%2e/x",
    ):  # fmt: skip
        answer = await ask(world, READ, return_url=url)
        assert (answer.status, answer.json["code"]) == (422, "invalid_params"), url
        assert answer.json["faults"][0]["pointer"] == "/return_url"
    answer = await ask(world, READ, return_url="http://127.0.0.1:9/back/here")
    async with Browser() as browser:
        await browser.get(answer.json["url"])
        await browser.submit()
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):  # nothing listens on 9
            await browser.consent(user=ALICE)
        assert browser.trail[-1] == "http://127.0.0.1:9/back/here"
    assert (await ask(world, READ, return_url="http://127.0.0.1:9/back/here")).json["status"] == "connected"


async def test_a_refusal_holds_for_a_while(world: Kit) -> None:
    url = (await ask(world, READ)).json["url"]
    async with Browser() as browser:
        await browser.get(url)
        page = await browser.submit("Do not allow")
        assert "Not allowed" in page.html
        assert (await browser.get(url)).status == 409
    for actions in ((READ,), (NOTE,)):
        answer = await ask(world, *actions)
        assert (answer.status, answer.json["code"]) == (403, "recently_denied")
    world.clock.offset += 601_000
    assert (await ask(world, READ)).status == 201
    # At the provider likewise.
    await play((await ask(world, READ)).json["url"], deny=True)
    assert (await ask(world, READ)).json["code"] == "recently_denied"


async def test_an_error_of_the_provider_is_told_and_the_link_still_works(world: Kit) -> None:
    url = (await ask(world, READ)).json["url"]
    async with Browser() as browser:
        await browser.get(url)
        await browser.submit()
        state = browser.page.url.partition("state=")[2].partition("&")[0]
        page = await browser.get(
            f"{world.url}/oauth/callback/mailhub?error=server_error&state={state}&iss={world.provider.url}"
        )
        assert "server_error" in page.text
    again = await ask(world, READ)
    assert again.json["url"] == url
    assert "server_error" in again.json["waiting_for"][0]["last_error"]
    await play(url)
    assert (await ask(world, READ)).json["status"] == "connected"


async def test_a_link_runs_out_after_a_day(world: Kit) -> None:
    url = (await ask(world, READ)).json["url"]
    world.clock.offset += 86_401_000
    async with Browser() as browser:
        assert (await browser.get(url)).status == 410
    assert (await ask(world, READ)).json["url"] != url


async def test_an_hour_has_its_number_of_questions(world: Kit) -> None:
    names = [each["name"] for each in (await world.call("GET", "/actions?limit=200")).json["items"]]
    wishes = [(one, other) for one in names for other in names if one < other][:21]
    answers = [await ask(world, *wish) for wish in wishes]
    assert [answer.status for answer in answers] == [201] * 20 + [429]
    assert answers[-1].json["code"] == "too_many_connections"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert (await ask(world, *wishes[0])).json["url"] == answers[0].json["url"], "what is open is still told"
    assert (await ask(world, READ, user="bo@example.com")).status == 201
    world.clock.offset += 3_601_000
    assert (await ask(world, *wishes[-1])).status == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"user": ALICE, "actions": [READ], "acount": "x"}, 400, "unknown_field"),
        ({"user": ALICE, "actions": []}, 422, "invalid_params"),
        ({"user": ALICE, "actions": READ}, 422, "invalid_params"),
        ({"user": ALICE, "actions": [READ, 3]}, 422, "invalid_params"),
        ({"user": ALICE, "actions": [READ] * 101}, 422, "invalid_params"),
        ({"user": ALICE}, 422, "invalid_params"),
        ({"actions": [READ]}, 422, "invalid_params"),
        ({"user": "a:b", "actions": [READ]}, 400, "bad_user"),
        ({"user": "*", "actions": [READ]}, 400, "bad_user"),
        ({"user": ALICE, "actions": [READ], "return_url": 3}, 422, "invalid_params"),
        ({"user": ALICE, "actions": [READ], "another_account": "yes"}, 422, "invalid_params"),
        ({"user": ALICE, "actions": [READ], "account": "x", "another_account": True}, 422, "invalid_params"),
        ({"user": ALICE, "actions": [READ], "account": "nobody"}, 422, "unknown_account"),
        ({"user": ALICE, "actions": ["mailhub.list_mesages"]}, 404, "unknown_action"),
        ({"user": ALICE, "actions": [READ, "payments.transfer"]}, 403, "action_not_permitted"),
    ],
)
async def test_bad_requests_ask_nobody(world: Kit, body: dict[str, Any], status: int, code: str) -> None:
    answer = await world.call("POST", "/connections", body)
    assert (answer.status, answer.json["code"]) == (status, code)
    if code == "unknown_field":
        assert "'account'" in answer.json["hint"]
    assert await facts(world, "connection.asked") == []
    assert [fact["code"] for fact in await facts(world, "refused")] == [code]


async def test_who_may_not_is_refused(world: Kit) -> None:
    assert (await ask(world, NOTE, token=OTHER)).json["code"] == "action_not_permitted"
    assert (await ask(world, READ, user="bo@example.com", token=OTHER)).json["code"] == "user_not_permitted"
    assert (await listed_by(world, "bo@example.com", OTHER)).json["code"] == "user_not_permitted"
    path = world.folder / "config.toml"
    path.write_text(path.read_text().replace("connections = true\n", "", 1))
    url = (await ask(world, READ)).json["url"]
    assert await reload(world)
    for method, where in (
        ("POST", "/connections"),
        ("GET", f"/connections?user={ALICE}"),
        ("DELETE", "/connections/x"),
    ):
        answer = await world.call(method, where, {} if method == "POST" else None)
        assert (answer.status, answer.json["code"]) == (403, "connections_not_permitted")
        assert "connections = true" in answer.json["hint"]
    async with Browser() as browser:
        assert (await browser.get(url)).status == 410, "what was open ends with it"


async def listed_by(world: Kit, user: str, token: str = AGENT) -> Any:
    return await world.call("GET", f"/connections?user={user}", token=token)


async def test_a_send_is_ready_too_though_it_needs_an_approval(world: Kit) -> None:
    await play((await ask(world, SEND)).json["url"])
    call = await world.execute("send_message", params={"to": ["x@y.example"], "subject": "hi"})
    assert [item["kind"] for item in call.json["waiting_for"]] == ["approval"]


BILLING = """
id = "billing"
name = "Billing"
base_url = "http://127.0.0.1:9"
[provider]
kind = "api_key"
hosts = ["127.0.0.1"]
[actions.list]
title = "List bills"
method = "GET"
path = "/bills"
risk = "low"
effect = "read"
"""


async def test_what_needs_no_consent_needs_no_connection(tmp_path: Path) -> None:
    secret = '[providers.billing]\nsecret = "a-key-for-all"\n'
    async with kit(tmp_path, config=secret) as found:
        folder = tmp_path / "connectors" / "billing"
        folder.mkdir()
        (folder / "connector.toml").write_text(BILLING)
        path = tmp_path / "config.toml"
        path.write_text(path.read_text().replace('["mailhub.*"]', '["mailhub.*", "billing.*"]'))
        async with let(found, "mailbot").running():
            answer = await ask(found, "billing.list")
            assert (answer.status, answer.json["status"]) == (201, "connected")
            (item,) = (await ask(found, "billing.list", READ)).json["waiting_for"]
            assert item["provider"] == "mailhub"


async def test_questions_that_come_together_are_within_the_agents_limit(tmp_path: Path) -> None:
    """For twenty people at once: each is counted before any of them is written."""
    async with kit(tmp_path, config="[limits]\nopen_per_agent = 3\n") as world, let(world, "mailbot").running():
        answers = await asyncio.gather(*(ask(world, READ, user=f"p{number}@example.com") for number in range(20)))
        assert 1 <= sum(answer.status == 201 for answer in answers) <= 3
        assert {answer.json["code"] for answer in answers if answer.status != 201} == {"too_many_open"}
