"""Answers that one person alone sees: beneath the message in its channel, else by the press's own `response_url`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from jit_auth.channels.slack.api import Slack
from jit_auth.channels.slack.parts import LONGEST_SECTION, cut, escaped, section
from jit_auth.channels.slack.payload import Interaction, kept
from jit_auth.core.text import visible
from jit_auth.errors import ChannelError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answers:
    """Says something to whoever pressed. Losing it changes nothing: what was decided is on record."""

    slack: Slack
    session: aiohttp.ClientSession

    async def send(self, interaction: Interaction, words: str) -> None:
        """Never raises: an answer that cannot be delivered is logged."""
        said = cut(visible(words), LONGEST_SECTION)[0]
        told: dict[str, Any] = {"text": escaped(said), "blocks": [section(said)]}
        view = interaction.view
        held = kept(view.private_metadata) if view is not None else None
        channel = interaction.channel.id if interaction.channel else held.channel if held else ""
        url = interaction.response_url or (held.response_url if held else "")
        if channel:
            try:
                await self.slack.call("chat.postEphemeral", channel=channel, user=interaction.user.id, **told)
            except ChannelError as error:
                log.warning("an answer in Slack: %s", error.message)
            else:
                return
        if _postable(url):
            await self._posted(url, told)

    async def _posted(self, url: str, told: dict[str, Any]) -> None:
        body = told | {"response_type": "ephemeral", "replace_original": False}
        try:
            async with self.session.post(url, json=body, allow_redirects=False) as reply:
                if reply.status != 200:
                    log.warning("an answer in Slack: response_url gives %d", reply.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("an answer in Slack: %s", type(error).__name__)


def _postable(url: str) -> bool:
    """Slack names the address itself; one that is no web address is left alone."""
    try:
        return urlsplit(url).scheme in ("https", "http") and bool(urlsplit(url).hostname)
    except ValueError:
        return False
