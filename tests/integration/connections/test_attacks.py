"""Attacks on /connections: where its links lead back to, whose list a cursor is of, and what is stopped meanwhile."""

from __future__ import annotations

from jit_auth.engine.withdrawals import Withdrawals
from tests.fakes.browser import Browser
from tests.integration.attacks.meddler import Meddler
from tests.integration.connections.conftest import ALICE, READ, ask, facts, listed, play
from tests.integration.service.kit import AGENT, OTHER, Kit

BACK = "http://127.0.0.1:9/back/"
ELSEWHERE = [
    "http://127.0.0.1:9/back", "http://127.0.0.1:9/back/../x", "http://127.0.0.1:9/back/%2e%2e/x",
    "http://127.0.0.1:9/back/..%2fx", "http://127.0.0.1:9/back/%2E./x", "http://127.0.0.1:9/back/\\evil.example",
    "http://127.0.0.1:9/back%2f..%2fx", "http://127.0.0.1:9@evil.example/back/", "http://a:b@127.0.0.1:9/back/",
    "http://127.0.0.1:9\\@evil.example/back/", "http://127.0.0.1:9.evil.example/back/", "http://127.0.0.1:90/back/",
    "http://127.0.0.1/back/", "https://127.0.0.1:9/back/", "//127.0.0.1:9/back/", "/back/", "back/",
    "javascript://127.0.0.1:9/back/%0aalert(1)", "data:text/html,http://127.0.0.1:9/back/",
    "http://127.0.0.1:9/back/\r\nLocation: http://evil.example/", "http://127.0.0.1:9/back/\tx",
    " http://127.0.0.1:9/back/", "http://127.0.0.1:9/back/#x", "http://127.0.0.1\u3002evil.example:9/back/",
    "http://127.0.0.1:9/BACK/", "http:///127.0.0.1:9/back/", "http:127.0.0.1:9/back/", "http://[::1]:9/back/",
    "http://2130706433:9/back/", "http://127.1:9/back/", "http://127.0.0.1:\uff19/back/", "http://127.0.0.1:9:9/back/",
]  # fmt: skip


async def test_no_return_url_leads_elsewhere(world: Kit) -> None:
    for url in ELSEWHERE:
        answer = await ask(world, READ, return_url=url)
        assert (answer.status, answer.json["faults"][0]["pointer"]) == (422, "/return_url"), url
    assert await facts(world, "connection.asked") == []
    assert (await ask(world, READ, return_url=BACK + "done?x=http://evil.example/")).status == 201


async def test_a_cursor_is_of_one_agents_list_of_one_user(world: Kit) -> None:
    await play((await ask(world, READ)).json["url"])
    await play((await ask(world, READ, another_account=True)).json["url"], user="work")
    assert len(await listed(world)) == 2
    cursor = (await world.call("GET", f"/connections?user={ALICE}&limit=1")).json["next"]
    for token, user in ((OTHER, ALICE), (AGENT, "bob@example.com")):
        answer = await world.call("GET", f"/connections?user={user}&cursor={cursor}", token=token)
        assert (answer.status, answer.json["code"]) == (400, "bad_query")


async def test_a_user_who_stops_the_agent_just_before_the_token_is_kept_has_it_given_back(world: Kit) -> None:
    """The stop is committed after the last look at it, and before the consent is written."""
    assert world.service is not None
    service = world.service
    engine = service.engine
    withdrawals = Withdrawals(service.store, engine.approvals.memory, engine.current, engine.dispatcher)
    meddler = Meddler(service.store)

    async def stop() -> None:
        await withdrawals.stop(ALICE, "mailbot")

    url = (await ask(world, READ)).json["url"]
    meddler.do("before", "grant.created", stop)
    assert (await play(url)).status == 403
    assert await facts(world, "grant.created") == []
    assert len(await facts(world, "token.too_late")) == 1
    await withdrawals.allow(ALICE, "mailbot")
    assert await listed(world) == []
    async with Browser() as browser:
        assert (await browser.get(url)).status == 410


async def test_a_user_who_stops_the_agent_while_saying_yes_has_let_nobody_in(world: Kit) -> None:
    """The same where no trip is needed: another agent has brought the account."""
    assert world.service is not None
    service = world.service
    engine = service.engine
    withdrawals = Withdrawals(service.store, engine.approvals.memory, engine.current, engine.dispatcher)
    await play((await ask(world, READ)).json["url"])
    url = (await ask(world, READ, token=OTHER)).json["url"]
    meddler = Meddler(service.store)

    async def stop() -> None:
        await withdrawals.stop(ALICE, "otherbot")

    meddler.do("before", "consent", stop)
    async with Browser() as browser:
        await browser.get(url)
        assert (await browser.submit()).status in (403, 410)
    await withdrawals.allow(ALICE, "otherbot")
    assert await listed(world, token=OTHER) == []
    assert len(await listed(world)) == 1, "the other one has its own still"


async def test_an_agent_of_some_users_learns_nothing_of_others(world: Kit) -> None:
    """otherbot acts for Alice alone: whoever else it names is answered alike, known or not."""
    await play((await ask(world, READ, user="bob@example.com")).json["url"], user="bob@example.com")
    said = []
    for user in ("bob@example.com", "nobody@example.com"):
        for method, path, body in (
            ("POST", "/connections", {"user": user, "actions": [READ]}),
            ("POST", "/connections", {"user": user, "actions": [READ], "account": "x"}),
            ("GET", f"/connections?user={user}", None),
            ("POST", "/execute", {"action": READ, "user": user, "account": "x"}),
            ("POST", "/execute", {"action": READ, "user": user, "dry_run": True, "account": "x"}),
        ):
            answer = await world.call(method, path, body, token=OTHER)
            said.append((user, answer.status, answer.json["code"], answer.json["detail"], answer.json.get("accounts")))
    assert {each[1:] for each in said} == {
        (403, "user_not_permitted", "The agent otherbot may not act for this user.", None)
    }
