"""Talking to the mail server (RFC 5321): one connection for each mail, and what its refusals mean."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from jit_auth.channels.email.message import as_bytes
from jit_auth.channels.email.settings import Server
from jit_auth.core.text import visible
from jit_auth.errors import ChannelError, Later, Never

PATIENCE = 20.0
"""Seconds for one answer."""
LONGEST = 45.0
"""Seconds for a whole mail, waiting for a connection included: less than the minute after which another process takes
a copy for orphaned, and sends it as well."""
MOST_AT_ONCE = 8
_OURS = frozenset((500, 502, 503, 504, 530, 534, 535, 538))
"""Refusals that speak of the conversation (commands, sign-in, encryption), not of the recipient or the mail."""
_LONGEST_WORD = 300
_AWAY = "cannot be reached"


@dataclass(frozen=True)
class Smtp:
    """One configured server. `context` verifies the certificates of servers beyond this machine."""

    server: Server
    sender: str
    context: ssl.SSLContext
    lenient: ssl.SSLContext
    """For this machine's own server, where plain text would do: it encrypts and verifies nothing."""
    gate: asyncio.Semaphore

    async def send(self, mail: EmailMessage, to: str) -> None:
        """Hand one mail to the server for one recipient.

        Raises Never where the server refuses the recipient or the mail for good (5xx), else Later: it is away, busy,
        or our own settings are at fault. After Later the server may have taken it: the same Message-ID is sent again.
        """
        try:
            async with asyncio.timeout(LONGEST), self.gate, self._session() as smtp:
                eightbit = smtp.supports_extension("8bitmime")
                raw = as_bytes(mail, eightbit=eightbit)
                options = ["BODY=8BITMIME"] if eightbit and not raw.isascii() else []
                await smtp.sendmail(self.sender, [to], raw, mail_options=options)
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            raise self.refusal(error, to) from None

    async def check(self) -> None:
        """Everything but a mail: connect, encrypt, sign in, and name the sender. Raises ChannelError."""
        try:
            async with asyncio.timeout(LONGEST), self._session() as smtp:
                await smtp.mail(self.sender)
                await smtp.rset()
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            raise self.refusal(error, "") from None

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[SMTP]:
        """A connection that is encrypted and signed in. The server's own name for us is the sender's domain: the name
        of this machine is nobody's business, and finding it may wait for a resolver."""
        server = self.server
        smtp = SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=self.sender.rpartition("@")[2],
            timeout=PATIENCE,
            use_tls=server.tls == "always",
            start_tls={"always": False, "starttls": True, "offered": None}[server.tls],
            tls_context=self.lenient if server.tls == "offered" else self.context,
            username=server.user,
            password=server.password or None,
        )
        async with smtp:
            # What EHLO offers: asked here, since a session without STARTTLS and sign-in has not said it yet.
            if smtp.is_ehlo_or_helo_needed:
                await smtp.ehlo()
            yield smtp

    def refusal(self, error: Exception, to: str) -> ChannelError:
        """What an error means for the copy, in a sentence with the server's own word and no secret."""
        if isinstance(error, SMTPRecipientsRefused) and error.recipients:
            error = error.recipients[0]
        if isinstance(error, SMTPRecipientRefused | SMTPDataError):
            what = "refused the address of this person" if isinstance(error, SMTPRecipientRefused) else "refused a mail"
            final = 500 <= error.code < 600 and error.code not in _OURS
            made: ChannelError = (Never if final else Later)(self._sentence(what, error, to))
            made.hint = "Correct the person's address in [people], or the mail server's rules."
        else:
            made = Later(self._sentence(what := _what(error), error, to))
            if what != _AWAY:
                made.code = "channel_refused"
            made.hint = _fix(error, self.server)
        return made

    def _sentence(self, what: str, error: Exception, to: str) -> str:
        if isinstance(error, SMTPResponseException):
            word = f"{error.code} {error.message}"
        else:
            word = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        # A server may repeat what it was told: neither a person's address nor a password goes to logs by that.
        for secret in (to, self.server.password, self.server.user or ""):
            if len(secret) > 2:
                word = word.replace(secret, "[removed]")
        word = visible(" ".join(word.split()), one_line=True)
        if len(word) > _LONGEST_WORD:
            word = word[:_LONGEST_WORD] + "\u2026"
        return f"{self.server.shown} {what}: {word}"


def _what(error: Exception) -> str:
    if isinstance(error, SMTPAuthenticationError):
        return "refused the sign-in"
    if isinstance(error, SMTPSenderRefused):
        return "refused the sender"
    if isinstance(error, ssl.SSLError | ssl.CertificateError) or _tls(error):
        return "cannot be encrypted with"
    return "gave an error" if isinstance(error, SMTPResponseException) else _AWAY


def _fix(error: Exception, server: Server) -> str:
    if isinstance(error, SMTPAuthenticationError):
        return "Correct user and password in [channels.email] smtp_url (special characters as % escapes)."
    if isinstance(error, SMTPSenderRefused):
        return "Let the mail server accept [channels.email] from, or use an address that it accepts."
    if _tls(error) and "STARTTLS" in str(error):
        return "Beyond this machine STARTTLS is demanded: use a port that offers it (587), or smtps:// (465)."
    if isinstance(error, ssl.SSLError | ssl.CertificateError) or _tls(error):
        return "Trust its certificate's issuer (SSL_CERT_FILE names a file of issuers), and use the name it is for."
    if isinstance(error, SMTPException) and "AUTH" in str(error):
        return "Use a port where the server lets clients sign in (587), or leave user and password out."
    return f"See that {server.shown} is right in [channels.email] smtp_url, and that the server runs."


def _tls(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, SMTPException) and ("STARTTLS" in text or "SSL" in text or "certificate" in text.lower())


async def troubles(smtp: Smtp) -> Sequence[str]:
    """What `jit-auth check` says of the server: nothing, or what is wrong, in the server's word, and the fix.

    Raises Later where it is away.
    """
    try:
        await smtp.check()
    except ChannelError as error:
        if error.code == Later.code:
            raise
        return (f"{error.message}. {error.hint}",)
    return ()


def connector(server: Server, sender: str, trust: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> Smtp:
    """A server ready to be talked to; nothing is connected yet. `trust` makes the verifying context (system's issuers,
    or SSL_CERT_FILE's)."""
    lenient = ssl.create_default_context()
    lenient.check_hostname = False
    lenient.verify_mode = ssl.CERT_NONE
    return Smtp(server, sender, trust(), lenient, asyncio.Semaphore(MOST_AT_ONCE))
