"""A mail server (aiosmtpd) that keeps what it takes, and refuses, hangs up or is away as a test says."""

from __future__ import annotations

import asyncio
import email
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from functools import cached_property
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Mail:
    """One mail as the server took it."""

    sender: str
    to: str
    raw: bytes
    encrypted: bool
    login: str | None
    options: tuple[str, ...] = ()

    @cached_property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.raw, policy=default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def part(self, kind: str) -> str:
        """The decoded text of the part `plain` or `html`, as a mail program shows it."""
        part = self.message.get_body((kind,))
        assert part is not None, f"no {kind} part"
        return str(part.get_content()).replace("\r\n", "\n")

    @property
    def text(self) -> str:
        return self.part("plain")

    @property
    def html(self) -> str:
        return self.part("html")


@dataclass
class MailServer:
    """The server's mailboxes and its moods. Replies are SMTP lines such as `450 4.2.0 Greylisted`."""

    mails: list[Mail] = field(default_factory=list)
    """Every mail that was taken, repetitions included."""
    for_address: dict[str, str] = field(default_factory=dict)
    """The answer to RCPT TO of these addresses."""
    for_sender: str | None = None
    for_data: str | None = None
    dies: int = 0
    """How many mails are taken without an answer: the connection is cut instead."""
    login: tuple[str, str] | None = None
    """User and password that AUTH must bring."""
    plain_mime: bool = False
    """8BITMIME is not offered."""
    connections: int = 0
    greetings: list[str] = field(default_factory=list)
    """What clients called themselves."""
    port: int = 0
    took: asyncio.Event = field(default_factory=asyncio.Event)
    context: ssl.SSLContext | None = None
    implicit: bool = False
    """TLS from the first byte, rather than by STARTTLS."""
    require_starttls: bool = False
    _server: asyncio.Server | None = None
    _sessions: set[SMTP] = field(default_factory=set)

    def inbox(self, address: str) -> list[Mail]:
        """What a person finds: a mailbox keeps one mail of each Message-ID."""
        found = {str(mail.message["Message-ID"]): mail for mail in reversed(self.mails) if mail.to == address}
        return list(reversed(found.values()))

    async def start(self, *, host: str = "127.0.0.1") -> None:
        """Listen, again on the same port where it did before."""
        loop = asyncio.get_running_loop()
        context = self.context if self.implicit else None
        self._server = await loop.create_server(self._session, host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away: nobody listens, and connections are cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in self._sessions:
            if session.transport is not None:
                with suppress(AttributeError):  # one over TLS that was closed twice has forgotten its protocol
                    session.transport.abort()  # type: ignore[attr-defined]  # a socket's transport has it
        self._sessions.clear()
        await asyncio.sleep(0)

    def _session(self) -> SMTP:
        self.connections += 1
        session = SMTP(
            self,
            hostname="mail.test",
            ident="test",
            loop=asyncio.get_running_loop(),
            tls_context=None if self.implicit else self.context,
            require_starttls=self.require_starttls,
            auth_required=self.login is not None and self.context is not None,
            # Where TLS holds from the first byte the library does not know of it.
            auth_require_tls=self.context is not None and not self.implicit,
            authenticator=self._authenticate,
        )
        self._sessions.add(session)
        return session

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        # handled=False: the library answers 535 itself; True would leave the client without an answer.
        return AuthResult(success=given == self.login, handled=False, auth_data=data)

    async def handle_EHLO(  # noqa: N802 - the name is the library's
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.greetings.append(hostname)
        session.host_name = hostname
        return [line for line in responses if not (self.plain_mime and "8BITMIME" in line)]

    async def handle_MAIL(  # noqa: N802 - the name is the library's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.for_sender is not None:
            return self.for_sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - the name is the library's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.for_address:
            return self.for_address[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the name is the library's
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.for_data is not None:
            return self.for_data
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        login = session.auth_data.login.decode() if session.authenticated else None
        encrypted = session.ssl is not None or self.implicit
        (to,) = envelope.rcpt_tos
        mail = Mail(envelope.mail_from, to, envelope.content, encrypted, login, tuple(envelope.mail_options))
        self.mails.append(mail)
        self.took.set()
        if self.dies:
            self.dies -= 1
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]  # a socket's transport has it
            await asyncio.get_running_loop().create_future()  # ends with the connection
        return "250 OK"


@asynccontextmanager
async def mail_server(
    *, host: str = "127.0.0.1", change: Callable[[MailServer], None] = lambda server: None
) -> AsyncIterator[MailServer]:
    """A mail server on a free port. `change` sets it up before it listens."""
    server = MailServer()
    change(server)
    await server.start(host=host)
    try:
        yield server
    finally:
        await server.stop()
