"""`[users] verify = "app"` through HTTP: the calling application says whose browser answered, and nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.model import Audit, Raise, Stop, Unit
from tests.fakes.app import SECRET, App
from tests.fakes.browser import Browser, Page
from tests.integration.service.kit import ADMIN, AGENT, OTHER, Kit, kit

ALICE, MALLORY = "alice@example.com", "mallory@example.com"
MINUTE = 60_000


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with App().running() as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, app: App) -> AsyncIterator[Kit]:
    users = f'[users]\nverify = "app"\napp_url = "{app.url}/confirm?from=jit"\napp_secret = "{SECRET}"\n'
    people = '[people."carol@example.com"]\naliases = ["caro"]\n'
    async with kit(tmp_path, users=users, config=people) as found, found.running():
        app.service = found.url
        yield found


def link(execution: Any) -> str:
    (found,) = [item["url"] for item in execution["waiting_for"] if item["kind"] == "consent"]
    return str(found)


async def shown(world: Kit, execution: Any) -> Any:
    return (await world.call("GET", f"/executions/{execution['id']}")).json


def exchanged(world: Kit) -> int:
    return world.provider.counts["authorization_code"]


async def login(browser: Browser, app: App, user: str) -> None:
    await browser.get(f"{app.url}/login?user={user}")


async def through(browser: Browser, url: str, **how: Any) -> Page:
    """From the link through the provider to wherever that leads."""
    return await browser.connect(url, **how)


async def test_the_application_confirms_and_the_call_goes_on(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    async with Browser() as alice:
        await login(alice, app, ALICE)
        page = await alice.get(link(first))
        assert "says that it is you" in page.text
        page = await through(alice, link(first))
    (query,) = app.came
    assert set(query) == {"from", "nonce", "ticket"}
    assert link(first).endswith(query["ticket"])
    assert app.answers[0][0] == 200
    assert app.answers[0][1]["status"] == "connected"
    # Our last page, since the call named no place to go back to.
    assert page.url == app.answers[0][1]["return_url"]
    for words in (ALICE, "alice", "mailbot", "Undo"):
        assert words in page.text
    assert (await world.ended(first["id"]))["status"] == "succeeded"


async def test_the_callback_answers_303_and_exchanges_nothing(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    app.confirms = False
    async with Browser() as alice:
        await login(alice, app, ALICE)
        page = await through(alice, link(first))
        assert page.text == "noted"
        assert alice.trail[-1].startswith(app.url)
        assert "/oauth/callback/mailhub" in alice.trail[-2]
    assert exchanged(world) == 0
    assert (await shown(world, first))["status"] == "paused"


async def test_an_alias_is_the_same_person(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages", user="Carol@EXAMPLE.com")).json
    async with Browser() as carol:
        await login(carol, app, "CARO")
        await through(carol, link(first))
    assert app.answers[0][1]["status"] == "connected"


async def test_back_to_where_the_call_came_from(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages", return_url="http://127.0.0.1:9/back/x")).json
    app.confirms = False
    async with Browser() as alice:
        await login(alice, app, ALICE)
        await through(alice, link(first))
    (query,) = app.came
    assert (await app.confirm(query["ticket"], query["nonce"], ALICE)) == (
        200,
        {"status": "connected", "return_url": "http://127.0.0.1:9/back/x"},
    )


async def test_a_part_is_connected_and_the_rest_is_asked_again(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    async with Browser() as alice:
        await login(alice, app, ALICE)
        page = await through(alice, link(first), untick=["mail.read"])
        status, answer = app.answers[0]
        assert (status, answer["status"]) == (200, "partly")
        now = await shown(world, first)
        assert now["status"] == "paused"
        assert answer["return_url"] == link(now) == page.url
        await alice.submit("Continue")
        await alice.consent()
    assert (await world.ended(first["id"]))["status"] == "succeeded"


async def test_an_error_of_the_provider_leaves_a_link_that_works(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    world.provider.faults.append((400, "application/json", '{"error": "server_error"}'))
    async with Browser() as alice:
        await login(alice, app, ALICE)
        await through(alice, link(first))
        status, answer = app.answers[0]
        assert (status, answer["status"]) == (200, "error")
        now = await shown(world, first)
        assert answer["return_url"] == link(now)
        assert "server_error" in now["waiting_for"][0]["last_error"]
        await through(alice, link(now))
    assert app.answers[1][1]["status"] == "connected"


async def test_no_counts_once_the_application_confirms_it(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    async with Browser() as alice:
        app.confirms = False
        await login(alice, app, ALICE)
        await alice.get(link(first))
        await alice.submit("Do not allow")
    assert (await shown(world, first))["status"] == "paused"
    (query,) = app.came
    answer = await app.confirm(query["ticket"], query["nonce"], ALICE)
    assert answer == (200, {"status": "refused", "return_url": None})
    ended = await world.ended(first["id"])
    assert (ended["status"], ended["error"]["code"]) == ("denied", "consent_refused")


async def test_a_no_at_the_provider_is_nobodys_word(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    async with Browser() as alice:
        await login(alice, app, ALICE)
        page = await through(alice, link(first), deny=True)
        assert "The request still waits" in page.text
        assert app.came == []
        now = await shown(world, first)
        assert now["status"] == "paused"
        await through(alice, link(now))
    assert (await world.ended(first["id"]))["status"] == "succeeded"


async def test_a_new_agent_without_a_trip_is_let_in_by_the_application(world: Kit, app: App) -> None:
    async with Browser() as alice:
        await login(alice, app, ALICE)
        first = (await world.execute("list_messages")).json
        await through(alice, link(first))
        other = (await world.execute("list_messages", token=OTHER)).json
        app.confirms = False
        await alice.get(link(other))
        await alice.submit("Allow")
        assert (await world.call("GET", f"/executions/{other['id']}", token=OTHER)).json["status"] == "paused"
        query = app.came[-1]
        status, _ = await app.confirm(query["ticket"], query["nonce"], MALLORY)
        assert status == 403
        await alice.get(link(other))
        await alice.submit("Allow")
        query = app.came[-1]
        status, answer = await app.confirm(query["ticket"], query["nonce"], ALICE)
        assert (status, answer["status"]) == (200, "connected")
    assert (await world.ended(other["id"], token=OTHER))["status"] == "succeeded"
    assert world.provider.counts["authorize"] == 1


async def test_an_outage_before_the_exchange_spends_nothing(world: Kit, app: App) -> None:
    """The database answers again, the nonce is good still."""
    first = (await world.execute("list_messages")).json
    app.confirms = False
    async with Browser() as alice:
        await login(alice, app, ALICE)
        await through(alice, link(first))
    (query,) = app.came
    status, answer = await app.confirm(query["ticket"], query["nonce"], "*")
    assert (status, answer["code"]) == (400, "bad_user")
    assert (await app.confirm(query["ticket"], query["nonce"], ALICE))[0] == 200


class TestNotAccepted:
    """The attack table. After each: no code was exchanged, the call still waits, its link takes its user through."""

    @pytest.fixture
    async def first(self, world: Kit, app: App) -> AsyncIterator[Any]:
        app.confirms = False
        found = (await world.execute("list_messages")).json
        yield found
        now = await shown(world, found)
        assert (now["status"], exchanged(world)) == ("paused", 0)
        assert await world.service.store.grants(ALICE, "mailhub") == ((), ())  # type: ignore[union-attr]  # it runs
        app.confirms, app.secret = True, SECRET
        async with Browser() as alice:
            await login(alice, app, ALICE)
            await through(alice, link(now))
        assert app.answers[-1][1]["status"] == "connected"

    async def sent_on(self, app: App, first: Any, user: str = ALICE, **how: Any) -> dict[str, str]:
        """A browser went through the provider and was sent to the application: what it came with."""
        async with Browser() as browser:
            await login(browser, app, user)
            await through(browser, link(first), **how)
        return app.came[-1]

    @pytest.mark.parametrize(
        "secret",
        [AGENT, OTHER, ADMIN, "", "x", SECRET + "x", SECRET[:-1], SECRET.upper(), "\u00e9", f"Bearer {SECRET}"],
    )
    async def test_without_the_applications_secret(self, world: Kit, app: App, first: Any, secret: str) -> None:
        """The agent knows the ticket, and may even know the nonce: it is not the application."""
        query = await self.sent_on(app, first)
        status, answer = await app.confirm(query["ticket"], query["nonce"], ALICE, secret=secret)
        assert (status, answer["code"]) == (401, "unauthenticated")

    async def test_the_secret_by_another_way(self, world: Kit, app: App, first: Any) -> None:
        query = await self.sent_on(app, first)
        url = f"{world.url}/connect/{query['ticket']}/confirm"
        body = {"nonce": query["nonce"], "user": ALICE}
        for headers in (
            {"Authorization": f"Basic {SECRET}"},
            {"Cookie": f"app_secret={SECRET}", "Origin": world.url},
            {"X-Authorization": f"Bearer {SECRET}"},
        ):
            async with world.session.post(url, json=body, headers=headers) as reply:
                assert reply.status == 401
        async with world.session.post(url, data=body, headers={"Authorization": f"Bearer {SECRET}"}) as reply:
            assert reply.status == 400
        for wrong in ({}, {"nonce": 1, "user": ALICE}, {"nonce": query["nonce"]}, body | {"more": 1}):
            async with world.session.post(url, json=wrong, headers={"Authorization": f"Bearer {SECRET}"}) as reply:
                assert reply.status == 400

    async def test_another_user_and_the_nonce_is_spent(self, world: Kit, app: App, first: Any) -> None:
        """Planted account (b): Mallory, or the agent, finishes Alice's link with an account of his."""
        query = await self.sent_on(app, first, MALLORY)
        status, answer = await app.confirm(query["ticket"], query["nonce"], MALLORY)
        assert (status, answer["code"]) == (403, "other_person")
        for user in (ALICE, MALLORY):
            status, answer = await app.confirm(query["ticket"], query["nonce"], user)
            assert (status, answer["code"]) == (409, "already_finished")

    async def test_the_victim_walks_the_attackers_trip(self, world: Kit, app: App, first: Any) -> None:
        """Planted account (a): Mallory has Alice click through his own trip: the callback is not her browser's."""
        mine = (await world.execute("list_messages", user=MALLORY)).json
        async with Browser() as mallory, Browser() as alice:
            await mallory.get(link(mine))
            await mallory.submit()
            await login(alice, app, ALICE)
            await alice.get(next(url for url in mallory.trail if "/authorize" in url))
            page = await alice.consent()
            assert page.status == 403
            assert "another browser" in page.text
        assert app.came == []

    async def test_the_victim_is_lured_through_the_attackers_link(self, world: Kit, app: App, first: Any) -> None:
        """Alice presses the button of Mallory's link herself: the application finds Alice, the ticket is his."""
        mine = (await world.execute("list_messages", user=MALLORY)).json
        query = await self.sent_on(app, mine, ALICE)
        status, answer = await app.confirm(query["ticket"], query["nonce"], ALICE)
        assert (status, answer["code"]) == (403, "other_person")
        assert (await shown(world, mine))["status"] == "paused"

    async def test_the_ticket_of_another_question(self, world: Kit, app: App, first: Any) -> None:
        """The attacker's trip, with the victim's ticket in the address that he opens."""
        mine = (await world.execute("list_messages", user=MALLORY)).json
        theirs = await self.sent_on(app, mine, MALLORY)
        ticket = link(first).rpartition("/")[2]
        status, answer = await app.confirm(ticket, theirs["nonce"], ALICE)
        assert (status, answer["code"]) == (403, "other_person")
        status, answer = await app.confirm(theirs["ticket"], theirs["nonce"], MALLORY)
        assert (status, answer["code"]) == (409, "already_finished")

    async def test_a_ticket_that_is_none(self, world: Kit, app: App, first: Any) -> None:
        query = await self.sent_on(app, first)
        for ticket in ("jat_" + "A" * 80, "x", query["ticket"][:-1], "apr_" + "0" * 26):
            assert (await app.confirm(ticket, query["nonce"], ALICE))[0] == 404

    async def test_a_nonce_that_is_none(self, world: Kit, app: App, first: Any) -> None:
        query = await self.sent_on(app, first)
        for nonce in ("", "x", "a" * 43, query["nonce"] + "x", query["nonce"].swapcase(), "\u00e9" * 43):
            status, answer = await app.confirm(query["ticket"], nonce, ALICE)
            assert (status, answer["code"]) == (403, "unknown_nonce")

    async def test_after_five_minutes(self, world: Kit, app: App, first: Any) -> None:
        query = await self.sent_on(app, first)
        world.clock.offset += 5 * MINUTE
        status, answer = await app.confirm(query["ticket"], query["nonce"], ALICE)
        assert (status, answer["code"]) == (403, "expired")

    async def test_the_callback_twice(self, world: Kit, app: App, first: Any) -> None:
        async with Browser() as alice:
            await login(alice, app, ALICE)
            await through(alice, link(first))
            callback = next(url for url in alice.trail if "/oauth/callback/" in url)
            page = await alice.get(callback)
            assert page.status == 409
            assert "finished" in page.text
        assert len(app.came) == 1

    async def test_the_callback_in_a_foreign_browser(self, world: Kit, app: App, first: Any) -> None:
        async with Browser() as alice, Browser() as other:
            await alice.get(link(first))
            await alice.submit()
            await other.get(next(url for url in alice.trail if "/authorize" in url))
            page = await other.consent()
            assert page.status == 403
        assert app.came == []

    async def test_a_nonce_as_state_and_a_state_as_nonce(self, world: Kit, app: App, first: Any) -> None:
        query = await self.sent_on(app, first)
        async with Browser() as agent:
            page = await agent.get(f"{world.url}/oauth/callback/mailhub?code=x&state={query['nonce']}")
            assert page.status == 403
            await agent.get(link(first))
            await agent.submit()
            at_provider = next(url for url in agent.trail if "/authorize" in url)
        state = at_provider.split("state=")[1].split("&")[0]
        status, answer = await app.confirm(query["ticket"], state, ALICE)
        assert (status, answer["code"]) == (403, "unknown_nonce")

    async def test_the_agent_walks_alone(self, world: Kit, app: App, first: Any) -> None:
        """Its own browser, an own account, nobody signed in at the application: it gets no further than the door."""
        async with Browser() as agent:
            page = await through(agent, link(first))
            assert page.status == 401

    async def test_the_agent_says_no_in_its_users_name(self, world: Kit, app: App, first: Any) -> None:
        async with world.session.post(link(first), json={"decision": "refuse"}) as reply:
            assert reply.status == 200
            assert app.url in reply.headers["Refresh"]
        async with Browser() as agent:
            await through(agent, link(first), deny=True)

    @pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
    async def test_a_post_of_another_site_begins_nothing(
        self, world: Kit, app: App, first: Any, headers: dict[str, str]
    ) -> None:
        async with world.session.post(link(first), data={"decision": "allow"}, headers=headers) as reply:
            assert reply.status == 403
            assert "Set-Cookie" not in reply.headers

    async def test_the_ask_was_withdrawn_meanwhile(self, world: Kit, app: App, first: Any) -> None:
        other = (await world.execute("note", params={"text": "x"})).json
        query = await self.sent_on(app, other)
        await world.call("POST", f"/executions/{other['id']}/cancel")
        status, _ = await app.confirm(query["ticket"], query["nonce"], ALICE)
        assert status in (409, 410)


