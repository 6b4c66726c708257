"""The people stage from outside: a service whose people are reached by Slack, mail and page, and its files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance import files
from tests.acceptance.kit import OTHER, TOKEN, Answer, Service, World, sha256, until
from tests.fakes.receiver import Receiver, Told, receiving
from tests.fakes.slack import Answer as Ack
from tests.fakes.slack import Slack
from tests.fakes.slack_api import Message
from tests.fakes.smtp import Mail, MailServer, mail_server

CHANNEL = "C0APPROVALS"
ANA, BO, CY, DEE, EVE = (f"{name}@example.com" for name in ("ana", "bo", "cy", "dee", "eve"))
MEMBERS = {"U012ANA": "ana", "U012BO": "bo", "U012DEE": "dee", "U0STRANGER": "nobody"}
WEBHOOK = "whsec_" + "d2ViaG9va3dlYmhvb2t3ZWJob29rd2ViaG9vaw=="
CALLBACK = "whsec_" + "Y2FsbGJhY2tjYWxsYmFja2NhbGxiYWNrY2FsbA=="

CONFIG = f"""
[server]
public_url = "http://127.0.0.1:{{port}}"
listen = "127.0.0.1:{{port}}"
environment = "office-test"
admin_tokens = [{{ env = "JIT_AUTH_ADMIN_TOKEN" }}]

[storage]
url = "sqlite:///jit-auth.db"

[vault]
keys = [{{ id = "2026-11", env = "JIT_AUTH_VAULT_KEY" }}]

[agents.mailbot]
secret_sha256 = "{sha256(TOKEN)}"
actions = ["mailhub.*", "desk.*", "desk.burn"]
users = ["*"]
callback_secret = "{CALLBACK}"
callback_urls = ["@RECEIVER@/hooks/"]

[agents.blindbot]
secret_sha256 = "{sha256(OTHER)}"
actions = ["desk.*"]
users = ["*"]
sees_people = false
callback_urls = ["@RECEIVER@/blind/"]

[users]
verify = "none"
notify = ["email"]

[people."ana@example.com"]
slack = "U012ANA"
email = "ana@example.com"
groups = ["finance"]
aliases = ["ana.rossi@example.com"]

[people."bo@example.com"]
slack = "U012BO"
email = "bo@example.com"

[people."cy@example.com"]
email = "cy@example.com"

[people."dee@example.com"]
slack = "U012DEE"
email = "dee@example.com"

[channels.slack]
bot_token = "xoxb-bot"
signing_secret = "signing-secret"
api_url = "@SLACK@/api/"
channel = "{CHANNEL}"

[channels.email]
smtp_url = "smtp://127.0.0.1:@SMTP@"
from = "approvals@example.com"

[providers.mailhub]
client_id = "odd"
client_secret = {{ env = "MAILHUB_SECRET" }}

[connectors]
paths = ["./connectors"]
allow_private_hosts = ["127.0.0.1"]

[policies]
paths = ["policies.toml"]

[limits]
asks_per_person_hour = 1000

[webhooks.ops]
url = "@RECEIVER@/ops"
secret = "{WEBHOOK}"
"""

POLICIES = """
format = 1
[defaults]
no_match = "deny"
timezone = "Europe/Rome"
unknown_to = ["group:directors"]
[groups]
finance = ["bo@example.com", "cy@example.com"]
directors = ["dee@example.com", "ana@example.com"]
dialled = ["ana@example.com", "bo@example.com"]

[[label]]
id = "bulk"
match = ["desk.*"]
when = "has(params.count) && params.count > 100"
add = ["bulk"]

[[rule]]
id = "free"
match = ["desk.free", "desk.lost", "mailhub.list_*"]
effect = "allow"

[[rule]]
id = "bulk-denied"
match = ["desk.free"]
when = "'bulk' in labels"
effect = "deny"
reason = "No bulk"

