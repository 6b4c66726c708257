"""`[users] verify = "email"` through HTTP: a mailed code shows who opened a consent link, and what it must not show."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.browser import Browser, Page
from tests.fakes.smtp import MailServer, mail_server
from tests.integration.operators.test_reload import reload
from tests.integration.service.kit import OTHER, Kit, kit

ALICE, ANA = "alice@example.com", "ana@example.com"
MAIL = "Mail me a code"
MINUTE = 60_000


def config(server: MailServer) -> dict[str, str]:
    return {
        "users": '[users]\nverify = "email"\n',
        "config": f'[channels.email]\nsmtp_url = "smtp://127.0.0.1:{server.port}"\nfrom = "jit@example.com"\n',
    }


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    async with mail_server() as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, server: MailServer) -> AsyncIterator[Kit]:
    async with kit(tmp_path, **config(server)) as found, found.running():
        yield found


async def asked(world: Kit, action: str = "list_messages", **more: Any) -> str:
    """The consent link of a call that waits for one."""
    return link((await world.execute(action, **more)).json)


def link(execution: Any) -> str:
    (found,) = [item["url"] for item in execution["waiting_for"] if item["kind"] == "consent"]
    return str(found)


def mailed(server: MailServer, to: str = ALICE) -> str:
    """The newest code in somebody's mailbox."""
    (code,) = re.findall(r"\b\d{6}\b", server.inbox(to)[-1].text)
    return str(code)


def wrong(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 1_000_000:06}"


async def ask_for_code(browser: Browser, url: str) -> Page:
    await browser.get(url)
    return await browser.submit(MAIL)


async def typed(browser: Browser, code: str) -> Page:
    return await browser.submit("Go on", {"code": code})


async def proven(browser: Browser, server: MailServer, url: str) -> Page:
    await ask_for_code(browser, url)
    return await typed(browser, mailed(server))


async def waits(world: Kit, execution: str) -> bool:
    found = (await world.call("GET", f"/executions/{execution}")).json
    return found["status"] == "paused" and world.provider.counts["/as/token"] == 0


def error(page: Page) -> str:
    found = re.search(r"(?:Code|Error) <code>(\w+)</code>", page.html)
    return found[1] if found else ""


async def test_a_code_and_the_consent_goes_on(world: Kit, server: MailServer) -> None:
    first = await world.execute("list_messages")
    async with Browser() as alice:
        page = await alice.get(link(first.json))
        assert [form.buttons for form in page.forms] == [[(MAIL, "", "")]], "nothing is offered before the proof"
        page = await alice.submit(MAIL)
        assert page.status == 200
        assert 'autocomplete="one-time-code"' in page.html
        page = await typed(alice, mailed(server))
        assert page.url == link(first.json)
        page = await alice.submit("Continue")
        page = await alice.consent()
        assert "mailbot may use MailHub for you" in page.text
    assert (await world.ended(first.json["id"]))["status"] == "succeeded"


async def test_the_mail(world: Kit, server: MailServer) -> None:
    async with Browser() as alice:
        page = await ask_for_code(alice, await asked(world))
        cookie = page.headers
    (mail,) = server.inbox(ALICE)
    code = mailed(server)
    assert mail.message["To"] == ALICE
    assert mail.message["Subject"] == "[test] Your one-time code"
    assert "[test] Your code is" in mail.text
    assert "No assistant, agent or support person will ever need this code" in mail.text
    assert "mailbot may use MailHub" in mail.text
    assert "://" not in mail.raw.decode()
    assert world.url.removeprefix("http://") not in mail.raw.decode()
    assert code not in str(cookie)


async def test_spaces_are_no_mistake_and_words_are_no_try(world: Kit, server: MailServer) -> None:
    async with Browser() as alice:
        await ask_for_code(alice, await asked(world))
        for text in ("", "12345", "1234567", "abcdef", "１２３４５６", "-12345"):
            assert (await typed(alice, text)).status == 403
        code = mailed(server)
        page = await typed(alice, f" {code[:3]} {code[3:]} ")
        assert page.form("Continue")


async def test_an_address_in_people_gets_the_mail(tmp_path: Path, server: MailServer) -> None:
    more = config(server)
    more["config"] += '[people.carol]\nemail = "carol@mail.example"\naliases = ["caro"]\n'
    async with kit(tmp_path, **more) as world, world.running(), Browser() as carol:
        page = await proven_as(carol, server, await asked(world, user="caro"), "carol@mail.example")
        assert page.form("Continue")


async def proven_as(browser: Browser, server: MailServer, url: str, to: str) -> Page:
    await ask_for_code(browser, url)
    return await typed(browser, mailed(server, to))


async def test_who_has_no_address_is_told_so(world: Kit, server: MailServer) -> None:
    async with Browser() as bob:
        page = await ask_for_code(bob, await asked(world, user="bob"))
        assert (page.status, error(page)) == (503, "mail_unavailable")
        assert "Tell an operator" in page.text
    assert server.mails == []


