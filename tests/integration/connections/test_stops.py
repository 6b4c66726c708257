"""What is stopped ends links at once and for good; nobody is worn down, and nobody connects by somebody else's link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from jit_auth.model import Audit as Row
from jit_auth.model import Raise, Stop, Unit
from tests.fakes.browser import Browser
from tests.integration.connections.conftest import ALICE, NOTE, READ, allow, ask, end, facts, let, listed, play, reload
from tests.integration.service.kit import ADMIN, AGENT, OTHER, Kit, kit


async def admin(world: Kit, path: str, **body: Any) -> None:
    answer = await world.call("POST", f"/admin/{path}", body, token=ADMIN)
    assert answer.status == 200, answer.json


async def status(url: str) -> int:
    async with Browser() as browser:
        return (await browser.get(url)).status


async def under_way(world: Kit, url: str) -> Browser:
    """A browser at the provider's consent screen."""
    browser = await Browser().__aenter__()
    await browser.get(url)
    await browser.submit()
    return browser


STOPS = {
    "agent": ("agents/mailbot/suspend", {}, "agents/mailbot/restore"),
    "agent's consents": ("revoke", {"agent": "mailbot"}, "agents/mailbot/restore"),
    "connector": ("revoke", {"connector": "mailhub"}, "connectors/mailhub/restore"),
}


@pytest.mark.parametrize("stop", STOPS)
async def test_a_kill_switch_ends_links_at_once_and_for_good(both: Kit, stop: str) -> None:
    thrown, body, restore = STOPS[stop]
    url = (await ask(both, READ)).json["url"]
    browser = await under_way(both, url)
    await admin(both, thrown, **body)
    assert await status(url) == 410
    answer = await ask(both, READ)
    assert (answer.status, answer.json["code"]) == (403, "revoked")
    page = await browser.consent(user=ALICE)
    await browser.__aexit__(None, None, None)
    assert (page.status, "stopped" in page.text) == (403, True)
    await admin(both, restore)
    assert await status(url) == 410, "restoring revives none"
    again = await ask(both, READ)
    assert again.status == 201
    assert again.json["url"] != url
    assert await listed(both) == []
    assert (await play(again.json["url"])).status == 200


async def test_a_user_who_was_cut_off_is_asked_by_a_new_link(both: Kit) -> None:
    url = (await ask(both, READ)).json["url"]
    browser = await under_way(both, url)
    await admin(both, "revoke", user=ALICE)
    assert await status(url) in (404, 410)
    assert (await browser.consent(user=ALICE)).status == 403
    await browser.__aexit__(None, None, None)
    both.clock.offset += 6_000
    again = (await ask(both, READ)).json["url"]
    assert again != url
    assert (await play(again)).status == 200
    assert len(await listed(both)) == 1


async def test_a_user_who_stops_the_agent_ends_its_links(world: Kit) -> None:
    url = (await ask(world, READ)).json["url"]
    assert world.service is not None
    store = world.service.store
    for active in (True, False):
        stop = Stop(kind="own", id=f"mailbot/{ALICE}", epoch=0, active=active, who=f"person:{ALICE}")
        row = Row(actor=f"person:{ALICE}", what=({"do": "agent.stopped"},), user=ALICE)
        await store.apply(Unit(None, (Raise((stop,)),), row))
        assert await status(url) == 410
        assert (await ask(world, READ)).status == (403 if active else 201)


async def test_halted_nobody_is_asked_and_what_was_asked_still_counts(world: Kit) -> None:
    url = (await ask(world, READ)).json["url"]
    await admin(world, "halt", reason="test")
    assert (await ask(world, NOTE)).json["code"] == "halted"
    assert (await play(url)).status == 200
    assert len(await listed(world)) == 1
    await admin(world, "resume", reason="test")
    assert (await ask(world, READ)).json["status"] == "connected"