async def test_a_nonce_is_good_once(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    app.confirms = False
    async with Browser() as alice:
        await login(alice, app, ALICE)
        await through(alice, link(first))
    (query,) = app.came
    answers = await asyncio.gather(*(app.confirm(query["ticket"], query["nonce"], ALICE) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
    assert exchanged(world) == 1


async def test_a_kill_switch_between_provider_and_confirmation(world: Kit, app: App) -> None:
    """What was begun before it connects nothing after it, and the token is given back (THREAT_MODEL 25)."""
    first = (await world.execute("list_messages")).json
    app.confirms = False
    async with Browser() as alice:
        await login(alice, app, ALICE)
        await through(alice, link(first))
    (query,) = app.came
    assert world.service is not None
    stop = Stop(kind="agent", id="mailbot", epoch=0, active=True, who="operator")
    audit = Audit(actor="operator", what=({"do": "stop"},))
    await world.service.store.apply(Unit(None, (Raise((stop,)),), audit))
    status, answer = await app.confirm(query["ticket"], query["nonce"], ALICE)
    assert (status, answer["code"]) == (403, "revoked")
    assert await world.service.store.grants(ALICE, "mailhub") == ((), ())
    for _ in range(500):
        if world.provider.revoked:
            break
        await asyncio.sleep(0.01)
    assert world.provider.revoked


async def test_the_database_holds_neither_nonce_nor_code(world: Kit, app: App) -> None:
    first = (await world.execute("list_messages")).json
    app.confirms = False
    async with Browser() as alice:
        await login(alice, app, ALICE)
        await through(alice, link(first))
        callback = next(url for url in alice.trail if "/oauth/callback/" in url)
    (query,) = app.came
    code = callback.split("code=")[1].split("&")[0]
    stored = b"".join(path.read_bytes() for path in world.folder.glob("jit-auth.db*"))
    for secret in (query["nonce"], query["ticket"], code, SECRET):
        assert secret.encode() not in stored


async def test_where_the_application_has_no_say_there_is_no_such_route(tmp_path: Path) -> None:
    async with kit(tmp_path) as world, world.running():
        answer = await world.call("POST", "/connect/jat_x/confirm", {"nonce": "a" * 43, "user": ALICE}, token=SECRET)
        assert answer.status == 404
