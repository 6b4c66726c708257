"""GET and DELETE /connections: what this agent may use and nothing else, several accounts, the end at the provider."""

from __future__ import annotations

import asyncio

from tests.fakes.browser import Browser
from tests.integration.connections.conftest import ALICE, NOTE, READ, allow, ask, end, facts, listed, play
from tests.integration.service.kit import AGENT, OTHER, Kit

WORK = "work@example.com"


async def two_accounts(world: Kit) -> None:
    """Alice connects one account, and then one more."""
    await play((await ask(world, READ)).json["url"])
    answer = await ask(world, READ, another_account=True)
    assert answer.json["waiting_for"][0]["missing_scopes"] == ["mail.read"]
    assert (await ask(world, READ, another_account=True)).json["url"] == answer.json["url"]
    async with Browser() as browser:
        assert "one more account" in (await browser.get(answer.json["url"])).text
        page = await browser.connect(answer.json["url"], user=WORK)
    assert "Both are kept" in page.text


async def test_an_item_says_what_this_agent_may_use_and_no_more(both: Kit) -> None:
    assert await listed(both) == []
    await play((await ask(both, READ)).json["url"])
    (item,) = await listed(both)
    assert set(item) == {
        "id", "user", "provider", "account", "account_name", "scopes", "status", "created_at", "updated_at",
        "last_used_at",
    }  # fmt: skip
    assert (item["user"], item["provider"], item["status"]) == (ALICE, "mailhub", "live")
    assert (item["account"], item["account_name"]) == (f"odd-{ALICE}", f"{ALICE}@example.com")
    assert (item["scopes"], item["last_used_at"]) == (["mail.read"], None)
    await both.execute("list_messages")
    assert (await listed(both))[0]["last_used_at"] is not None
    # What the grant holds for another agent is that agent's matter.
    await play((await ask(both, NOTE)).json["url"])
    await allow((await ask(both, READ, token=OTHER)).json["url"])
    (theirs,) = await listed(both, token=OTHER)
    assert (theirs["id"], theirs["scopes"], theirs["last_used_at"]) == (item["id"], ["mail.read"], None)


async def test_the_user_has_to_be_named(world: Kit) -> None:
    answer = await world.call("GET", "/connections")
    assert (answer.status, answer.json["code"]) == (400, "bad_query")
    for query in ("user=a&x=1", f"user={ALICE}&cursor=nonsense", f"user={ALICE}&limit=0"):
        assert (await world.call("GET", f"/connections?{query}")).status == 400
    assert (await world.call("GET", "/connections?user=nobody@example.com")).json == {"items": [], "next": None}


async def test_two_accounts_and_the_choice_between_them(both: Kit) -> None:
    await two_accounts(both)
    items = await listed(both)
    assert [item["account_name"] for item in items] == [f"{WORK}@example.com", f"{ALICE}@example.com"]
    page = (await both.call("GET", f"/connections?user={ALICE}&limit=1")).json
    assert page["items"] == items[:1]
    rest = (await both.call("GET", f"/connections?user={ALICE}&limit=1&cursor={page['next']}")).json
    assert (rest["items"], rest["next"]) == (items[1:], None)
    refused = await both.execute("list_messages")
    assert (refused.status, refused.json["code"]) == (422, "ambiguous_account")
    assert sorted(refused.json["accounts"]) == sorted(item["account_name"] for item in items)
    for item in items:
        for name in (item["account"], item["account_name"]):
            done = await both.execute("list_messages", account=name)
            assert done.json["status"] == "succeeded"
            assert done.json["account"] == item["account_name"]
    assert (await both.execute("list_messages", account="else")).json["code"] == "unknown_account"
    # Asking follows the same rule, and an account that is named gets what it lacks.
    assert (await ask(both, READ)).json["code"] == "ambiguous_account"
    assert (await ask(both, READ, account=items[0]["account"])).json["status"] == "connected"
    answer = await ask(both, READ, NOTE, account=items[0]["account_name"])
    assert answer.json["waiting_for"][0]["missing_scopes"] == ["mail.send"]
    page2 = await play(answer.json["url"], user=ALICE)
    assert "Both are kept" not in page2.text
    assert (await ask(both, READ, NOTE, account=items[0]["account"])).json["url"] == answer.json["url"], "another came"
    await play(answer.json["url"], user=WORK)
    assert (await ask(both, READ, NOTE, account=items[0]["account"])).json["status"] == "connected"