async def test_a_leaver_and_an_erased_person_connect_nothing(world: Kit) -> None:
    url = (await ask(world, READ)).json["url"]
    async with world.session.delete(
        f"{world.url}/admin/users/{ALICE}", headers={"Authorization": f"Bearer {ADMIN}"}
    ) as reply:
        assert reply.status == 200
    assert await status(url) == 404
    again = (await ask(world, READ)).json["url"]
    path = world.folder / "config.toml"
    path.write_text(path.read_text().replace(f'[people."{ALICE}"]\n', f'[people."{ALICE}"]\nactive = false\n'))
    assert await reload(world)
    assert await status(again) == 410
    assert (await ask(world, READ)).json["code"] == "user_not_permitted"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("connections = true\n", ""),
        ('actions = ["mailhub.*"]', 'actions = ["mailhub.note"]'),
        ('users = ["*"]', 'users = ["bo@example.com"]'),
        ('return_urls = ["http://127.0.0.1:9/back/"]', "return_urls = []"),
    ],
)
async def test_a_reload_that_takes_the_right_away_ends_the_link(world: Kit, old: str, new: str) -> None:
    url = (await ask(world, READ, return_url="http://127.0.0.1:9/back/x")).json["url"]
    browser = await under_way(world, url)
    path = world.folder / "config.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert await reload(world)
    assert await status(url) == 410
    page = await browser.consent(user=ALICE)
    await browser.__aexit__(None, None, None)
    assert page.status == 403
    for _ in range(200):
        if world.provider.counts["revoke"]:
            break
        await asyncio.sleep(0.02)
    assert world.provider.revoked, "what came too late is given back"


async def test_the_link_is_its_users_and_good_once(world: Kit) -> None:
    url = (await ask(world, READ)).json["url"]
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        async with world.session.post(url, headers=headers) as reply:
            assert reply.status == 403
    async with world.session.post(url + "x") as reply:
        assert reply.status == 404
    browser = await under_way(world, url)
    async with Browser() as other:
        page = await other.get(browser.page.url.replace("/as/authorize", "/as/nowhere"))
        state = browser.page.url.partition("state=")[2].partition("&")[0]
        page = await other.get(f"{world.url}/oauth/callback/mailhub?code=x&state={state}&iss={world.provider.url}")
        assert page.status == 403, "a foreign browser"
    await browser.consent(user=ALICE)
    await browser.__aexit__(None, None, None)
    assert await status(url) == 409


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Kit]:
    users = '[users]\nverify = "none"\nconsent = "shared"\n'
    async with kit(tmp_path, users=users) as found, let(found, "mailbot", "otherbot").running():
        yield found


async def test_where_consent_is_shared_what_one_was_given_is_everybodys(shared: Kit) -> None:
    await play((await ask(shared, READ)).json["url"])
    assert (await ask(shared, READ, token=OTHER)).json["status"] == "connected"
    (item,) = await listed(shared, token=OTHER)
    answer = await end(shared, item["id"], token=OTHER)
    assert (answer.json["status"], answer.json["at_provider"]) == ("revoked", "revoked")
    assert await listed(shared, token=AGENT) == []


async def test_what_is_over_is_kept_for_a_week(both: Kit) -> None:
    assert both.service is not None
    store = both.service.store
    await ask(both, READ)
    both.clock.offset += 86_401_000
    await store.sweep()
    assert len(await store.circles.connecting("mailbot", ALICE)) == 1
    both.clock.offset += 7 * 86_400_000
    await store.sweep()
    assert await store.circles.connecting("mailbot", ALICE) == ()
    assert len(await facts(both, "connection.asked")) == 1


async def test_another_agents_question_is_its_own(world: Kit) -> None:
    mine, theirs = (await ask(world, READ)).json["url"], (await ask(world, READ, token=OTHER)).json["url"]
    assert mine != theirs
    await play(theirs)
    assert (await ask(world, READ, token=OTHER)).json["status"] == "connected"
    again = await ask(world, READ)
    assert again.json["waiting_for"][0]["new_agent"] is True
    assert (await world.execute("list_messages")).status == 202
    await allow(again.json["url"])
    assert len(await listed(world)) == 1
