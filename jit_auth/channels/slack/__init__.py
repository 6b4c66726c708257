"""Cards in Slack: one message a copy, changed as the card changes, with buttons where the rules allow them.

Its settings and whom it reaches are known to every command. What speaks to Slack (slack-sdk, aiohttp's client) is
imported when the channel is opened or checked: no other process pays for it with its start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jit_auth.channels.channel import Channel
from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.channels.tools import Tools
from jit_auth.config.people import People
from jit_auth.core.reach import Way

if TYPE_CHECKING:
    from jit_auth.channels.slack.port import SlackPort


def way(settings: SlackSettings, people: People) -> Way:
    """Everybody whose member id is known; a channel, where there is one, is asked once for its whole group."""
    return Way("slack", addresses=people.slack, shared=settings.channel is not None)


@asynccontextmanager
async def open_channel(settings: SlackSettings, tools: Tools) -> AsyncIterator[SlackPort]:
    """The channel, for as long as the service runs. Nothing waits for Slack."""
    from jit_auth.channels.slack.open import open_port

    async with open_port(settings, tools) as port:
        yield port


async def check(settings: SlackSettings, tools: Tools) -> Sequence[str]:
    """What is wrong, each with Slack's own word and the fix."""
    from jit_auth.channels.slack.check import check_slack

    return await check_slack(settings, tools)


SLACK = Channel("slack", SlackSettings, "slack", way, open_channel, check)

__all__ = ["SLACK"]
