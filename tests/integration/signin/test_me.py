"""`/me` through HTTP, on the whole service, signed in at an issuer: what it shows, what its forms do, and to whom."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from jit_auth.engine.withdrawals import AT_ONCE
from tests.fakes.browser import Browser, Page
from tests.fakes.issuer import HostileIssuer
from tests.integration.service.kit import AGENT, OTHER, POLICIES, Kit, kit

ALICE, ANA = "alice@example.com", "ana@example.com"
SEND = {"to": ["x@y.example"], "subject": "hi"}


class House:
    """The service, its issuer, and browsers of people who are signed in."""

    def __init__(self, kit: Kit, issuer: HostileIssuer) -> None:
        self.kit = kit
        self.issuer = issuer

    @asynccontextmanager
    async def signed_in(self, person: str) -> AsyncIterator[Browser]:
        async with Browser() as browser:
            await self.sign_in(browser, person)
            yield browser

    async def sign_in(self, browser: Browser, person: str, to: str = "/me") -> Page:
        self.issuer.claims = {"email": person, "sub": "sub-" + person}
        return await browser.get(self.kit.url + to)

    async def post(self, browser: Browser, values: dict[str, str], path: str = "/me", **headers: str) -> Any:
        """A post that no browser of ours would make: exactly these values and headers, with this browser's cookies."""
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies(self.kit.url).items())
        told = {"Cookie": cookies, "Accept": "text/html"} | {k.replace("_", "-"): v for k, v in headers.items()}
        async with self.kit.session.post(
            self.kit.url + path, data=values, headers=told, allow_redirects=False
        ) as reply:
            return reply.status, dict(reply.headers), await reply.text()

    async def grant(self, person: str = ALICE) -> str:
        grants, _ = await self.store.own.grants(person)
        return str(grants[0].id)

    @property
    def store(self) -> Any:
        assert self.kit.service is not None
        return self.kit.service.store

    async def sql(self, text: str) -> None:
        """Change a row behind the service's back."""
        with closing(sqlite3.connect(self.kit.folder / "jit-auth.db", isolation_level=None, timeout=5)) as database:
            database.execute(text)

    async def facts(self, name: str) -> list[dict[str, Any]]:
        return [fact async for entry in self.store.audit.rows() for fact in entry.what if fact["do"] == name]


def issuers(issuer: HostileIssuer) -> str:
    """The issuer in config.toml."""
    return f"""
[issuers.corp]
issuer = "{issuer.url}"
client_id = "{issuer.client_id}"
client_secret = "{issuer.client_secret}"
domains = ["example.com"]
"""


@asynccontextmanager
async def house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    async with (
        HostileIssuer(time.time).running() as issuer,
        kit(folder, config=issuers(issuer), **settings) as found,
        found.running(),
    ):
        yield House(found, issuer)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as found:
        yield found


@pytest.fixture
async def used(home: House) -> House:
    """Alice has connected her account for mailbot, which has used it."""
    await home.kit.connected()
    return home


def token_of(page: Page) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page.html)
    assert found is not None
    return found[1]


