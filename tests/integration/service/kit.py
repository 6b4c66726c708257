"""A whole service in the test's own loop: real HTTP, a real store, and fakes that misbehave on demand.

Nothing is replaced but the clock, which tests move forward. Every answer is held to the OpenAPI document.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession, web

from jit_auth.app import Service, build
from jit_auth.channels import CHANNELS, Channel
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config.load import load
from jit_auth.loading import load_bundle
from jit_auth.storage.clock import Clock
from jit_auth.watch import Watch
from jit_auth.web.patience import runner_of
from tests.fakes.browser import Browser
from tests.fakes.mail_api import MailApi
from tests.fakes.provider_odd import OddProvider
from tests.integration.service.described import conforms
from tests.ports import free_port

AGENT = "jat_agt_" + "a" * 43
OTHER = "jat_agt_" + "b" * 43
ADMIN = "jat_adm_" + "c" * 43

POLICIES = """
format = 1

[[rule]]
id = "read"
match = ["mailhub.list_messages"]
effect = "allow"

[[rule]]
id = "send"
match = ["mailhub.send_message", "mailhub.send_again", "mailhub.send_keyed", "mailhub.send_mail"]
effect = "require_approval"
reason = "Mails leave the house"
approval = { from = ["user:ana@example.com"] }

[[rule]]
id = "never"
match = ["mailhub.delete_message"]
effect = "deny"
reason = "Nothing is deleted"

[[rule]]
id = "note"
match = ["mailhub.note", "mailhub.note_again"]
effect = "allow"
"""


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    json: Any


@dataclass
class Kit:
    """The service with everything around it. `restart` starts the service anew on the same store."""

    folder: Path
    provider: OddProvider
    mail: MailApi
    session: ClientSession
    storage: str = "sqlite:///jit-auth.db"
    policies: str = POLICIES
    config: str = ""
    users: str = '[users]\nverify = "none"\n'
    port: int = 0
    public_url: str = ""
    """Where replicas stand behind one address."""
    clock: Clock = field(default_factory=Clock)
    printed: list[str] = field(default_factory=list)
    service: Service | None = None
    watch: Watch | None = None
    channels: Mapping[str, Channel] = field(default_factory=lambda: CHANNELS)

    def twin(self, folder: Path) -> Kit:
        """Another service with the same world and database, on another port."""
        twin = replace(self, folder=folder, port=free_port(), printed=[], service=None)
        twin.write()
        return twin

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self) -> None:
        """The files of the configuration."""
        (self.folder / "connectors" / "mailhub").mkdir(parents=True, exist_ok=True)
        (self.folder / "connectors" / "mailhub" / "connector.toml").write_text(connector(self.provider, self.mail))
        (self.folder / "policies.toml").write_text(self.policies)
        key = b64encode(b"k" * 32).decode()
        (self.folder / "config.toml").write_text(
            f"""
[server]
public_url = "{self.public_url or self.url}"
listen = "127.0.0.1:{self.port}"
environment = "test"
admin_tokens = ["{ADMIN}"]

[storage]
url = "{self.storage}"

[vault]
keys = [{{ id = "k1", env = "NO_SUCH_KEY_{0}" }}]

[agents.mailbot]
secret_sha256 = "{hashlib.sha256(AGENT.encode()).hexdigest()}"
actions = ["mailhub.*"]
users = ["*"]
return_urls = ["http://127.0.0.1:9/back/"]

[agents.otherbot]
secret_sha256 = "{hashlib.sha256(OTHER.encode()).hexdigest()}"
actions = ["mailhub.list_messages"]
users = ["alice@example.com"]
sees_people = false

{self.users}

[people."ana@example.com"]
groups = ["finance"]

[people."alice@example.com"]

[providers.mailhub]
client_id = "{self.provider.client_id}"
client_secret = {_toml(self.provider.client_secret)}

[connectors]
paths = ["connectors"]
allow_private_hosts = ["127.0.0.1"]

