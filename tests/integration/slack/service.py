"""The kit's service with Slack, and how tests wait for what is posted there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.fakes.slack import Answer, Slack
from tests.fakes.slack_api import Message, View
from tests.integration.people.conftest import POLICIES
from tests.integration.service.kit import Kit

ANA, BO, CY, DEE, ALICE, EVE = "U0ANA", "U0BO", "U0CY", "U0DEE", "U0ALICE", "U0EVE"
CHANNEL = "C0APPROVALS"
PEOPLE = """
[people."bo@example.com"]
slack = "U0BO"

[people."cy@example.com"]
slack = "U0CY"

[people."dee@example.com"]
slack = "U0DEE"
"""
RULES = (
    POLICIES.replace('via = ["email"]', 'via = ["slack"]')
    + """
[[rule]]
id = "one"
match = ["mailhub.send_again"]
effect = "require_approval"
reason = "Ana looks at these"
approval = { from = ["user:ana@example.com"], expires = "4h", remind = "1h" }
"""
)


def workspace(**given: Any) -> Slack:
    """Slack with everybody in it, and the channel for approvals."""
    users = {ANA: "ana", BO: "bo", CY: "cy", DEE: "dee", ALICE: "alice", EVE: "eve"}
    return Slack(channels={CHANNEL}, users=users, **given)


def table(slack: Slack, *, channel: str | None = CHANNEL, socket: bool = False, details: str = "full") -> str:
    """[channels.slack] for this workspace, and [people]."""
    how = f'app_token = "{slack.app_token}"' if socket else f'signing_secret = "{slack.signing_secret}"'
    where = f'channel = "{channel}"\n' if channel else ""
    return f"""
[channels.slack]
bot_token = "{slack.bot_token}"
{how}
api_url = "{slack.url}/api/"
details = "{details}"
{where}
{PEOPLE}
"""


def known(kit: Kit) -> None:
    """The members that the kit's own people are."""
    path = kit.folder / "config.toml"
    text = path.read_text()
    for person, member in (("ana@example.com", ANA), ("alice@example.com", ALICE)):
        text = text.replace(f'[people."{person}"]\n', f'[people."{person}"]\nslack = "{member}"\n', 1)
    path.write_text(text)


