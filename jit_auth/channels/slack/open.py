"""The open channel: one client and one session, presses by HTTP or by a socket, for as long as the service runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from jit_auth.channels.slack.answer import Answers
from jit_auth.channels.slack.api import PATIENCE, open_slack, text
from jit_auth.channels.slack.clicks import Clicks
from jit_auth.channels.slack.doors import posts, socket
from jit_auth.channels.slack.port import SlackPort
from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.channels.tools import Tools


@asynccontextmanager
async def open_port(settings: SlackSettings, tools: Tools) -> AsyncIterator[SlackPort]:
    """The channel, for as long as the service runs. Nothing waits for Slack."""
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(open_slack(settings, tools.now))
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout, trust_env=False))
        clicks = Clicks(settings, tools, slack, Answers(slack, session))
        stack.push_async_callback(clicks.drain)
        if settings.app_token is not None:
            await stack.enter_async_context(socket(settings, clicks, session))
            yield SlackPort(settings, tools, slack)
        else:
            yield SlackPort(settings, tools, slack, (posts(text(settings.signing_secret), clicks, tools),))
