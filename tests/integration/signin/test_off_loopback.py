"""The service as it stands in earnest: https, behind a proxy that ends TLS, people reached by mail alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.fakes.browser import Browser
from tests.fakes.smtp import Mail, MailServer, mail_server
from tests.integration.service.kit import AGENT, Answer
from tests.integration.signin.service import ANA, AWAY, BO, POLICIES, SEND, Corp, corp, digest, form_token, strict

HOST = "jit.example.com"
LINK = re.compile(r"https://jit\.example\.com/approvals/jat_\S+")
SECRET = str(SEND["body"])
NONE = "sha256:" + "0" * 64


@dataclass
class Away(Corp):
    """Public under https; what listens is on loopback, as behind a proxy. Mails go to `post`."""

    public_url: str = AWAY
    post_office: MailServer = field(default_factory=MailServer)

    def write(self) -> None:
        self.extra = f"""
[channels.email]
smtp_url = "smtp://127.0.0.1:{self.post_office.port}"
from = "approvals@example.com"
"""
        super().write()
        path = self.folder / "config.toml"
        text = re.sub(r"^admin_tokens = .*\n", "", path.read_text(), flags=re.MULTILINE)
        text = re.sub(r'^client_secret = ".*"$', self._kept, text, flags=re.MULTILINE)
        path.write_text(text.replace("[agents.mailbot]\n", "[agents.mailbot]\ntrusts_users = true\n"))

    def _kept(self, found: re.Match[str]) -> str:
        """A secret beyond loopback stands in a file of its owner's."""
        secret = found[0].partition('"')[2].rstrip('"')
        file = self.folder / f"secret-{len(secret)}-{secret[:1]}"
        file.write_text(secret)
        file.chmod(0o600)
        return f'client_secret = {{ file = "{file.name}" }}'

    async def call(self, method: str, path: str, body: Any = None, *, token: str = AGENT, **headers: str) -> Answer:
        return await super().call(method, path, body, token=token, Host=HOST, **headers)

    async def post(self, url: str, body: Any, *, browser: Browser | None = None, **headers: str) -> Answer:
        cookies = "" if browser is None else "; ".join(f"{k}={v}" for k, v in browser.cookies(url).items())
        more = {"Cookie": cookies} if cookies else {}
        return await super().post(url.replace(AWAY, self.url), body, Host=HOST, **more, **headers)

    def browser(self) -> Browser:
        """A browser that reaches it through the proxy."""
        return Browser({AWAY: self.url})

    async def mailed(self, ask: str, person: str = ANA) -> Mail:
        """The mail that asks this person about it."""
        for _ in range(1000):
            for mail in self.post_office.inbox(person):
                if ask in mail.text and LINK.search(mail.text):
                    return mail
            await asyncio.sleep(0.01)
        raise LookupError(f"no mail for {ask} to {person}")

    async def link(self, ask: str, person: str = ANA) -> str:
        return LINK.findall((await self.mailed(ask, person)).text)[0]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Away]:
    """Running; Alice has connected, for reading and for sending."""
    async with mail_server() as office, corp(tmp_path, Away, post_office=office) as found, found.running():
        assert isinstance(found, Away)
        await found.consented()
        await found.consented(action="note_again", text="x")
        found.mail.counts.clear()
        yield found


async def test_nothing_is_printed_and_no_other_host_is_answered(world: Away) -> None:
    asked = await world.asked()
    await world.mailed(asked.ask)
    assert world.printed == []
    async with world.session.get(f"{world.url}/signin", allow_redirects=False) as reply:
        assert reply.status == 421


