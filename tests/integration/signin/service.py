"""The whole service with people's sign-in: [issuers.corp] is the hostile issuer, `verify = "oidc"` unless a test says
otherwise. On loopback, or (`Away`) as it stands behind a proxy that ends TLS.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import ClientSession, DummyCookieJar

from jit_auth.model import Audit, Raise, Stop, Unit
from jit_auth.storage.clock import Clock
from tests.fakes.browser import Browser, Page
from tests.fakes.issuer import HostileIssuer
from tests.fakes.mail_api import MailApi
from tests.fakes.provider_odd import OddProvider
from tests.integration.service.kit import Answer, Kit
from tests.ports import free_port

ANA, BO, ALICE, EVE = "ana@example.com", "bo@example.com", "alice@example.com", "eve@example.com"
SEND = {"to": ["x@y.example"], "subject": "hi", "body": "the-sensitive-body"}
AWAY = "https://jit.example.com"

POLICIES = """
format = 1
[defaults]
unknown_to = ["user:ana@example.com"]

[[rule]]
id = "read"
match = ["mailhub.list_messages", "mailhub.read_mail", "mailhub.note_again"]
effect = "allow"
ignores = ["text"]

[[rule]]
id = "send"
match = ["mailhub.send_message", "mailhub.note", "mailhub.wipe"]
effect = "require_approval"
approval = { from = ["user:ana@example.com", "user:bo@example.com"] }
"""

ACTIONS = """
[actions.read_mail]
title = "Read a mailbox"
method = "GET"
path = "/messages"
scopes = ["mail.read"]
risk = "low"
effect = "read"
reads = ["email"]

