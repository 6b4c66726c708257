"""Cards by e-mail: a text and an HTML part, one link per person, one thread per request.

Its settings and whom it reaches are known to every command. What writes and sends mails (aiosmtplib, the templates'
engine) is imported when the channel is opened or checked: half of a command's start, where nobody gets a mail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jit_auth.channels.channel import Channel
from jit_auth.channels.email.settings import EmailSettings
from jit_auth.channels.tools import Tools
from jit_auth.config.people import People
from jit_auth.core.reach import Way

if TYPE_CHECKING:
    from jit_auth.channels.email.port import EmailPort


def way(settings: object, people: People) -> Way:
    """Everybody with an address; requests to a group are one mail per member, each with a link of its own."""
    return Way("email", addresses=people.emails, mailbox=True)


@asynccontextmanager
async def open_channel(settings: EmailSettings, tools: Tools) -> AsyncIterator[EmailPort]:
    """The channel, for as long as the service runs. Nothing is connected before there is a mail to send."""
    from jit_auth.channels.email.port import open_email

    async with open_email(settings, tools) as port:
        yield port


async def check(settings: EmailSettings, tools: Tools) -> Sequence[str]:
    """What is wrong with the mail server or the settings, each with the server's own word."""
    from jit_auth.channels.email.port import check_email

    return await check_email(settings, tools)


EMAIL = Channel("email", EmailSettings, "email", way, open_channel, check)

__all__ = ["EMAIL"]