@dataclass
class Office:
    """The service and Slack, side by side."""

    kit: Kit
    slack: Slack

    @property
    def url(self) -> str:
        return f"{self.kit.url}/slack/interactions"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Office]:
        """The service, started anew; alice has connected her account."""
        async with self.kit.running():
            await self.kit.connected()
            yield self

    def pass_time(self, milliseconds: int) -> None:
        """Move the clock, and let the worker look again."""
        assert self.kit.service is not None
        self.kit.clock.offset += milliseconds
        self.kit.service.worker.wake()

    async def pass_and_turn(self, milliseconds: int) -> None:
        """Move the clock, and do all that is due then."""
        assert self.kit.service is not None
        self.kit.clock.offset += milliseconds
        await self.kit.service.worker.turn()

    async def ask(self, action: str = "note", **params: Any) -> str:
        """A call that people must decide; gives the execution's id."""
        answer = await self.kit.execute(action, params=params or {"text": "hello"})
        assert answer.status == 202, answer.json
        return str(answer.json["id"])

    async def posted(self, words: str, *, count: int = 1) -> list[Message]:
        """The messages that say this, once there are so many of them (threads and private answers apart)."""

        def found(slack: Slack) -> list[Message] | None:
            said = [m for m in slack.messages if words in m.plain and m.only_for is None and m.thread_ts is None]
            return said if len(said) >= count else None

        made: list[Message] = await self.slack.until(found)
        return made

    async def arrives(self, words: str) -> Message:
        """The one message that says this, however often it had to be tried."""
        for _ in range(6):
            if any(words in each.plain for each in self.cards()):
                break
            await self.pass_and_turn(60_001)
        (message,) = await self.posted(words)
        return message

    async def shows(self, message: Message, words: str) -> Message:
        """The message once it says this."""
        await self.slack.until(lambda slack: words in message.plain)
        return message

    async def told(self, words: str) -> Message:
        """The private answer that says this."""
        made: Message = await self.slack.until(
            lambda slack: next((m for m in slack.messages if m.only_for and words in m.plain), None)
        )
        return made

    async def waits_for(self, execution: str) -> list[Any]:
        """What the execution still waits for."""
        found: list[Any] = (await self.kit.call("GET", f"/executions/{execution}")).json["waiting_for"]
        return found

    async def link(self, execution: str, person: str) -> str:
        """The person's own link to the newest round, as the terminal printed it."""
        await self.kit.approval_link(execution)
        asks = {each["id"] for each in await self.waits_for(execution)}
        found = (line.split() for line in self.kit.printed)
        return next(url for _, ask, who, url in found if ask in asks and who == person)

    async def forged(self, message: Message, user: str, ask: str, action: str, **more: Any) -> Answer:
        """A press that this message never offered, signed as Slack signs."""
        payload = self.slack.payload_for_click(message, self.slack.buttons(message)[0], user)
        payload["actions"] = [{"action_id": action, "value": ask, "type": "button", "block_id": "x"} | more]
        answer = await self.slack.deliver(payload, self.url)
        assert (answer.status, answer.trouble) == (200, ""), answer
        return answer

    async def forged_form(self, message: Message, user: str, ask: str) -> Answer:
        """A form that denies and that nobody was given, signed as Slack signs."""
        held = json.dumps({"ask": ask, "channel": message.channel})
        view = {"callback_id": "deny", "private_metadata": held, "state": {"values": {}}}
        whose = {"user": {"id": user, "team_id": self.slack.team}, "team": {"id": self.slack.team}}
        answer = await self.slack.deliver({"type": "view_submission", "view": view} | whose, self.url)
        assert (answer.status, answer.trouble) == (200, ""), answer
        return answer

    async def undecided(self, execution: str) -> bool:
        """Whether nobody has decided the one approval that this call waits for."""
        waiting = await self.waits_for(execution)
        return len(waiting) == 1 and waiting[0]["kind"] == "approval" and not waiting[0]["approved_by"]

    def cards(self) -> list[Message]:
        """Every message that stands for a card (not what is said beneath it), deleted ones too."""
        marked = [m for m in self.slack.messages if m.metadata is not None and m.thread_ts is None]
        return [m for m in marked if m.only_for is None]

    def copies(self) -> dict[str, int]:
        """How often each card was posted."""
        found = [m.metadata["event_payload"] for m in self.cards() if m.metadata is not None]
        return dict(Counter(f"{each['card']} {each['part']}" for each in found))

    async def deny(self, message: Message, user: str, **words: str) -> Answer:
        """Press Deny, and send the form that opens."""
        before = len(self.slack.views)
        await self.click(message, "Deny", user)
        view = await self.slack.until(lambda slack: slack.views[before:])
        answer = await self.submit(view[0], **words)
        assert (answer.status, answer.trouble) == (200, ""), answer
        return answer

    async def submit(self, view: View, **words: str) -> Answer:
        """Send a form; `words` by the names of its inputs."""
        inputs = {e["element"]["action_id"]: e["block_id"] for e in view.view["blocks"] if e["type"] == "input"}
        values = {(inputs[name], name): text for name, text in words.items()}
        return await self.slack.submit(view, values, url=self.url)

    async def click(self, message: Message, button: str, user: str, **more: Any) -> Answer:
        answer = await self.slack.click(message, button, user, url=self.url, **more)
        assert (answer.status, answer.trouble) == (200, ""), answer
        return answer

    def names(self, message: Message) -> list[str]:
        """What its buttons are called."""
        return [each["text"]["text"] for each in self.slack.buttons(message)]