async def test_whoever_is_not_signed_in_is_sent_to_the_sign_in(home: House) -> None:
    async with home.kit.session.get(home.kit.url + "/me", allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (303, "/signin?to=/me")
    async with home.kit.session.get(home.kit.url + "/me", headers={"Accept": "application/json"}) as reply:
        assert (reply.status, (await reply.json())["code"]) == (401, "unauthenticated")
        assert reply.content_type == "application/problem+json"


async def test_the_sign_in_leads_back(home: House) -> None:
    async with home.signed_in(ALICE) as alice:
        assert alice.page.url == home.kit.url + "/me"
        assert alice.page.status == 200
        assert "Signed in as alice@example.com" in alice.page.text
        for words in ("Nothing waits for you", "No agent has done anything", "You have connected nothing"):
            assert words in alice.page.text
        assert alice.page.headers["Cache-Control"] == "no-store"
        assert "script" not in alice.page.headers["Content-Security-Policy"]


async def test_what_was_done_stands_there_newest_first(used: House) -> None:
    await used.kit.execute("list_messages")
    answer = await used.kit.execute("send_message", params=SEND)
    await used.kit.decide(await used.kit.approval_link(answer.json["id"]))
    await used.kit.ended(answer.json["id"])
    async with used.signed_in(ALICE) as alice:
        text = alice.page.text
        assert text.index("Send to x@y.example: hi") < text.index("List messages")
        assert "Approved by ana@example.com." in text
        assert "The rules ask nobody about it." in text
        assert "mailhub.send_message" in text
        assert "account alice" in text


async def test_who_denied_and_why_it_ended(used: House) -> None:
    answer = await used.kit.execute("send_message", params=SEND)
    await used.kit.decide(await used.kit.approval_link(answer.json["id"]), "deny")
    async with used.signed_in(ALICE) as alice:
        assert "Denied by ana@example.com." in alice.page.text
    refused = await used.kit.execute("delete_message", params={"id": "7"})
    assert refused.status == 403
    async with used.signed_in(ALICE) as alice:
        assert "denied Delete a message" in alice.page.text


async def test_fifty_a_page_and_the_rest_behind_a_cursor(used: House) -> None:
    for number in range(55):
        await used.kit.execute("note", params={"text": f"note {number}"})
    async with used.signed_in(ALICE) as alice:
        assert alice.page.html.count("This was not me") == 50
        link = next(url for text, url in alice.page.links if text == "Older ones")
        page = await alice.get(link)
        assert page.html.count("This was not me") == 7  # and the two by which she connected
        assert "Sign out" in page.text
        assert "Disconnect" not in page.text
        assert not [text for text, _ in page.links if text == "Older ones"]
        page = await alice.get(next(url for text, url in page.links if text == "Back to the newest"))
        assert page.url == home_url(used)


def home_url(house: House) -> str:
    return house.kit.url + "/me"


async def test_a_cursor_that_is_none_is_refused(home: House) -> None:
    async with home.signed_in(ALICE) as alice:
        page = await alice.get(home.kit.url + "/me?cursor=%22%3E%3Cscript%3E")
        assert page.status == 400
        assert "<script>" not in page.html


async def test_rounds_that_wait_stand_there_for_whoever_decides(used: House) -> None:
    answer = await used.kit.execute("send_message", params=SEND)
    ask = next(item["id"] for item in answer.json["waiting_for"] if item["kind"] == "approval")
    async with used.signed_in(ANA) as ana:
        (link,) = [url for text, url in ana.page.links if text == "Send to x@y.example: hi"]
        assert link == f"{used.kit.url}/approvals/{ask}"
        assert "high risk" in ana.page.text
        page = await ana.get(link)
        assert page.status == 200
        await ana.submit("Approve")
        page = await ana.get(home_url(used))
        assert "Nothing waits for you" in page.text
        assert "x@y.example" not in page.text  # it was not done in her name
    async with used.signed_in(ALICE) as alice:
        assert "Nothing waits for you" in alice.page.text


async def test_a_round_that_nobody_has_a_copy_of_stands_there_too(tmp_path: Path) -> None:
    policies = POLICIES.replace("approval = {", 'approval = { via = ["page"],')
    async with house(tmp_path, policies=policies) as home:
        await home.kit.connected()
        await home.kit.execute("send_message", params=SEND)
        async with home.signed_in(ANA) as ana:
            assert [text for text, _ in ana.page.links if text.startswith("Send to x@y.example")]


async def test_consents_that_wait_stand_there_with_their_link(home: House) -> None:
    answer = await home.kit.execute("list_messages")
    url = next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent")
    async with home.signed_in(ALICE) as alice:
        assert ("List messages", url) in alice.page.links
        assert "asks for access to MailHub" in alice.page.text
    async with home.signed_in(ANA) as ana:
        assert "Nothing waits for you" in ana.page.text


async def test_unknown_outcomes_wait_for_whoever_is_asked(tmp_path: Path) -> None:
    policies = POLICIES + f'\n[defaults]\nunknown_to = ["user:{ANA}"]\n'
    async with house(tmp_path, policies=policies) as home:
        await home.kit.connected()
        home.kit.mail.faults = ["hang-up"]
        answer = await home.kit.execute("note", params={"text": "x"})
        assert answer.json["status"] == "unknown", answer.json
        async with home.signed_in(ANA) as ana:
            assert "Its answer was lost" in ana.page.text
            assert [url for _, url in ana.page.links if "/approvals/unk_" in url]


async def test_accounts_stand_there_with_scopes_in_plain_words(used: House) -> None:
    async with used.signed_in(ALICE) as alice:
        text = alice.page.text
        assert "MailHub: alice" in text
        assert "mailbot may use it for: Read your e-mail mail.read Send e-mail as you mail.send" in text
        assert "last used not lately" not in text
        assert "Since" in text
    async with used.signed_in(ANA) as ana:
        assert "You have connected nothing" in ana.page.text


async def test_disconnect_revokes_at_the_provider_and_the_next_call_asks(used: House) -> None:
    grant = await used.grant()
    epoch = used.store.epoch
    used.kit.provider.revoked.clear()
    async with used.signed_in(ALICE) as alice:
        page = await alice.submit("Disconnect")
        assert page.url.startswith(home_url(used))
        assert "The account is disconnected" in page.text
        assert "You have connected nothing" in page.text
    assert used.store.epoch > epoch
    row = await used.store.grant(grant)
    assert (row.state, row.token) == ("revoked", None)
    assert used.kit.service is not None
    await used.kit.service.worker.turn()
    assert len(used.kit.provider.revoked) == 2
    assert not used.kit.provider.families[-1].live
    answer = await used.kit.execute("note", params={"text": "x"})
    assert answer.status == 202
    assert [item["kind"] for item in answer.json["waiting_for"]] == ["consent"]
    (fact,) = await used.facts("grant.revoked")
    assert (fact["grant"], fact["why"], fact["owed"]) == (grant, "disconnected", True)
    await used.kit.connect(answer)  # a new grant: the old one is terminal
    assert (await used.kit.ended(answer.json["id"]))["status"] == "succeeded"
    assert await used.grant() != grant


async def test_disconnecting_one_agent_leaves_the_account_and_the_other_agent(used: House) -> None:
    answer = await used.kit.execute("list_messages", token=OTHER)
    await let_in(answer)
    assert (await used.kit.ended(answer.json["id"], token=OTHER))["status"] == "succeeded"
    async with used.signed_in(ALICE) as alice:
        page = await alice.submit("Disconnect for mailbot")
        assert "mailbot may use it for" not in page.text
        assert "otherbot may use it for" in page.text
    assert (await used.kit.execute("list_messages")).json["status"] == "paused"
    assert (await used.kit.execute("list_messages", token=OTHER)).json["status"] == "succeeded"
    (fact,) = await used.facts("consent.withdrawn")
    assert fact["grant"] == await used.grant()
    assert not [one for one in used.kit.provider.revoked if one]


async def let_in(answer: Any) -> None:
    """Allow another agent what is connected already."""
    url = next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent")
    async with Browser() as browser:
        await browser.get(url)
        await browser.submit("Allow")


async def test_this_was_not_me_goes_on_record_and_changes_nothing(
    used: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with used.signed_in(ALICE) as alice:
        page = await alice.submit("This was not me")
        assert "the operators have been told" in page.text
    (fact,) = await used.facts("disputed")
    assert fact["state"] == "succeeded"
    assert "says the person it was made for" in caplog.text
    assert (await used.kit.execute("list_messages")).json["status"] == "succeeded"


async def test_a_stop_ends_what_is_open_and_takes_consents_back(used: House) -> None:
    waiting = await used.kit.execute("send_message", params=SEND)
    async with used.signed_in(ALICE) as alice:
        page = await alice.submit("Stop this agent", form=_form_of(alice.page, "stop", "mailbot"))
        assert "stopped by you" in page.text
        assert "may use it for" not in page.text
        ended = await used.kit.ended(waiting.json["id"])
        assert (ended["status"], ended["error"]["code"], ended["error"]["by"]) == ("denied", "revoked", "user")
        refused = await used.kit.execute("list_messages")
        assert (refused.status, refused.json["code"]) == (403, "revoked")
        page = await alice.submit("Allow this agent again")
        assert "stopped by you" not in page.text
    again = await used.kit.execute("list_messages")
    assert again.status == 202
    assert [item["kind"] for item in again.json["waiting_for"]] == ["consent"]
    assert len(await used.facts("agent.stopped")) == len(await used.facts("agent.allowed")) == 1


def _form_of(page: Page, do: str, agent: str) -> Any:
    return next(f for f in page.forms if ("do", do) in f.fields and ("agent", agent) in f.fields)


async def test_a_stop_of_all_agents_holds_for_each(used: House) -> None:
    async with used.signed_in(ALICE) as alice:
        await alice.submit("Stop all agents")
        for token in (AGENT, OTHER):
            refused = await used.kit.execute("list_messages", token=token)
            assert (refused.status, refused.json["code"]) == (403, "revoked")
        bob = await used.kit.execute("list_messages", user="bob@example.com")
        assert bob.status == 202  # he has stopped nobody
        await alice.submit("Allow agents again")
    assert (await used.kit.execute("list_messages")).status == 202


async def test_a_stop_ends_all_that_is_open_however_much_there_is(used: House) -> None:
    waiting = [
        (await used.kit.execute("send_message", params=SEND | {"subject": f"no {number}"})).json["id"]
        for number in range(AT_ONCE + 5)
    ]
    foreign = await used.kit.execute("send_message", user="bob@example.com", params=SEND)
    async with used.signed_in(ALICE) as alice:
        await alice.submit("Stop all agents")
    for execution in waiting:
        ended = await used.kit.ended(execution)
        assert (ended["status"], ended["error"]["code"]) == ("denied", "revoked")
    assert (await used.kit.call("GET", f"/executions/{foreign.json['id']}")).json["status"] == "paused"
    async with used.signed_in(ANA) as ana:
        assert [text for text, _ in ana.page.links if text.startswith("Send to")] == ["Send to x@y.example: hi"]


async def test_a_stop_concerns_one_person_and_one_agent(used: House) -> None:
    async with used.signed_in(ALICE) as alice:
        await alice.submit("Stop this agent", form=_form_of(alice.page, "stop", "otherbot"))
    assert (await used.kit.execute("list_messages")).json["status"] == "succeeded"
    assert (await used.kit.execute("list_messages", token=OTHER)).json["code"] == "revoked"


async def test_a_consent_link_from_before_a_stop_connects_nothing_after_it(home: House) -> None:
    answer = await home.kit.execute("list_messages")
    url = next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent")
    async with home.signed_in(ALICE) as alice, Browser() as elsewhere:
        await elsewhere.get(url)
        await elsewhere.submit()  # at the provider now
        await alice.submit("Stop this agent", form=_form_of(alice.page, "stop", "mailbot"))
        page = await elsewhere.consent()
        assert page.status >= 400
        await alice.submit("Allow this agent again")
    grants, consents = await home.store.own.grants(ALICE)
    assert (grants, consents) == ((), ())
    assert home.kit.service is not None
    await home.kit.service.worker.turn()
    assert len(home.kit.provider.revoked) == 2


async def test_a_trip_from_before_a_disconnect_revives_nothing(used: House) -> None:
    used.kit.mail.faults = ["403"]
    answer = await used.kit.execute("note", params={"text": "x"})
    url = next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent")
    async with used.signed_in(ALICE) as alice, Browser() as elsewhere:
        await elsewhere.get(url)
        await elsewhere.submit()
        await alice.submit("Disconnect")
        page = await elsewhere.consent()
        assert page.status >= 400
    assert await used.store.own.grants(ALICE) == ((), ())


async def held(used: House) -> Any:
    """A call that was approved for an hour."""
    answer = await used.kit.execute("send_message", params=SEND)
    assert (await used.kit.decide(await used.kit.approval_link(answer.json["id"]), **{"for": "1h"})).status == 200
    await used.kit.ended(answer.json["id"])
    return await used.kit.execute("send_message", params=SEND)


@pytest.fixture
async def lasting(tmp_path: Path) -> AsyncIterator[House]:
    policies = POLICIES.replace("approval = {", 'approval = { for_max = "1h",')
    async with house(tmp_path, policies=policies) as found:
        await found.kit.connected()
        assert (await held(found)).json["status"] == "succeeded"
        yield found


@pytest.mark.parametrize("person", [ALICE, ANA])
async def test_an_approval_for_a_while_is_ended_by_hand(lasting: House, person: str) -> None:
    async with lasting.signed_in(person) as browser:
        assert "given by ana@example.com" in browser.page.text
        if person == ALICE:
            assert "Sent under an approval for a while, given by ana@example.com." in browser.page.text
        page = await browser.submit("End it now")
        assert "That approval has ended" in page.text
        assert "End it now" not in page.text
    assert (await lasting.kit.execute("send_message", params=SEND)).status == 202
    (fact,) = await lasting.facts("pass.ended")
    assert fact["why"] == "by hand"


async def test_a_stop_ends_approvals_for_a_while_and_allowing_again_brings_none_back(lasting: House) -> None:
    async with lasting.signed_in(ALICE) as alice:
        await alice.submit("Stop this agent", form=_form_of(alice.page, "stop", "mailbot"))
        await alice.submit("Allow this agent again")
    await let_in(await lasting.kit.execute("note", params={"text": "x"}))  # for what `send_message` needs
    answer = await lasting.kit.execute("send_message", params=SEND)
    assert answer.status == 202, answer.json
    assert "approval" in [item["kind"] for item in answer.json["waiting_for"]]


async def test_ids_of_others_are_answered_as_if_there_were_none(lasting: House) -> None:
    execution = (await lasting.kit.call("GET", "/executions")).json["items"][0]["id"]
    (standing,) = await lasting.store.own.passes(ALICE, lasting.store.now())
    grant = await lasting.grant()
    async with lasting.signed_in("bob@example.com") as bob:
        token = token_of(bob.page)
        for values in (
            {"do": "dispute", "execution": execution},
            {"do": "disconnect", "grant": grant},
            {"do": "withdraw", "grant": grant, "agent": "mailbot"},
            {"do": "pass", "pass": standing.id},
            {"do": "stop", "agent": "nobody"},
            {"do": "stop", "agent": "mailbot/alice@example.com"},
            {"do": "allow", "agent": "mailbot"},
            {"do": "dispute", "execution": "exe_" + "0" * 26},
            {"do": "pass", "pass": "\ud800".encode("utf-8", "replace").decode()},
        ):
            status, _, text = await lasting.post(bob, values | {"form_token": token}, Origin=lasting.kit.url)
            assert status == 404, values
            assert "There is nothing of yours by that name" in text
    assert await lasting.grant() == grant
    assert (await lasting.kit.execute("send_message", params=SEND)).json["status"] == "succeeded"


async def test_a_post_that_does_not_come_from_a_page_of_this_session_does_nothing(used: House) -> None:
    values = {"do": "stop", "agent": "*"}
    own = used.kit.url
    async with used.signed_in(ALICE) as alice, used.signed_in(ALICE) as elsewhere, used.signed_in(ANA) as ana:
        token = token_of(alice.page)
        for given, origin, code in (
            (None, own, "bad_form_token"),
            ("", own, "bad_form_token"),
            (token_of(elsewhere.page), own, "bad_form_token"),
            (token_of(ana.page), own, "bad_form_token"),
            (token[:-1], own, "bad_form_token"),
            (token, "https://evil.example", "foreign_origin"),
            (token, "null", "foreign_origin"),
            (token, None, "bad_form_token"),
        ):
            whole = values | ({"form_token": given} if given is not None else {})
            headers = {"Origin": origin} if origin is not None else {}
            status, _, text = await used.post(alice, whole, **headers)
            assert status == 403, (given, origin)
            assert code in text, (given, origin)
        status, _, _ = await used.post(alice, values | {"form_token": token}, Origin=own, Sec_Fetch_Site="cross-site")
        assert status == 403
        async with Browser() as stranger:
            status, _, _ = await used.post(stranger, values | {"form_token": token}, Origin=own)
            assert status == 403
    assert (await used.kit.execute("list_messages")).json["status"] == "succeeded"


async def test_a_form_that_is_none_of_ours_is_refused(used: House) -> None:
    async with used.signed_in(ALICE) as alice:
        token = token_of(alice.page)
        for values in (
            {},
            {"do": "halt"},
            {"do": "stop"},
            {"do": "stop", "agent": ""},
            {"do": "stop", "agent": "mailbot", "person": ANA},
            {"do": "disconnect", "grant": await used.grant(), "agent": "mailbot"},
        ):
            status, _, _ = await used.post(alice, {"form_token": token} | values, Origin=used.kit.url)
            assert status == 400, values
        assert (await used.kit.execute("list_messages")).json["status"] == "succeeded"


async def test_each_change_answers_303_back_to_the_page(used: House) -> None:
    async with used.signed_in(ALICE) as alice:
        values = {"do": "stop", "agent": "otherbot", "form_token": token_of(alice.page)}
        status, headers, _ = await used.post(alice, values, Origin=used.kit.url)
        assert status == 303
        assert headers["Location"].startswith("/me?done=stop&mark=")
        again, _, _ = await used.post(alice, values, Origin=used.kit.url)
        assert again == 303


async def test_no_link_makes_the_page_say_that_something_was_done(used: House) -> None:
    async with used.signed_in(ALICE) as alice, used.signed_in(ANA) as ana:
        page = await alice.submit("This was not me")
        address = page.url
        assert "on record" in page.text
        for url in (
            home_url(used) + "?done=stop",
            address.replace("dispute", "stop"),
            home_url(used) + "?done=x&mark=",
        ):
            assert (await alice.get(url)).status == 200
            assert "What was just done" not in alice.page.html
        assert "on record" not in (await ana.get(address)).text


async def test_sign_out_ends_this_session_alone(used: House) -> None:
    async with used.signed_in(ALICE) as alice, used.signed_in(ALICE) as elsewhere:
        assert alice.page.status == 200
        token = token_of(alice.page)
        cookies = dict(alice.cookies(used.kit.url))
        page = await alice.submit("Sign out", form=_sign_out(alice.page, everywhere=False))
        assert "You are signed out here" in page.text
        assert "jat_session" not in alice.cookies(used.kit.url)
        told = {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}
        async with used.kit.session.get(home_url(used), headers=told, allow_redirects=False) as reply:
            assert reply.status == 303  # the cookie itself is worth nothing now
        values = {"do": "stop", "agent": "*", "form_token": token}
        assert (await used.post(alice, values, Origin=used.kit.url))[0] == 403
        assert "this browser" in (await elsewhere.get(home_url(used))).text


def _sign_out(page: Page, *, everywhere: bool) -> Any:
    forms = [form for form in page.forms if form.action.endswith("/signout")]
    return next(form for form in forms if (("everywhere", "yes") in form.fields) == everywhere)


async def test_sign_out_everywhere_ends_them_all(used: House) -> None:
    async with used.signed_in(ALICE) as alice, used.signed_in(ALICE) as elsewhere, used.signed_in(ANA) as ana:
        page = await alice.submit("Sign out everywhere", form=_sign_out(alice.page, everywhere=True))
        assert "You are signed out everywhere" in page.text
        assert await used.store.own.sessions(ALICE) == ()
        cookie = "; ".join(f"{k}={v}" for k, v in elsewhere.cookies(used.kit.url).items())
        async with used.kit.session.get(home_url(used), headers={"Cookie": cookie}, allow_redirects=False) as reply:
            assert reply.status == 303
        assert "Signed in as ana" in (await ana.get(home_url(used))).text


async def test_foreign_text_is_a_part_of_no_page(tmp_path: Path) -> None:
    bad = '<img src=x onerror="alert(1)">\u202e</ul>"\'&\u27e8'
    policies = POLICIES.replace("approval = {", 'approval = { for_max = "1h",')
    async with house(tmp_path, policies=policies) as home:
        home.kit.provider.odd.userinfo = {"sub": bad, "email": bad, "name": bad}
        await home.kit.connected()
        params = {"to": ["x@y.example"], "subject": bad, "body": bad}
        answer = await home.kit.execute("send_message", params=params, reason=bad)
        await home.kit.decide(await home.kit.approval_link(answer.json["id"]), **{"for": "1h", "feedback": bad})
        await home.kit.ended(answer.json["id"])
        home.kit.mail.faults = ["403"]
        await home.kit.execute("note", params={"text": bad}, reason=bad)
        await home.kit.execute("send_message", params=params | {"to": ["z@y.example"]})
        for person in (ALICE, ANA):
            async with home.signed_in(person) as browser:
                html = browser.page.html
                assert browser.page.status == 200
                assert "<img" not in html
                assert "\u202e" not in html
                assert "U+202E" in html
                assert 'onerror="' not in html
                if person == ALICE:
                    accounts = html.split('id="accounts"', 2)[1].split("</section>")[0]
                    assert "&lt;img src=x" in accounts


async def test_what_is_sensitive_stands_nowhere(used: House) -> None:
    await used.kit.execute("send_message", params=SEND | {"body": "top secret words"})
    for person in (ALICE, ANA):
        async with used.signed_in(person) as browser:
            assert "top secret" not in browser.page.html


async def test_nothing_of_a_leaver_opens_anything(tmp_path: Path) -> None:
    async with (
        HostileIssuer(time.time).running() as issuer,
        kit(tmp_path, config=issuers(issuer)) as found,
        Browser() as alice,
    ):
        home = House(found, issuer)
        async with found.running():
            await home.sign_in(alice, ALICE)
            token = token_of(alice.page)
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace(f'[people."{ALICE}"]', f'[people."{ALICE}"]\nactive = false'))
        async with found.running():
            cookie = "; ".join(f"{name}={value}" for name, value in alice.cookies(found.url).items())
            async with found.session.get(found.url + "/me", headers={"Cookie": cookie}, allow_redirects=False) as reply:
                assert (reply.status, reply.headers["Location"]) == (303, "/signin?to=/me")
            values = {"do": "stop", "agent": "*", "form_token": token}
            assert (await home.post(alice, values, Origin=found.url))[0] == 403
            page = await home.sign_in(alice, ALICE)
            assert page.status == 403
            assert "has left, or was stopped here" in page.text
            assert "This was not me" not in page.html


async def test_a_mailed_code_opens_no_page_of_ones_own(used: House) -> None:
    """An agent may read the mailbox: by a code it would see who decides, and lift its own stop (THREAT_MODEL 3)."""
    async with used.signed_in(ALICE) as alice:
        token = token_of(alice.page)
        await used.sql("UPDATE session SET how = 'code'")
        cookie = "; ".join(f"{name}={value}" for name, value in alice.cookies(used.kit.url).items())
        async with used.kit.session.get(home_url(used), headers={"Cookie": cookie}, allow_redirects=False) as reply:
            assert reply.status == 303
        values = {"do": "stop", "agent": "mailbot", "form_token": token}
        status, _, text = await used.post(alice, values, Origin=used.kit.url)
        assert status == 403
        assert "sign_in_required" in text


async def test_all_of_it_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    policies = POLICIES.replace("approval = {", 'approval = { for_max = "1h",')
    async with house(tmp_path, policies=policies, storage=postgres_url) as home:
        await home.kit.connected()
        assert (await held(home)).json["status"] == "succeeded"
        waiting = await home.kit.execute("send_message", params=SEND | {"subject": "other"})
        async with home.signed_in(ALICE) as alice:
            text = alice.page.text
            assert "Approved by ana@example.com." in text
            assert "mailbot may use it for" in text
            assert "End it now" in text
            assert "last used not lately" not in text
            await alice.submit("Stop this agent", form=_form_of(alice.page, "stop", "mailbot"))
            assert (await home.kit.ended(waiting.json["id"]))["error"]["code"] == "revoked"
            assert "End it now" not in alice.page.text
            assert "No agent may use it at present" in alice.page.text
            await alice.submit("Allow this agent again")
            await alice.submit("Disconnect")
            assert "You have connected nothing" in alice.page.text
            await alice.submit("Sign out everywhere", form=_sign_out(alice.page, everywhere=True))
        assert await home.store.own.sessions(ALICE) == ()
        async with home.signed_in(ANA) as ana:
            assert "Nothing waits for you" in ana.page.text