[actions.wipe]
title = "Send everything away"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "critical"
effect = "create"
retry = "never"
params.text = { type = "string", required = true }
"""

OIDC = '[users]\nverify = "oidc"\nissuer = "corp"\n'


@dataclass
class Corp(Kit):
    """The kit, with an issuer. `person` changes an entry of [people] before a restart."""

    policies: str = POLICIES
    users: str = OIDC
    issuer: HostileIssuer = field(default_factory=lambda: HostileIssuer(lambda: 0.0))
    left: tuple[str, ...] = ()
    """Who has left: `active = false`."""
    extra: str = ""
    """More of config.toml, at its end."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def at(self) -> str:
        """The origin that browsers know it by."""
        return self.public_url or self.url

    def write(self) -> None:
        issuer = self.issuer
        self.config = f"""
[issuers.corp]
issuer = "{issuer.url}"
client_id = "{issuer.client_id}"
client_secret = "{issuer.client_secret}"
domains = ["example.com"]

[people."{BO}"]
[people."{EVE}"]
{self.extra}"""
        super().write()
        with (self.folder / "connectors" / "mailhub" / "connector.toml").open("a") as file:
            file.write(ACTIONS)
        path = self.folder / "config.toml"
        text = path.read_text().replace('actions = ["mailhub.*"]', 'actions = ["mailhub.*", "mailhub.wipe"]')
        for person in self.left:
            text = text.replace(f'[people."{person}"]\n', f'[people."{person}"]\nactive = false\n')
        path.write_text(text)

    def browser(self) -> Browser:
        """A new one, of nobody."""
        return Browser()

    @asynccontextmanager
    async def restarting(self) -> AsyncIterator[Corp]:
        """Running, with `restart` to start it anew on the same store and the files as they are then."""
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.running())
        try:
            yield self
        finally:
            await self._stack.aclose()

    async def restart(self) -> None:
        """The service goes, and comes back with the files as they are now."""
        await self._stack.aclose()
        await self._stack.enter_async_context(self.running())

    async def sign_in(
        self, browser: Browser, person: str = ANA, *, to: str = "/approvals/apr_0", **claims: Any
    ) -> Page:
        """The person signs in with this browser; where it leads (a page that says that there is nothing)."""
        self.issuer.claims = {"email": person, "sub": f"s-{person}", **claims}
        return await browser.get(f"{self.at}/signin?to={quote(to, safe='/')}")

    async def consented(self, person: str = ALICE, action: str = "list_messages", **params: Any) -> None:
        """The person has connected an account for mailbot, with what the action needs."""
        async with self.browser() as browser:
            answer = await self.execute(action, user=person, params=params)
            await self.sign_in(browser, person)
            await browser.connect(consent_url(answer), user=person)
            await self.ended(answer.json["id"])

    async def asked(self, action: str = "send_message", *, user: str = ALICE, **params: Any) -> Asked:
        """A call of mailbot that waits for Ana or Bo alone: its user has connected before."""
        answer = await self.execute(action, user=user, params=_PARAMS[action] | params)
        assert answer.status == 202, answer.json
        (item,) = answer.json["waiting_for"]
        assert item["kind"] == "approval", item
        return Asked(answer.json["id"], item["id"])

    async def link(self, ask: str, person: str = ANA) -> str:
        """The link that the terminal printed for this person."""
        for _ in range(500):
            for line in self.printed:
                _, printed, whose, url = line.split()
                if (printed, whose) == (ask, person):
                    return url
            await asyncio.sleep(0.01)
        raise LookupError(f"no line for {ask}, {person}: {self.printed}")

    async def status(self, execution: str) -> Any:
        return (await self.call("GET", f"/executions/{execution}")).json["status"]

    async def votes(self, execution: str) -> list[tuple[str, str, str]]:
        """(person, verdict, how) of each vote on record, oldest first."""
        assert self.service is not None
        opened = await self.service.store.opened(execution)
        assert opened is not None
        return [(vote.person, vote.verdict, vote.how) for vote in opened.votes]

    async def facts(self, do: str) -> list[dict[str, Any]]:
        """Facts of the audit record of one kind."""
        assert self.service is not None
        found: list[dict[str, Any]] = []
        async for entry in self.service.store.audit.rows():
            found += [fact for fact in entry.what if fact["do"] == do]
        return found

    async def stop(self, kind: str, id: str) -> None:
        """Throw a kill switch; the service knows of it when this returns."""
        assert self.service is not None
        stop = Stop(kind=kind, id=id, epoch=0, active=True, who="operator")
        await self.service.store.apply(Unit(None, (Raise((stop,)),), Audit(actor="operator", what=({"do": "stop"},))))
        await self.service.worker._renew()

    async def post(self, url: str, body: Any, *, browser: Browser | None = None, **headers: str) -> Answer:
        """A bare POST: JSON where `body` is a dictionary, else a form of pairs; with a browser's cookies if given."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if browser is not None:
            told["Cookie"] = "; ".join(f"{name}={value}" for name, value in browser.cookies(url).items())
        how = {"json": body} if isinstance(body, dict) else {"data": body}
        async with (
            ClientSession(cookie_jar=DummyCookieJar()) as session,
            session.post(url, headers={"Accept": "application/json", **told}, allow_redirects=False, **how) as reply,
        ):
            text = await reply.text()
            return Answer(reply.status, dict(reply.headers), json.loads(text) if text.startswith("{") else text)


@dataclass(frozen=True)
class Asked:
    """A paused execution and the round that it waits for."""

    execution: str
    ask: str


_PARAMS: dict[str, dict[str, Any]] = {"send_message": SEND, "note": {"text": "a note"}, "wipe": {"text": "all of it"}}


@asynccontextmanager
async def corp(folder: Path, kind: type[Corp] = Corp, **settings: Any) -> AsyncIterator[Corp]:
    """Provider, mail API, issuer and files; the service is started by `running`."""
    clock = Clock()
    issuer = HostileIssuer(lambda: clock() / 1000)
    provider = OddProvider()
    mail = MailApi(provider.introspect)
    async with issuer.running(), provider.running(), mail.running(), ClientSession() as session:
        found = kind(folder, provider, mail, session, issuer=issuer, clock=clock, port=free_port(), **settings)
        found.write()
        yield found


def consent_url(answer: Answer) -> str:
    return str(next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent"))


def session_cookie(browser: Browser, url: str) -> str | None:
    """The session that this browser holds."""
    return next((value for name, value in browser.cookies(url).items() if name.endswith("jat_session")), None)


def form_token(page: Page) -> str:
    """The token that the page's first form carries."""
    return next(value for form in page.forms for name, value in form.fields if name == "form_token")


def digest(page: Page) -> str:
    return next(value for form in page.forms for name, value in form.fields if name == "digest")


def strict(page: Page) -> None:
    """No other site can frame it, run anything in it, or keep it."""
    policy = page.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
        assert rule in policy
    assert "script-src" not in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
