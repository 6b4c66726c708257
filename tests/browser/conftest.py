"""Chromium and the real service: an OAuth provider whose login lives on another origin, and a mail API behind it."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from playwright.async_api import Browser, Page, async_playwright, expect
from pytest_asyncio import fixture

from jit_auth.app import build
from jit_auth.config.load import load
from jit_auth.loading import load_bundle
from tests.fakes.provider_dot import PASSWORD, DotProvider

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
expect.set_options(timeout=20_000)  # a loaded machine is slow, not wrong
TOKEN = "jat_agt_" + "a" * 43
ALICE = "alice@example.com"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them run in one loop: the browser's, which is started once."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@fixture(scope="session", loop_scope="session")
async def started() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the pages are not clicked through in a browser")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


@fixture(loop_scope="session")
async def chromium(started: Browser) -> AsyncIterator[Browser]:
    """The browser, without a profile that another test has left."""
    yield started
    for context in started.contexts:
        await context.close()


@fixture(loop_scope="session")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A fresh profile. Whatever the browser blocks or complains about fails the test."""
    context = await chromium.new_context()
    tab = await context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    yield tab
    await context.close()
    assert [text for text in complaints if "Content Security" in text or "Refused" in text] == []


@pytest.fixture(scope="session")
def provider() -> Iterator[DotProvider]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: the pages are not clicked through in a browser")
    with DotProvider.start() as running:
        yield running


@dataclass
class Site:
    """The running service, seen by its agent and by its terminal."""

    url: str
    session: ClientSession
    printed: list[str] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, text: str) -> None:
        """What the terminal prints."""
        self.printed.append(text)
        self.more.set()

    async def execute(self, action: str, params: dict[str, Any], **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        call = {"action": f"mailhub.{action}", "user": ALICE, "params": params} | body
        async with self.session.post(f"{self.url}/execute", json=call, headers=headers) as reply:
            return await reply.json(content_type=None)

    async def connect(self, *actions: str, **body: Any) -> Any:
        """What POST /connections answers for these actions of mailhub."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        wish = {"user": ALICE, "actions": [f"mailhub.{name}" for name in actions]} | body
        async with self.session.post(f"{self.url}/connections", json=wish, headers=headers) as reply:
            return await reply.json(content_type=None)

    async def ended(self, execution: Any) -> Any:
        """The execution once it is over."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.get(f"{self.url}/executions/{execution['id']}?wait=10", headers=headers) as reply:
            return await reply.json()

    def consent(self, execution: Any) -> str:
        return str(next(item["url"] for item in execution["waiting_for"] if item["kind"] == "consent"))

    async def approval(self, execution: Any) -> str:
        """The link that the terminal printed for the approver."""
        ids = [item["id"] for item in execution["waiting_for"] if item["kind"] == "approval"]
        async with asyncio.timeout(20):
            while True:
                self.more.clear()
                for line in self.printed:
                    _, ask, _, url = line.split()
                    if ask in ids:
                        return url
                await self.more.wait()


@fixture(loop_scope="session")
async def site(provider: DotProvider, tmp_path: Path) -> AsyncIterator[Site]:
    async with service(provider, tmp_path) as running:
        yield running


@asynccontextmanager
async def service(provider: DotProvider, folder: Path, config: str = "") -> AsyncIterator[Site]:
    """The service, running. `config`: what else stands in config.toml."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        provider.client("jit-auth", "client-secret", f"{url}/oauth/callback/mailhub")
        _write(folder, provider, url, port, config)
        settings = load(folder / "config.toml")
        async with (
            ClientSession() as session,
            build(settings, load_bundle(settings), write=(site := Site(url, session)).write) as service,
        ):
            runner = web.AppRunner(service.app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            worker = asyncio.create_task(service.worker.run())
            try:
                yield site
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
                await runner.cleanup()


async def sign_in(page: Page, *, untick: str | None = None, answer: str = "Allow") -> None:
    """Play the user at the provider: its login (another origin), then its consent."""
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_label("User").fill(ALICE)
    await page.get_by_role("button", name="Sign in").click()
    if untick is not None:
        await page.get_by_label(untick).uncheck()
    await page.get_by_role("button", name=answer, exact=True).click()


def _write(folder: Path, provider: DotProvider, url: str, port: int, config: str) -> None:
    (folder / "connectors" / "mailhub").mkdir(parents=True)
    (folder / "connectors" / "mailhub" / "connector.toml").write_text(f"""
id = "mailhub"
name = "MailHub"
base_url = "{provider.url}/v1"

[provider]
kind = "oauth2"
authorize_url = "{provider.authorize_url}"
token_url = "{provider.token_url}"
revoke_url = "{provider.revoke_url}"
userinfo_url = "{provider.userinfo_url}"
scope_titles = {{ "mail.send" = "Send e-mail as you", "mail.read" = "Read your e-mail" }}

[actions.list_messages]
title = "List messages"
method = "GET"
path = "/messages"
scopes = ["mail.read"]
risk = "low"
effect = "read"

[actions.send_message]
title = "Send an e-mail"
summary = "Send to {{to}}: {{subject}}"
show = ["to", "subject", "body"]
method = "POST"
path = "/messages"
scopes = ["mail.read", "mail.send"]
risk = "high"
effect = "create"
[actions.send_message.params]
to = {{ type = "array", items = {{ type = "string" }}, required = true }}
subject = {{ type = "string", required = true }}
body = {{ type = "string", required = true }}
""")
    (folder / "policies.toml").write_text("""
format = 1
[[rule]]
id = "read"
match = ["mailhub.list_messages"]
effect = "allow"
[[rule]]
id = "send"
match = ["mailhub.send_message"]
effect = "require_approval"
reason = "Mail that leaves the house needs a second look."
approval = { from = ["user:ana@example.com"] }
""")
    (folder / "vault.key").write_text(b64encode(b"k" * 32).decode())
    (folder / "config.toml").write_text(f"""
[server]
public_url = "{url}"
listen = "127.0.0.1:{port}"
environment = "test"
[storage]
url = "sqlite:///jit-auth.db"
[vault]
keys = [{{ id = "k1", file = "vault.key" }}]
[agents.mailbot]
secret_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
actions = ["mailhub.*"]
users = ["*"]
return_urls = ["{url}/approvals/"]
connections = true
[users]
verify = "none"
[people."ana@example.com"]
[people."{ALICE}"]
[providers.mailhub]
client_id = "jit-auth"
client_secret = "client-secret"
[connectors]
paths = ["connectors"]
allow_private_hosts = ["127.0.0.1"]
[policies]
paths = ["policies.toml"]
{config}
""")
    for name in ("vault.key", "config.toml"):
        (folder / name).chmod(0o600)