async def test_one_more_account_takes_nothing_from_one_that_is_connected(world: Kit) -> None:
    await play((await ask(world, READ, NOTE)).json["url"])
    url = (await ask(world, READ, another_account=True)).json["url"]
    page = await play(url)  # the provider signs the same account in again
    assert (page.status, "connected already" in page.text) == (403, True)
    assert (await world.execute("note", params={"text": "x"})).json["status"] == "succeeded"
    assert world.provider.counts["revoke"] == 0
    await play(url, user=WORK)
    assert len(await listed(world)) == 2


async def test_the_end_is_the_end_at_the_provider(both: Kit) -> None:
    await play((await ask(both, READ)).json["url"])
    (item,) = await listed(both)
    answer = await end(both, item["id"])
    assert (answer.status, answer.json) == (200, {"id": item["id"], "status": "revoked", "at_provider": "revoked"})
    assert both.provider.revoked
    assert await listed(both) == []
    assert (await end(both, item["id"])).status == 404
    assert (await both.execute("list_messages")).json["waiting_for"][0]["missing_scopes"] == ["mail.read"]
    (fact,) = await facts(both, "grant.revoked")
    assert (fact["grant"], fact["provider"]) == (item["id"], "mailhub")


async def test_what_others_use_stays_theirs(both: Kit) -> None:
    await play((await ask(both, READ)).json["url"])
    (item,) = await listed(both)
    assert (await end(both, item["id"], token=OTHER)).status == 404, "not theirs yet"
    await allow((await ask(both, READ, token=OTHER)).json["url"])
    answer = await end(both, item["id"])
    assert answer.json == {"id": item["id"], "status": "withdrawn", "at_provider": None}
    assert both.provider.counts["revoke"] == 0
    assert await listed(both) == []
    assert (await both.execute("list_messages")).json["waiting_for"][0]["new_agent"] is True
    assert (await both.execute("list_messages", token=OTHER)).json["status"] == "succeeded"
    assert (await end(both, item["id"])).status == 404
    assert (await end(both, item["id"], token=OTHER)).json["status"] == "revoked"
    assert both.provider.revoked
    assert len(await facts(both, "consent.withdrawn")) == 1


async def test_ended_once_however_many_end_it(world: Kit) -> None:
    await play((await ask(world, READ)).json["url"])
    (item,) = await listed(world)
    answers = await asyncio.gather(*(end(world, item["id"]) for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [200, 404, 404, 404, 404, 404]
    assert world.provider.revoked


async def test_a_provider_that_is_away_is_asked_later(world: Kit) -> None:
    await play((await ask(world, READ)).json["url"])
    (item,) = await listed(world)
    world.provider.faults = [(503, "text/plain", "away")] * 4
    answer = await end(world, item["id"])
    assert answer.json["status"] == "revoked"
    assert answer.json["at_provider"] == "pending"


async def test_foreign_and_senseless_ids_are_none(world: Kit) -> None:
    await play((await ask(world, READ)).json["url"])
    for id in ("grt_00000000000000000000000000", "x", "exe_00000000000000000000000000", "*", "%2e%2e"):
        answer = await end(world, id)
        assert answer.status == 404, id
    assert (await world.call("DELETE", "/connections/x", {"user": ALICE})).json["code"] == "unknown_field"
    assert len(await listed(world, token=AGENT)) == 1