async def test_while_the_mail_server_is_away_nothing_is_lost(world: Kit, server: MailServer) -> None:
    first = await world.execute("list_messages")
    await server.stop()
    async with Browser() as alice:
        for _ in range(7):  # more than there may be mails: what was not sent is not counted
            page = await ask_for_code(alice, link(first.json))
            assert (page.status, error(page)) == (503, "mail_unavailable")
            assert "Nothing was lost" in page.text
            assert str(server.port) not in page.html
        assert await waits(world, first.json["id"])
        await server.start()
        page = await proven(alice, server, link(first.json))
        assert page.form("Continue")


async def test_a_link_alone_answers_nothing(world: Kit) -> None:
    """The agent holds the link: neither yes nor no, by form or by JSON, with or without its own token."""
    first = await world.execute("list_messages")
    for body in ({"decision": "allow"}, {"decision": "refuse"}, {}):
        answer = await world.call("POST", link(first.json).removeprefix(world.url), body)
        assert (answer.status, answer.json["code"]) == (403, "sign_in_required")
    assert await waits(world, first.json["id"])


class TestNotAccepted:
    """The attack table. After each: the call still waits, and its link works."""

    @pytest.fixture
    async def first(self, world: Kit, server: MailServer) -> AsyncIterator[Any]:
        found = (await world.execute("list_messages")).json
        yield found
        assert await waits(world, found["id"])
        shown = (await world.call("GET", f"/executions/{found['id']}")).json
        world.clock.offset = 0
        async with Browser() as alice:
            assert (await alice.get(link(shown))).status == 200

    async def test_a_foreign_browser(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice, Browser() as agent:
            await ask_for_code(alice, link(first))
            await agent.get(link(first) + "/code")
            with pytest.raises(LookupError):
                agent.page.form("Go on")
            page = await agent.submit("Mail me", {"code": mailed(server)})
            assert (page.status, error(page)) == (403, "no_code")

    async def test_a_code_that_the_agent_has_from_its_user(self, world: Kit, server: MailServer, first: Any) -> None:
        """The chat that asks for "the six digits you just got": both have asked, each has a code of their own."""
        async with Browser() as alice, Browser() as agent:
            await ask_for_code(alice, link(first))
            code = mailed(server)
            await ask_for_code(agent, link(first))
            assert mailed(server) != code
            page = await typed(agent, code)
            assert error(page) == "wrong_code"

    async def test_the_sixth_try(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            code = mailed(server)
            for left in (4, 3, 2, 1, 0):
                page = await typed(alice, wrong(code, left + 1))
                assert f"{left} {'try is' if left == 1 else 'tries are'} left" in page.text
            with pytest.raises(LookupError):
                page.form("Go on")
            page = await alice.submit("Mail me", {"code": code})
            assert error(page) == "code_spent"

    async def test_many_tries_at_once_are_five(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            code, cookies = mailed(server), alice.cookies(link(first) + "/code")
        asked = [post(world, first, {"code": wrong(code, n + 1)}, cookies) for n in range(12)]
        codes = sorted(await asyncio.gather(*asked))
        assert codes.count("wrong_code") <= 5
        assert set(codes) <= {"wrong_code", "code_spent", "busy"}
        for _ in range(5):
            last = await post(world, first, {"code": wrong(code)}, cookies)
        assert last == "code_spent"
        assert await post(world, first, {"code": code}, cookies) == "code_spent"

    async def test_after_ten_minutes(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            world.clock.offset += 10 * MINUTE
            page = await typed(alice, mailed(server))
            assert error(page) == "code_expired"

    async def test_a_code_of_another_question(self, world: Kit, server: MailServer, first: Any) -> None:
        other = (await world.execute("note", params={"text": "x"})).json
        async with Browser() as alice:
            await ask_for_code(alice, link(other))
            code = mailed(server)
            await ask_for_code(alice, link(first))
            page = await typed(alice, code)
            assert error(page) == "wrong_code"
            # The cookie of the one question under the other's name.
            (name,) = [name for name in alice.cookies(link(first) + "/code") if name.startswith("jat_code")]
            (value,) = alice.cookies(link(other) + "/code").values()
            assert await post(world, first, {"code": code}, {name: value}) == "no_code"

    async def test_a_code_of_another_person(self, world: Kit, server: MailServer, first: Any) -> None:
        ana = (await world.execute("list_messages", user=ANA)).json
        async with Browser() as mallory:
            await ask_for_code(mallory, link(ana))
            (value,) = alices = list(mallory.cookies(link(ana) + "/code").values())
            await mallory.get(link(first))
            await mallory.submit(MAIL)
            (name,) = [n for n, v in mallory.cookies(link(first) + "/code").items() if v not in alices]
            assert await post(world, first, {"code": mailed(server, ANA)}, {name: value}) == "no_code"

    async def test_a_code_is_right_once(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            code, cookies = mailed(server), alice.cookies(link(first) + "/code")
            assert (await typed(alice, code)).form("Continue")
        assert await post(world, first, {"code": code}, cookies) == "code_spent"

    async def test_right_at_the_same_time_is_right_once(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            code, cookies = mailed(server), alice.cookies(link(first) + "/code")
        codes = await asyncio.gather(*(post(world, first, {"code": code}, cookies) for _ in range(4)))
        assert codes.count("") <= 1

    async def test_an_older_code_of_the_same_browser(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            code, cookies = mailed(server), alice.cookies(link(first) + "/code")
            await alice.submit("Mail me another code")
            assert error(await typed(alice, code)) == "wrong_code" or mailed(server) == code
        assert await post(world, first, {"code": code}, cookies) == "code_spent"

    async def test_the_sixth_mail(self, world: Kit, server: MailServer, first: Any) -> None:
        for number in range(5):
            async with Browser() as agent:
                await ask_for_code(agent, link(first))
                assert len(server.inbox(ALICE)) == number + 1
        async with Browser() as agent:
            page = await ask_for_code(agent, link(first))
            assert (page.status, error(page)) == (429, "too_many_mails")
            world.clock.offset += 30 * MINUTE
            assert error(await ask_for_code(agent, link(first))) == "too_many_mails"
        assert len(server.inbox(ALICE)) == 5

    async def test_many_mails_at_once_are_five(self, world: Kit, server: MailServer, first: Any) -> None:
        await asyncio.gather(*(post(world, first, {}, {}) for _ in range(12)))
        assert len(server.inbox(ALICE)) <= 5

    async def test_more_than_twenty_mails_in_an_hour(self, world: Kit, server: MailServer, first: Any) -> None:
        for number in range(5):
            other = (await world.execute("note", params={"text": str(number)})).json
            for _ in range(5):
                await post(world, other, {}, {})
        assert len(server.inbox(ALICE)) == 20
        assert await post(world, first, {}, {}) == "too_many_mails"
        world.clock.offset += 60 * MINUTE
        assert await post(world, first, {}, {}) == ""

    @pytest.mark.parametrize("headers", [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": ""},
        {"Referer": "https://evil.example/"},
    ])  # fmt: skip
    async def test_a_post_of_another_site(
        self, world: Kit, server: MailServer, first: Any, headers: dict[str, str]
    ) -> None:
        """Login CSRF: neither a mail nor a try nor a session comes of it."""
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            cookies = alice.cookies(link(first) + "/code")
        for body in ({}, {"code": mailed(server)}):
            assert await post(world, first, body, cookies, headers) == "foreign_origin"
        assert len(server.mails) == 1

    async def test_an_agents_own_token_is_nobody_here(self, world: Kit, server: MailServer, first: Any) -> None:
        answer = await world.call("POST", link(first).removeprefix(world.url) + "/code", {"code": "123456"})
        assert answer.json["code"] == "foreign_origin"
        answer = await world.call(
            "POST", link(first).removeprefix(world.url) + "/code", {"code": "123456"}, Origin=world.url
        )
        assert answer.json["code"] == "no_code"

    async def test_a_session_by_code_of_another_person(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as ana:
            await proven_as(ana, server, await asked(world, user=ANA), ANA)
            page = await ana.get(link(first))
            assert (page.status, error(page)) == (403, "other_person")
            page = await ana.get(link(first) + "/code")
            assert (page.status, error(page)) == (403, "other_person")

    async def test_a_get_mails_nothing(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as scanner:
            for tail in ("", "/code", "/code?code=123456"):
                await scanner.get(link(first) + tail, **{"Sec-Purpose": "prefetch"})
        assert server.mails == []

    async def test_a_planted_cookie(self, world: Kit, server: MailServer, first: Any) -> None:
        async with Browser() as alice:
            await ask_for_code(alice, link(first))
            names = list(alice.cookies(link(first) + "/code"))
        for value in ("", "x", "a" * 43, "\u00e9" * 43, "a" * 4000):
            assert await post(world, first, {"code": mailed(server)}, dict.fromkeys(names, value)) == "no_code"


async def test_the_database_holds_no_code_and_no_cookie(world: Kit, server: MailServer) -> None:
    url = await asked(world)
    async with Browser() as alice:
        await ask_for_code(alice, url)
        secrets = [mailed(server), *alice.cookies(url + "/code").values()]
        await typed(alice, mailed(server))
        secrets += alice.cookies(url).values()
    assert len(secrets) == 3
    stored = b"".join(path.read_bytes() for path in world.folder.glob("jit-auth.db*"))
    assert not [each for each in secrets[1:] if each.encode() in stored]
    assert secrets[0].encode() not in digits_alone(stored)


def digits_alone(stored: bytes) -> set[bytes]:
    """Every run of exactly six digits between other characters."""
    return set(re.findall(rb"(?<![0-9a-f])[0-9]{6}(?![0-9a-f])", stored))


async def test_where_the_agent_reads_the_mailbox_no_code_is_mailed(tmp_path: Path, server: MailServer) -> None:
    async with kit(tmp_path, **config(server)) as world:
        path = tmp_path / "connectors" / "mailhub" / "connector.toml"
        path.write_text(path.read_text().replace('effect = "read"\n', 'effect = "read"\nreads = ["email"]\n', 1))
        async with world.running(), Browser() as alice:
            page = await proven(alice, server, await asked(world))
            await alice.submit("Continue")
            await alice.consent()
            sent = len(server.mails)
            again = await asked(world, token=OTHER)
            # The session by a code that she still has counts no longer either.
            page = await alice.get(again)
            assert "could be read by the agent as well" in page.text
            assert page.forms == []
            for tail, body in (("", {"decision": "allow"}), ("/code", {}), ("/code", {"code": "123456"})):
                answer = await world.call("POST", again.removeprefix(world.url) + tail, body, Origin=world.url)
                assert (answer.status, answer.json["code"]) == (403, "sign_in_required")
            assert len(server.mails) == sent


ARCHIVE = """
id = "archive"
base_url = "{mail}"
[provider]
kind = "api_key"
inject = {{ header = "X-Key", value = "{{secret}}" }}
hosts = ["127.0.0.1"]
[actions.search]
title = "Search everybody's mail"
method = "GET"
path = "/messages"
risk = "low"
effect = "read"
reads = ["email"]
"""
OWN = """
id = "archive"
[actions.search]
title = "Search the mailbox that this machine has open"
run = "agent"
risk = "low"
effect = "read"
reads = ["email"]
"""


@pytest.mark.parametrize("connector", [ARCHIVE, OWN], ids=["shared credential", "function"])
async def test_a_mailbox_that_is_read_without_anybodys_account_is_read_all_the_same(
    tmp_path: Path, server: MailServer, connector: str
) -> None:
    """By a key of the deployment's, or by a function of the agent's own: of everybody, connected or not."""
    async with kit(tmp_path, **config(server)) as world:
        (tmp_path / "connectors" / "archive").mkdir()
        (tmp_path / "connectors" / "archive" / "connector.toml").write_text(connector.format(mail=world.mail.url))
        path = tmp_path / "config.toml"
        text = path.read_text() + (
            '[providers.archive]\nsecret = "k-0123456789abcdef"\n' if connector == ARCHIVE else ""
        )
        path.write_text(text)
        async with world.running():
            async with Browser() as alice:  # no agent may use it: nothing is read
                assert (await ask_for_code(alice, await asked(world))).status == 200
                assert len(server.inbox(ALICE)) == 1
            path.write_text(text.replace('actions = ["mailhub.*"]', 'actions = ["mailhub.*", "archive.*"]'))
            assert await reload(world)
            sent = len(server.mails)
            url = await asked(world)
            for tail, body in (("", {"decision": "allow"}), ("/code", {}), ("/code", {"code": "123456"})):
                answer = await world.call("POST", url.removeprefix(world.url) + tail, body, Origin=world.url)
                assert (answer.status, answer.json["code"]) == (403, "sign_in_required")
            assert len(server.mails) == sent


async def test_the_limits_hold_on_postgresql(tmp_path: Path, server: MailServer, postgres_url: str) -> None:
    async with kit(tmp_path, storage=postgres_url, **config(server)) as world, world.running(), Browser() as alice:
        first = (await world.execute("list_messages")).json
        await ask_for_code(alice, link(first))
        code, cookies = mailed(server), alice.cookies(link(first) + "/code")
        await asyncio.gather(*(post(world, first, {}, {}) for _ in range(8)))
        assert len(server.inbox(ALICE)) <= 5
        answers = await asyncio.gather(*(post(world, first, {"code": code}, cookies) for _ in range(3)))
        assert answers.count("") == 1
        assert await post(world, first, {"code": code}, cookies) == "code_spent"


async def post(
    world: Kit,
    execution: Any,
    body: dict[str, str],
    cookies: dict[str, str],
    headers: dict[str, str] | None = None,
) -> str:
    """Post JSON as a program would, with a browser's cookies; the code of the refusal, or ""."""
    told = {"Accept": "application/json"} | ({"Origin": world.url} if headers is None else headers)
    if cookies:
        told["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    url = link(execution) + "/code"
    async with world.session.post(url, json=body, headers=told, allow_redirects=False) as reply:
        if reply.status == 303:
            return ""
        return str((await reply.json(content_type=None))["code"])