[[rule]]
id = "chat"
match = ["desk.chat", "desk.chat_low"]
effect = "require_approval"
reason = "Finance looks at this"
approval = { from = ["group:dialled"], via = ["slack", "page"], for_max = "2h" }

[[rule]]
id = "direct"
match = ["desk.direct"]
effect = "require_approval"
approval = { from = ["user:ana@example.com"], via = ["slack"] }

[[rule]]
id = "pair"
match = ["desk.pair"]
effect = "require_approval"
approval = { from = ["group:dialled"], need = 2, via = ["slack", "page"] }

[[rule]]
id = "post"
match = ["desk.post"]
effect = "require_approval"
reason = "Finance reads this mail"
approval = { from = ["group:finance"], via = ["email"] }

[[rule]]
id = "bounce"
match = ["desk.bounce"]
effect = "require_approval"
approval = { from = ["group:finance"] }

[[rule]]
id = "quorum"
match = ["desk.quorum"]
effect = "require_approval"
approval = { from = ["group:finance"], need = 2, via = ["page"] }

[[rule]]
id = "both-finance"
match = ["desk.both"]
effect = "require_approval"
approval = { from = ["group:finance"], via = ["page"] }

[[rule]]
id = "both-directors"
match = ["desk.both"]
effect = "require_approval"
approval = { from = ["group:directors"], via = ["page"] }

[[rule]]
id = "merge-one"
match = ["desk.merge"]
effect = "require_approval"
approval = { from = ["group:finance"], need = 1, via = ["page"], expires = "3h" }

[[rule]]
id = "merge-two"
match = ["desk.merge"]
effect = "require_approval"
approval = { from = ["group:finance"], need = 2, via = ["page", "email"], expires = "2h" }

[[rule]]
id = "edit"
match = ["desk.edit"]
effect = "require_approval"
approval = { from = ["group:finance"], via = ["page"], editable = ["memo"] }

[[rule]]
id = "hurry"
match = ["desk.hurry"]
effect = "require_approval"
[rule.approval]
from = ["user:cy@example.com"]
via = ["email"]
remind = "1s"
expires = "4s"
escalate = { after = "1s", to = ["group:directors"] }

[[rule]]
id = "own"
match = ["desk.own", "mailhub.send_message"]
effect = "require_approval"
approval = { from = ["requester"], via = ["page"] }

[[rule]]
id = "burn"
match = ["desk.burn"]
effect = "require_approval"
approval = { from = ["user:ana@example.com"], via = ["page"] }
"""


def desk(world: World) -> str:
    """Actions named after what is asked of people; nothing to connect."""
    text = f"""
id = "desk"
name = "Desk"
docs = "https://docs.desk.example/api"
base_url = "{world.upstream.url}/desk"

[provider]
kind = "none"
"""
    risks = {"free": "low", "chat_low": "low", "hurry": "medium", "burn": "critical", "post": "medium"}
    for name in (
        "free", "lost", "chat", "chat_low", "direct", "pair", "post", "bounce", "quorum", "both", "merge", "edit",
        "hurry", "own", "burn",
    ):  # fmt: skip
        text += f"""
