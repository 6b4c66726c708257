"""`jit-auth check` of [channels.slack]: whether Slack takes the tokens and lets the app post where it should."""

from __future__ import annotations

from collections.abc import Sequence

from jit_auth.channels.slack.api import SOCKET, Slack, SlackFault, open_slack, text
from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.channels.tools import Tools
from jit_auth.errors import ChannelError, Later


async def check_slack(settings: SlackSettings, tools: Tools) -> Sequence[str]:
    """What is wrong, each with Slack's own word and the fix. Raises Later where Slack is away."""
    told: list[str] = []
    async with open_slack(settings, tools.now) as slack:
        try:
            told += await _token(slack, settings)
            if settings.channel is not None:
                await slack.call("conversations.history", channel=settings.channel, limit=1)
            if settings.app_token is not None:
                slack.client.token = text(settings.app_token)
                await slack.call(SOCKET)
        except Later as error:
            error.hint = _hint(error)
            raise
        except ChannelError as error:
            told.append(". ".join(filter(None, (error.message, _hint(error)))))
    return told


async def _token(slack: Slack, settings: SlackSettings) -> list[str]:
    me = await slack.call("auth.test")
    found = []
    if settings.team is not None and me.get("team_id") != settings.team:
        found.append(f"team is {settings.team}, but the bot token belongs to {me.get('team_id')}")
    return found


def _hint(error: ChannelError) -> str:
    if isinstance(error, SlackFault):
        return error.hint or "See Slack's page of the method for what this error means."
    return "See that [channels.slack] api_url is right, and that this machine may go there."