async def test_cookies_are_this_hosts_alone_and_never_sent_in_the_clear(world: Away) -> None:
    async with world.session.get(f"{world.url}/signin", headers={"Host": HOST}, allow_redirects=False) as reply:
        (begun,) = reply.headers.getall("Set-Cookie")
        onward = reply.headers["Location"]
    assert re.fullmatch(
        r"__Host-jat_signin_[0-9a-f]{16}=[A-Za-z0-9_-]+; HttpOnly; Max-Age=600; Path=/; SameSite=Lax; Secure", begun
    )
    assert URL(onward, encoded=True).query["redirect_uri"] == f"{AWAY}/signin/callback/corp"
    async with world.browser() as ana:
        await world.sign_in(ana)
        assert set(ana.cookies(AWAY)) == {"__Host-jat_session"}
        assert ana.cookies(AWAY.replace("https", "http")) == {}
        assert ana.cookies("https://sub.jit.example.com") == {}
        value = ana.cookies(AWAY)["__Host-jat_session"]
    for name in ("jat_session", "__Secure-jat_session"):  # a sister host can set such ones
        headers = {"Host": HOST, "Cookie": f"{name}={value}"}
        async with world.session.get(f"{world.url}/approvals", headers=headers, allow_redirects=False) as reply:
            assert reply.headers["Location"] == "/signin?to=/me"


async def test_from_the_mail_to_the_decision(world: Away) -> None:
    asked = await world.asked()
    url = await world.link(asked.ask)
    async with world.browser() as ana:
        page = await ana.get(url)
        strict(page)
        assert "Sign in to decide" in page.text
        world.issuer.claims = {"email": ANA, "sub": "s-ana"}
        (go,) = [to for text, to in page.links if text == "Sign in and decide"]
        page = await ana.get(go)
        assert page.url == f"{AWAY}/approvals/{asked.ask}"
        strict(page)
        await ana.submit("Approve")
        assert ana.page.status == 200
    assert (await world.ended(asked.execution))["status"] == "succeeded"
    assert await world.votes(asked.execution) == [(ANA, "approve", "oidc")]


async def test_two_clicks_from_the_mail_once_signed_in(world: Away) -> None:
    asked = await world.asked()
    async with world.browser() as ana:
        await world.sign_in(ana)
        ana.trail.clear()
        await ana.get(await world.link(asked.ask))
        await ana.submit("Approve")
        assert len(ana.trail) == 2
    assert (await world.ended(asked.execution))["status"] == "succeeded"


@pytest.mark.parametrize("way", ["", "/all", "/all/{ask}"])
async def test_sensitive_values_are_not_for_whoever_holds_a_link(world: Away, way: str) -> None:
    asked = await world.asked()
    mail = await world.mailed(asked.ask)
    assert SECRET not in mail.text + mail.html
    url = await world.link(asked.ask) + way.format(ask=asked.ask)
    async with world.browser() as somebody, world.browser() as ana:
        page = await somebody.get(url)
        assert page.status == 200
        assert "x@y.example" in page.text
        assert SECRET not in page.html
        await world.sign_in(ana)
        page = await ana.get(url)
        assert SECRET in page.html


async def test_what_was_sent_in_a_lost_call_is_not_for_whoever_holds_a_link(world: Away) -> None:
    asked = await world.asked()
    world.mail.faults = ["hang-up"]
    async with world.browser() as ana:
        await world.sign_in(ana, to=f"/approvals/{asked.ask}")
        await ana.submit("Approve")
    assert (await world.ended(asked.execution))["status"] == "unknown"
    assert world.service is not None
    opened = await world.service.store.opened(asked.execution)
    assert opened is not None
    ask = next(ask.id for ask in opened.asks if ask.kind == "outcome")
    async with world.browser() as somebody, world.browser() as ana:
        page = await somebody.get(await world.link(ask))
        assert page.status == 200
        assert SECRET not in page.html
        page = await world.sign_in(ana, to=f"/approvals/{ask}")
        assert SECRET in page.html


async def test_a_mailed_link_decides_at_medium_risk(world: Away) -> None:
    asked = await world.asked("note")
    async with world.browser() as ana:
        await ana.get(await world.link(asked.ask))
        await ana.submit("Approve")
        assert ana.page.status == 200
    assert (await world.ended(asked.execution))["status"] == "succeeded"
    assert await world.votes(asked.execution) == [(ANA, "approve", "link")]


