"""Slack beside the sign-in: a press decides up to risk high; at critical Slack only opens the page (THREAT_MODEL 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.browser import Browser
from tests.fakes.slack import Slack
from tests.fakes.slack_api import Message
from tests.integration.signin.service import OIDC, POLICIES, Asked, Corp, corp
from tests.integration.slack.service import ANA, workspace
from tests.integration.slack.service import BO as EVERYBODY_ELSE

NONE = '[users]\nverify = "none"\n'
FINANCE = POLICIES.replace('from = ["user:ana@example.com", "user:bo@example.com"]', 'from = ["user:ana@example.com"]')


@dataclass
class Posting(Corp):
    """The service with Slack; Ana is a member of the workspace."""

    policies: str = FINANCE
    slack: Slack | None = None

    def write(self) -> None:
        assert self.slack is not None
        self.extra = f"""
[channels.slack]
bot_token = "{self.slack.bot_token}"
signing_secret = "{self.slack.signing_secret}"
api_url = "{self.slack.url}/api/"
"""
        super().write()
        path = self.folder / "config.toml"
        mine = '[people."ana@example.com"]\n'
        path.write_text(path.read_text().replace(mine, f'{mine}slack = "{ANA}"\n'))

    async def message(self, asked: Asked) -> Message:
        """What Ana is sent about it."""
        assert self.slack is not None

        def found(slack: Slack) -> Message | None:
            return next((m for m in slack.messages if asked.ask in str(m.blocks) and m.only_for is None), None)

        made: Message = await self.slack.until(found)
        return made

    def names(self, message: Message) -> list[str]:
        assert self.slack is not None
        return [each["text"]["text"] for each in self.slack.buttons(message)]

    async def press(self, message: Message, button: str, user: str = ANA) -> None:
        assert self.slack is not None
        answer = await self.slack.click(message, button, user, url=f"{self.url}/slack/interactions")
        assert (answer.status, answer.trouble) == (200, ""), answer

    async def forge(self, message: Message, ask: str, action: str) -> str:
        """A press that the message does not offer, signed as Slack signs; what the person is told."""
        assert self.slack is not None
        payload = self.slack.payload_for_click(message, self.slack.buttons(message)[0], ANA)
        payload["actions"] = [{"action_id": action, "value": ask, "type": "button", "block_id": "x"}]
        answer = await self.slack.deliver(payload, f"{self.url}/slack/interactions")
        assert (answer.status, answer.trouble) == (200, ""), answer
        told: Message = await self.slack.until(lambda slack: next((m for m in slack.messages if m.only_for), None))
        self.slack.messages.remove(told)
        return told.plain


@asynccontextmanager
async def posting(folder: Path, users: str) -> AsyncIterator[Posting]:
    async with workspace().running() as slack, corp(folder, Posting, slack=slack, users=users) as found:
        assert isinstance(found, Posting)
        slack.clock = lambda: found.clock() / 1000
        async with found.running():
            await found.consented()
            await found.consented(action="note_again", text="x")
            yield found


async def test_at_risk_critical_slack_only_opens_the_page(tmp_path: Path) -> None:
    async with posting(tmp_path, OIDC) as world:
        asked = await world.asked("wipe")
        message = await world.message(asked)
        assert world.names(message) == ["Open"]
        assert world.slack is not None
        (button,) = world.slack.buttons(message)
        assert button["url"] == f"{world.url}/approvals/{asked.ask}"
        for action in ("approve", "deny"):
            assert "on the page alone" in await world.forge(message, asked.ask, action)
        assert await world.votes(asked.execution) == []
        async with Browser() as ana:
            page = await ana.get(button["url"])
            assert page.url.startswith(f"{world.url}/")
            page = await world.sign_in(ana, to=f"/approvals/{asked.ask}")
            assert page.status == 200
            await ana.submit("Deny")
        assert await world.votes(asked.execution) == [("ana@example.com", "deny", "oidc")]


@pytest.mark.parametrize("action", ["note", "wipe"])
async def test_under_verify_none_a_press_decides_at_every_risk(tmp_path: Path, action: str) -> None:
    async with posting(tmp_path, NONE) as world:
        asked = await world.asked(action)
        message = await world.message(asked)
        assert world.names(message)[0] == "Approve"
        await world.press(message, "Approve")
        assert (await world.ended(asked.execution))["status"] == "succeeded"
        assert await world.votes(asked.execution) == [("ana@example.com", "approve", "slack")]


async def test_up_to_risk_high_a_press_decides(tmp_path: Path) -> None:
    async with posting(tmp_path, OIDC) as world:
        answer = await world.execute("send_message", params={"to": ["x@y.example"], "subject": "hi"})
        asked = Asked(answer.json["id"], answer.json["waiting_for"][0]["id"])
        message = await world.message(asked)
        assert world.names(message) == ["Approve", "Deny", "Open"]
        await world.press(message, "Approve", EVERYBODY_ELSE)
        assert await world.votes(asked.execution) == []
        await world.press(message, "Approve")
        assert (await world.ended(asked.execution))["status"] == "succeeded"
        assert await world.votes(asked.execution) == [("ana@example.com", "approve", "slack")]


async def test_a_press_of_somebody_who_has_left_counts_for_nothing(tmp_path: Path) -> None:
    async with workspace().running() as slack, corp(tmp_path, Posting, slack=slack, policies=POLICIES) as world:
        assert isinstance(world, Posting)
        slack.clock = lambda: world.clock() / 1000
        async with world.restarting():
            await world.consented()
            await world.consented(action="note_again", text="x")
            asked = await world.asked("note")
            message = await world.message(asked)
            buttons = slack.buttons(message)
            payload = slack.payload_for_click(message, buttons[0], ANA)
            world.left = ("ana@example.com",)
            world.write()
            await world.restart()
            answer = await slack.deliver(payload, f"{world.url}/slack/interactions")
            assert answer.status == 200
            await slack.until(lambda slack: next((m for m in slack.messages if m.only_for), None))
            assert await world.votes(asked.execution) == []
            assert await world.status(asked.execution) == "paused"