[policies]
paths = ["policies.toml"]
{self.config}
""".replace('env = "NO_SUCH_KEY_0"', 'file = "vault.key"')
        )
        (self.folder / "vault.key").write_text(key + "\n")
        for name in ("config.toml", "vault.key"):
            (self.folder / name).chmod(0o600)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kit]:
        """The service, listening, its worker at work."""
        settings = load(self.folder / "config.toml", channels=CHANNEL_TABLES)
        bundle, write = load_bundle(settings), self.printed.append
        more: Any = {"clock": self.clock, "write": write, "watch": self.watch, "channels": self.channels}
        async with build(settings, bundle, **more) as service:
            runner = runner_of(service.app, 1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
            worker = asyncio.create_task(service.worker.run())
            self.service = service
            try:
                yield self
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
                await runner.cleanup()
                self.service = None

    async def call(self, method: str, path: str, body: Any = None, *, token: str = AGENT, **headers: str) -> Answer:
        """One request of an agent (or whoever `token` is)."""
        told = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.url + path, json=body, headers=told) as reply:
            text = await reply.text()
            found = await reply.json(content_type=None) if text else None
            conforms(method, path, reply.status, reply.content_type, found)
            return Answer(reply.status, dict(reply.headers), found)

    async def execute(
        self,
        action: str,
        *,
        token: str = AGENT,
        user: str | None = "alice@example.com",
        params: dict[str, Any] | None = None,
        key: str | None = None,
        prefer: str | None = None,
        **body: Any,
    ) -> Answer:
        """POST /execute of one of mailhub's actions."""
        headers = {"Idempotency_Key": key} if key is not None else {}
        if prefer is not None:
            headers["Prefer"] = prefer
        whole = {"action": f"mailhub.{action}", "params": params or {}} | body
        if user is not None:
            whole["user"] = user
        return await self.call("POST", "/execute", whole, token=token, **headers)

    async def ended(self, execution_id: str, *, token: str = AGENT) -> Any:
        """The execution once it is over (or what it is after 10 s)."""
        return (await self.call("GET", f"/executions/{execution_id}?wait=10", token=token)).json

    async def connect(self, answer: Answer, **how: Any) -> Browser:
        """Play the user at the consent link that an answer names."""
        url = next(item["url"] for item in answer.json["waiting_for"] if item["kind"] == "consent")
        async with Browser() as browser:
            await browser.connect(url, **how)
        return browser

    async def connected(self, **how: Any) -> None:
        """Alice has connected her account for mailbot, with mail.read and mail.send."""
        for action, params in (("list_messages", {}), ("note", {"text": "x"})):
            answer = await self.execute(action, params=params)
            if answer.status == 202:
                await self.connect(answer, **how)
                await self.ended(answer.json["id"])

    async def approval_link(self, execution_id: str) -> str:
        """The link that the terminal channel printed for the newest approval of this execution."""
        opened = (await self.call("GET", f"/executions/{execution_id}")).json
        ids = [item["id"] for item in opened["waiting_for"] if item["kind"] == "approval"]
        for _ in range(200):
            for line in self.printed:
                word, ask, _, url = line.split()
                if word == "approve" and ask in ids:
                    return url
            await asyncio.sleep(0.01)
        raise LookupError(f"no approve line for {ids}: {self.printed}")

    async def decide(self, url: str, decision: str = "approve", **more: Any) -> Answer:
        """Post a decision as JSON."""
        async with self.session.post(url, json={"decision": decision} | more) as reply:
            found = await reply.json(content_type=None)
            conforms("POST", urlsplit(url).path, reply.status, reply.content_type, found)
            return Answer(reply.status, dict(reply.headers), found)


@asynccontextmanager
async def kit(folder: Path, **settings: Any) -> AsyncIterator[Kit]:
    """Provider, mail API and files; the service is started by `running`."""
    provider = OddProvider()
    mail = MailApi(provider.introspect)
    async with provider.running(), mail.running(), ClientSession() as session:
        found = Kit(folder, provider, mail, session, **settings)
        found.port = free_port()
        found.write()
        yield found


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def connector(provider: OddProvider, mail: MailApi) -> str:
    """mailhub: one action of every kind."""
    return f"""
id = "mailhub"
name = "MailHub"
base_url = "{mail.url}"

[provider]
kind = "oauth2"
issuer = "{provider.url}"
authorize_url = "{provider.url}/authorize"
token_url = "{provider.url}/token"
revoke_url = "{provider.url}/revoke"
userinfo_url = "{provider.url}/me"
hosts = ["127.0.0.1"]
scope_titles = {{ "mail.send" = "Send e-mail as you", "mail.read" = "Read your e-mail" }}

[actions.list_messages]
title = "List messages"
method = "GET"
path = "/messages"
scopes = ["mail.read"]
risk = "low"
effect = "read"
exposes = ["private", "untrusted"]

[actions.send_message]
title = "Send an e-mail"
summary = "Send to {{to}}: {{subject}}"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "high"
effect = "create"
retry = "never"
exposes = ["external"]
[actions.send_message.params]
to = {{ type = "array", items = {{ type = "string", format = "email" }}, required = true }}
subject = {{ type = "string", maxLength = 998, required = true }}
body = {{ type = "string", sensitive = true }}

[actions.send_mail]
title = "Send an e-mail as a message"
summary = "Send to {{to}}: {{subject}}"
method = "POST"
path = "/messages"
body = "rfc822-base64url"
scopes = ["mail.send"]
risk = "high"
effect = "create"
retry = "never"
[actions.send_mail.params]
to = {{ type = "array", items = {{ type = "string", format = "email" }}, required = true }}
bcc = {{ type = "array", items = {{ type = "string", format = "email" }} }}
subject = {{ type = "string", maxLength = 998, required = true }}
text = {{ type = "string", required = true }}
threadId = {{ type = "string" }}

[actions.send_again]
title = "Send an e-mail, idempotently"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "high"
effect = "create"
exposes = ["external"]
retry = "idempotent"
params.subject = {{ type = "string", required = true }}

[actions.send_keyed]
title = "Send an e-mail, with the provider's key"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "high"
effect = "create"
retry = "key:Idempotency-Key"
params.subject = {{ type = "string", required = true }}

[actions.note]
title = "Leave a note"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "medium"
effect = "create"
retry = "never"
params.text = {{ type = "string", required = true }}

[actions.note_again]
title = "Leave a note, idempotently"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "medium"
effect = "create"
retry = "idempotent"
params.text = {{ type = "string", required = true }}

[actions.delete_message]
title = "Delete a message"
method = "DELETE"
path = "/messages/{{id}}"
scopes = ["mail.delete"]
risk = "high"
effect = "delete"
params.id = {{ type = "string", required = true }}
"""