async def test_who_lets_an_agent_read_their_mail_proves_nothing_by_a_mail(world: Away) -> None:
    """THREAT_MODEL 3: Ana has connected her own mailbox, so that mailbot could open the link that she is sent."""
    before = await world.asked("note")
    await world.mailed(before.ask)
    await world.consented(ANA, "read_mail")
    later = await world.asked("note", text="another")
    for asked in (before, later):
        url = await world.link(asked.ask)
        told = await world.post(url, {"decision": "approve"})
        assert (told.status, told.json["code"]) == (403, "sign_in_required")
        told = await world.post(f"{url}/all", {"decisions": [{"id": asked.ask, "decision": "approve", "digest": NONE}]})
        assert told.status == 409
        async with world.browser() as ana:
            page = await ana.get(url)
            assert "Sign in to decide" in page.text
            assert not any(text == "Approve" for form in page.forms for text, _, _ in form.buttons)
    assert await world.votes(before.execution) == await world.votes(later.execution) == []
    async with world.browser() as ana:
        await world.sign_in(ana, to=f"/approvals/{later.ask}")
        await ana.submit("Approve")
    assert await world.votes(later.execution) == [(ANA, "approve", "oidc")]
    told = await world.post(await world.link(before.ask, BO), {"decision": "approve"})
    assert told.status == 200, "Bo has connected nothing"


@pytest.mark.parametrize(
    "origin", ["http://jit.example.com", "https://jit.example.com:8443", "https://sub.jit.example.com", "null"]
)
async def test_only_our_own_origin_posts(world: Away, origin: str) -> None:
    asked = await world.asked()
    async with world.browser() as ana:
        page = await world.sign_in(ana, to=f"/approvals/{asked.ask}")
        body = {"decision": "approve", "digest": digest(page), "form_token": form_token(page)}
        url = f"{AWAY}/approvals/{asked.ask}"
        told = await world.post(url, body, browser=ana, Origin=origin)
        assert (told.status, told.json["code"]) == (403, "foreign_origin")
        assert await world.votes(asked.execution) == []
        assert (await world.post(url, body, browser=ana, Origin=AWAY)).status == 200


async def test_a_forwarded_host_is_nobodys(world: Away) -> None:
    headers = {"Host": HOST, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    async with world.session.get(f"{world.url}/signin", headers=headers, allow_redirects=False) as reply:
        assert URL(reply.headers["Location"], encoded=True).query["redirect_uri"] == f"{AWAY}/signin/callback/corp"
        assert "Secure" in reply.headers["Set-Cookie"]


async def test_who_may_change_a_sensitive_value_changes_it_after_a_sign_in(tmp_path: Path) -> None:
    rule = """
[[rule]]
id = "edit"
match = ["mailhub.note"]
effect = "require_approval"
approval = { from = ["user:ana@example.com", "user:bo@example.com"], editable = ["text", "secret"] }
"""
    rules = POLICIES.replace('"mailhub.note", ', "") + rule
    async with mail_server() as office, corp(tmp_path, Away, post_office=office, policies=rules) as found:
        connector = found.folder / "connectors" / "mailhub" / "connector.toml"
        note = 'params.text = { type = "string", required = true }\n'
        text = connector.read_text()
        begin = text.index("[actions.note]")
        more = 'params.secret = { type = "string", sensitive = true }\n'
        text = text[:begin] + text[begin:].replace(note, note + more, 1)
        connector.write_text(text)
        async with found.running():
            await found.consented()
            await found.consented(action="note_again", text="x")
            asked = await found.asked("note", secret=SECRET)
            url = await found.link(asked.ask)
            async with found.browser() as ana:
                page = await ana.get(url)
                assert SECRET not in page.html
                assert 'name="edit.text"' in page.html
                assert 'name="edit.secret"' not in page.html
                told = await found.post(url, [("decision", "edit"), ("digest", digest(page)), ("edit.secret", "y")])
                assert (told.status, told.json["code"]) == (400, "unknown_field")
                await found.sign_in(ana)
                page = await ana.get(url)
                assert 'name="edit.secret"' in page.html
                assert SECRET in page.html
