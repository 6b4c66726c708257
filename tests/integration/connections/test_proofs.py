"""Whose browser answers a link that was asked for before any call: as for every consent, and who is told of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.fakes.app import SECRET, App
from tests.fakes.browser import Browser
from tests.fakes.issuer import HostileIssuer
from tests.fakes.smtp import MailServer, mail_server
from tests.integration.connections.conftest import ALICE, NOTE, READ, ask, facts, let, listed, play
from tests.integration.service.kit import ADMIN, Kit, kit
from tests.integration.signin.test_me import issuers

MALLORY = "mallory@example.com"


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as running:
        yield running


@pytest.fixture
async def mailing(tmp_path: Path, server: MailServer) -> AsyncIterator[Kit]:
    """Users are told by mail, and prove themselves by mail."""
    users = '[users]\nverify = "email"\nnotify = ["email"]\n'
    config = f'[channels.email]\nsmtp_url = "smtp://127.0.0.1:{server.port}"\nfrom = "jit@example.com"\n'
    async with kit(tmp_path, users=users, config=config) as found, let(found, "mailbot").running():
        yield found


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with App().running() as running:
        yield running


async def mails(server: MailServer, count: int) -> list[str]:
    """Alice's mails, once there are so many."""
    for _ in range(500):
        if len(server.inbox(ALICE)) >= count:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0)
    return [mail.text for mail in server.inbox(ALICE)]


async def test_the_user_is_mailed_once(mailing: Kit, server: MailServer) -> None:
    url = (await ask(mailing, READ)).json["url"]
    (text,) = await mails(server, 1)
    for word in ("mailbot", "MailHub", url, "List messages", "nothing is connected"):
        assert word in text, word
    assert "the call" not in text
    for actions in ((READ,), (READ, NOTE), (NOTE,)):
        assert (await ask(mailing, *actions)).status == 201
    assert mailing.service is not None
    await mailing.service.worker.turn()
    assert len(server.inbox(ALICE)) == 1, "one of this agent and provider is open already"
    shown = [fact for fact in await facts(mailing, "card") if fact["did"] == "shown"]
    assert len(shown) == 1


async def test_a_link_that_was_ended_keeps_no_mail_back(mailing: Kit, server: MailServer) -> None:
    first = (await ask(mailing, READ)).json["url"]
    await mails(server, 1)
    for step in ("suspend", "restore"):
        assert (await mailing.call("POST", f"/admin/agents/mailbot/{step}", {}, token=ADMIN)).status == 200
    second = (await ask(mailing, READ)).json["url"]
    texts = await mails(server, 2)
    assert (first in texts[0], second in texts[1]) == (True, True)


async def test_a_mailed_code_shows_whose_browser_it_is(mailing: Kit, server: MailServer) -> None:
    url = (await ask(mailing, READ)).json["url"]
    await mails(server, 1)
    async with mailing.session.post(url) as reply:
        assert reply.status == 403
    async with Browser() as alice:
        await alice.get(url)
        await alice.submit("Mail me a code")
        await mails(server, 2)
        (code,) = re.findall(r"\b\d{6}\b", server.inbox(ALICE)[-1].text)
        await alice.submit("Go on", {"code": code})
        await alice.submit("Continue")
        assert "mailbot may use MailHub for you" in (await alice.consent(user=ALICE)).text
    assert len(await listed(mailing)) == 1


async def test_a_link_proves_nothing_before_a_call_either(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(HostileIssuer(time.time).running())
        users = '[users]\nverify = "oidc"\nissuer = "corp"\n'
        found = await stack.enter_async_context(kit(tmp_path, users=users, config=issuers(issuer)))
        world = await stack.enter_async_context(let(found, "mailbot").running())
        url = (await ask(world, READ)).json["url"]
        async with world.session.post(url) as reply:  # the agent, which knows the link
            assert reply.status == 403
        async with Browser() as mallory:
            issuer.claims = {"email": MALLORY, "sub": "m"}
            page = await mallory.get(f"{world.url}/signin?to={url.removeprefix(world.url)}")
            assert page.status == 403
        assert await listed(world) == []
        async with Browser() as alice:
            issuer.claims = {"email": ALICE, "sub": "a"}
            await alice.get(f"{world.url}/signin?to={url.removeprefix(world.url)}")
            # What waits for her stands on her own page.
            assert url in (await alice.get(world.url + "/me")).html
            await alice.get(url)
            await alice.submit("Continue")
            await alice.consent(user=ALICE)
        (item,) = await listed(world)
        async with Browser() as alice:
            await alice.get(f"{world.url}/signin?to=/me")
            assert item["account_name"] in alice.page.text


async def test_the_application_says_whose_browser_it_is(tmp_path: Path, app: App) -> None:
    users = f'[users]\nverify = "app"\napp_url = "{app.url}/confirm"\napp_secret = "{SECRET}"\n'
    async with kit(tmp_path, users=users) as found, let(found, "mailbot").running() as world:
        app.service = world.url
        url = (await ask(world, READ)).json["url"]
        for user, status in ((MALLORY, 403), (ALICE, 200)):
            async with Browser() as browser:
                await browser.get(f"{app.url}/login?user={user}")
                await browser.connect(url)
            assert app.answers[-1][0] == status
            assert len(await listed(world)) == (1 if user == ALICE else 0)


async def test_the_last_page_undoes_it(tmp_path: Path) -> None:
    async with kit(tmp_path) as found, let(found, "mailbot").running() as world:
        url = (await ask(world, READ)).json["url"]
        async with Browser() as browser:
            await browser.connect(url, user=ALICE)
            page = await browser.submit("Undo")
            assert page.status == 200
        assert await listed(world) == []
        assert (await ask(world, READ)).json["status"] == "open"
        assert (await play((await ask(world, READ)).json["url"])).status == 200
