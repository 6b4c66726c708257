"""What surrounds a service that is killed: Slack, a mail server and a receiver of webhooks, which can tell the moment
at which they have taken something and the service does not know it yet."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fakes.receiver import Receiver, Told, receiving
from tests.fakes.slack import Slack
from tests.fakes.slack_blocks import Json
from tests.fakes.smtp import MailServer
from tests.integration.service.kit import Kit, kit
from tests.integration.slack.service import ALICE, ANA, BO, CHANNEL, CY, known, table

MEMBERS = {"ana@example.com": ANA, "bo@example.com": BO, "cy@example.com": CY}
RULES = """
format = 1

[defaults]
unknown_to = ["group:finance"]

[groups]
finance = ["ana@example.com", "bo@example.com", "cy@example.com", "alice@example.com"]

[[rule]]
id = "read"
match = ["mailhub.list_messages"]
effect = "allow"

[[rule]]
id = "connecting"
match = ["mailhub.note"]
when = "params.text == 'x'"
effect = "allow"

[[rule]]
id = "anyone"
match = ["mailhub.note"]
when = "params.text != 'x'"
effect = "require_approval"
approval = { from = ["group:finance"], via = ["slack", "email"], expires = "7d", remind = "10m" }

[[rule]]
id = "two"
match = ["mailhub.note_again"]
effect = "require_approval"
approval = { from = ["group:finance"], need = 2, via = ["slack", "email"], expires = "7d" }

[[rule]]
id = "ana"
match = ["mailhub.send_again"]
effect = "require_approval"
approval = { from = ["user:ana@example.com"], via = ["slack", "email"], expires = "7d" }

[[rule]]
id = "bo"
match = ["mailhub.send_message"]
effect = "require_approval"
approval = { from = ["user:bo@example.com"], via = ["slack", "email"], expires = "7d" }
"""


class Trap:
    """Springs once, at the n-th time that something passes its place."""

    def __init__(self) -> None:
        self._place = ""
        self._left = 0
        self._spring: Callable[[], None] = lambda: None

    def arm(self, place: str, times: int, spring: Callable[[], None]) -> None:
        self._place, self._left, self._spring = place, times, spring

    def disarm(self) -> None:
        self._place = ""

    def passes(self, place: str) -> None:
        if place == self._place:
            self._left -= 1
            if not self._left:
                self.disarm()
                self._spring()


@dataclass
class TrappedSlack(Slack):
    """Places are `slack.METHOD`: the call has been done, and its answer has not left yet."""

    trap: Trap = field(default_factory=Trap)

    async def _answer(
        self, request: web.Request, method: str, do: Callable[[Json], web.Response]
    ) -> web.StreamResponse:
        answer = await super()._answer(request, method, do)
        self.trap.passes(f"slack.{method}")
        return answer


@dataclass
class TrappedMail(MailServer):
    """Its place is `mail`: the mail is in the mailbox, and nobody has been told so yet."""

    trap: Trap = field(default_factory=Trap)

    async def handle_DATA(self, *given: Any) -> str:  # noqa: N802 - the name is the library's
        answer = await super().handle_DATA(*given)
        self.trap.passes("mail")
        return answer


@dataclass
class Town:
    """All of it. `offset`: how far the service's clock is ahead, in milliseconds."""

    kit: Kit
    slack: TrappedSlack
    mail: TrappedMail
    receiver: Receiver
    trap: Trap
    offset: int = 0

    @property
    def interactions(self) -> str:
        return f"{self.kit.url}/slack/interactions"


@asynccontextmanager
async def town(folder: Path, storage: str) -> AsyncIterator[Town]:
    """Everything but the service, which is configured in `folder`."""
    trap = Trap()
    slack = TrappedSlack(channels={CHANNEL}, users={ANA: "ana", BO: "bo", CY: "cy", ALICE: "alice"}, trap=trap)
    mail = TrappedMail(trap=trap)

    def taken(told: Told) -> int:
        trap.passes("webhook")
        return 204

    async with slack.running(), receiving(taken) as receiver:
        await mail.start()
        try:
            async with kit(folder, storage=storage, policies=RULES, config=_config(slack, mail, receiver)) as made:
                known(made)
                made.provider.odd.expires_in = 30 * 86_400  # the clock is moved by hours
                found = Town(made, slack, mail, receiver, trap)
                slack.clock = lambda: time.time() + found.offset / 1000
                yield found
        finally:
            await mail.stop()


def _config(slack: Slack, mail: MailServer, receiver: Receiver) -> str:
    secret = base64.b64encode(bytes(range(32))).decode()
    return f"""
{table(slack)}

[channels.email]
smtp_url = "smtp://127.0.0.1:{mail.port}"
from = "approvals@example.com"

[limits]
asks_per_person_hour = 1000
approved_send_within = "24h"

[webhooks.ops]
url = "{receiver.url}/ops"
secret = "whsec_{secret}"
"""


async def until(found: Callable[[], Any], seconds: float) -> Any:
    """What `found` gives once that is something; None after so many seconds."""
    end = asyncio.get_running_loop().time() + seconds
    while not (value := found()):
        if asyncio.get_running_loop().time() > end:
            return None
        await asyncio.sleep(0.02)
    return value
