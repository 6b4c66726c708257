"""E-mail as a channel: cards become mails, each at the moment it is owed. A mail does not change once it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from jit_auth.channels.card import Card
from jit_auth.channels.cut import detailed
from jit_auth.channels.email.code import code_message
from jit_auth.channels.email.message import message, word
from jit_auth.channels.email.render import Renderer
from jit_auth.channels.email.settings import EmailSettings, address, server_of
from jit_auth.channels.email.smtp import Smtp, connector, troubles
from jit_auth.channels.email.told import after, owed, told
from jit_auth.channels.tools import Tools
from jit_auth.errors import Never


@dataclass(frozen=True)
class EmailPort:
    """The open channel."""

    settings: EmailSettings
    tools: Tools
    smtp: Smtp
    renderer: Renderer

    @property
    def routes(self) -> Sequence[web.RouteDef]:
        """It answers nothing: a mail's link leads to the page, and no answer by mail is read."""
        return ()

    async def show(self, card: Card, ref: str | None) -> str:
        """Send the one mail that is owed now, if any; gives what the person has been told by then.

        Where a call was cut off after the server had taken the mail, it is sent again with the same Message-ID, by
        which mailboxes know it. Raises Later, Never.
        """
        if card.shared:
            raise Never("a mail goes to one person: there is no shared copy")
        was = told(ref)
        step = owed(card, was)
        if step is not None:
            to = self._address(card.person)
            shown = detailed(card, self.settings.details)
            mail = message(
                shown,
                step,
                sender=_sender(self.settings),
                to=to,
                public_url=self.tools.public_url,
                renderer=self.renderer,
                now=self.tools.now(),
            )
            await self.smtp.send(mail, to)
        return after(card, was, step).ref

    async def send_code(self, person: str, code: str, agent: str, provider: str) -> None:
        """Mail a code by which the person shows, on the page that asked for it, who they are. Raises Later, Never."""
        to = self._address(person)
        mail = code_message(
            person=person,
            code=code,
            agent=agent,
            provider=provider,
            environment=self.tools.environment,
            sender=_sender(self.settings),
            to=to,
            now=self.tools.now(),
        )
        await self.smtp.send(mail, to)

    async def tell(self, person: str, subject: str, words: str) -> None:
        """A short mail without a link, where the person has an address."""
        to = address(self.tools.people().emails.get(person, person))
        if to is not None:
            mail = word(
                subject, words, sender=_sender(self.settings), to=to, environment=self.tools.environment,
                now=self.tools.now(),
            )  # fmt: skip
            await self.smtp.send(mail, to)

    def _address(self, person: str) -> str:
        people = self.tools.people()
        found = address(people.emails.get(person, person))
        if found is None:
            raise Never("this person has no e-mail address", hint="Add `email` to the person's table in [people].")
        return found


@asynccontextmanager
async def open_email(settings: EmailSettings, tools: Tools) -> AsyncIterator[EmailPort]:
    """The channel, for as long as the service runs. Nothing is connected before there is a mail to send."""
    yield EmailPort(settings, tools, await asyncio.to_thread(_smtp, settings), Renderer())


async def check_email(settings: EmailSettings, tools: Tools) -> Sequence[str]:
    """What is wrong with the mail server or the settings, each with the server's own word."""
    return await troubles(await asyncio.to_thread(_smtp, settings))


def _smtp(settings: EmailSettings) -> Smtp:
    if not isinstance(settings.smtp_url, str):
        raise TypeError("smtp_url was not resolved")
    return connector(server_of(settings.smtp_url), _sender(settings))


def _sender(settings: EmailSettings) -> str:
    sender = address(settings.sender)
    if sender is None:
        raise ValueError("from is no address")
    return sender