[actions.{name}]
title = "Desk {name}"
summary = "Put {{text}} on the desk"
method = "POST"
path = "/{name}"
risk = "{risks.get(name, "high")}"
effect = "create"
[actions.{name}.params]
text = {{ type = "string", required = true }}
memo = {{ type = "string" }}
count = {{ type = "integer" }}
secret = {{ type = "string", sensitive = true }}
"""
    return text


@dataclass
class Office:
    """One service and all that it speaks to."""

    world: World
    slack: Slack
    smtp: MailServer
    receiver: Receiver
    service: Service = field(init=False)

    def files(self) -> dict[str, str]:
        return {
            "config.toml": self.fill(CONFIG),
            "policies.toml": POLICIES,
            "connectors/mailhub/connector.toml": files.mailhub(self.world),
            "connectors/desk/connector.toml": desk(self.world),
        }

    def fill(self, text: str) -> str:
        text = text.replace("@RECEIVER@", self.receiver.url).replace("@SLACK@", self.slack.url)
        return text.replace("@SMTP@", str(self.smtp.port))

    # Asking

    def ask(self, action: str, user: str, text: str, **more: Any) -> tuple[dict[str, Any], str]:
        """(execution, id of its round)"""
        params = {"text": text, **more.pop("params", {})}
        told, item = self.service.paused(self.service.agent.execute(action, user, params=params, **more))
        return told, item["id"]

    def ask_both(self, user: str, text: str) -> tuple[dict[str, Any], str]:
        """As `ask`, where two requirements are open at once."""
        answer = self.service.agent.execute("desk.both", user, params={"text": text})
        assert answer.status == 202, answer.body
        told: dict[str, Any] = answer.json
        return told, told["waiting_for"][0]["id"]

    def now(self, told: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.service.agent.get(f"/executions/{told['id']}").json
        return found

    def sent(self, action: str, text: str) -> int:
        """How often the service called `action` with this text."""
        return sum(json.loads(seen.body)["text"] == text for seen in self.world.upstream.of(f"/desk/{action}"))

    # Slack

    def posts(self, text: str) -> list[Message]:
        """Messages whose notification says it (a card may name earlier requests), for all eyes of their channel."""
        return [one for one in list(self.slack.messages) if text in one.text and one.only_for is None]

    def card(self, text: str, seconds: float = 10) -> Message:
        return until(lambda: next(iter(self.posts(text)), None), seconds)

    def click(self, message: Message, button: Any, user: str = "U012ANA", **more: Any) -> Ack:
        url = f"{self.service.url}/slack/interactions"
        return self.world.run(self.slack.click(message, button, user, url=url, **more))

    def whispers(self, user: str) -> list[Message]:
        return [one for one in list(self.slack.messages) if one.only_for == user]

    def whisper(self, user: str, *words: str) -> str:
        """What this person alone is told, once all of `words` are in one such message."""
        said = until(lambda: [one.plain for one in self.whispers(user) if all(word in one.plain for word in words)])
        return said[-1]

    def bare(self, message: Message) -> bool:
        return not self.slack.buttons(message)

    # Mail

    def inbox(self, address: str, text: str) -> list[Mail]:
        return [mail for mail in self.smtp.inbox(address) if text in mail.text or text in str(mail.message["Subject"])]

    def mail(self, address: str, text: str, seconds: float = 10) -> Mail:
        return until(lambda: next(iter(self.inbox(address, text)), None), seconds)

    # Events

    def events(self, execution: str, path: str = "/ops") -> list[Told]:
        told = [one for one in list(self.receiver.told) if one.path == path]
        return [one for one in told if one.json["data"].get("execution") == execution]

    def event(self, execution: str, kind: str, path: str = "/ops") -> Told:
        def look() -> Told | None:
            return next((one for one in self.events(execution, path) if one.type == kind), None)

        return until(look)


@contextmanager
def office(world: World, folder: Path, change: Callable[[dict[str, str]], None] | None = None) -> Iterator[Office]:
    """Everything but the running service; `change` edits its files."""
    stack = AsyncExitStack()
    try:
        slack = Slack(channels={CHANNEL}, users=dict(MEMBERS))
        world.run(stack.enter_async_context(slack.running()))
        smtp = world.run(stack.enter_async_context(mail_server()))
        receiver = world.run(stack.enter_async_context(receiving()))
        made = Office(world, slack, smtp, receiver)
        written = made.files()
        if change is not None:
            change(written)
        made.service = Service(folder, written)
        try:
            yield made
        finally:
            made.service.stop()
    finally:
        world.run(stack.aclose())


def links(text: str) -> list[str]:
    """The approval and consent links that stand in a text."""
    return re.findall(r"http://127\.0\.0\.1:\d+/(?:approvals|connect)/[A-Za-z0-9_-]+", text)


def post(office: Office, link: str, decision: str = "approve", **body: Any) -> Answer:
    return office.service.vote(link, decision, **body)
