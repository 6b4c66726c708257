"""Cards as tests change them, a certificate authority, and the channel opened against a mail server."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jit_auth.channels.card import Card, Recent, Waiting
from jit_auth.channels.email import EMAIL
from jit_auth.channels.email.port import EmailPort
from jit_auth.channels.email.settings import EmailSettings
from jit_auth.channels.tools import Tools
from jit_auth.config.people import People
from jit_auth.core.fields import Field, Line
from jit_auth.core.links import ticket
from jit_auth.core.text import Part
from jit_auth.engine.doors import Decide
from tests.fakes.smtp import MailServer

NOW = 1_764_064_800_000  # 25 Nov 2025, 10:00:00 UTC
HOUR = 3_600_000
PUBLIC = "http://127.0.0.1:8080"
ANA = "ana@example.com"
CARD_ID = "crd_01kb3q0000000000000000000c"
URL = f"{PUBLIC}/approvals/{ticket(b'k' * 32, 'approval', CARD_ID, ANA, NOW + HOUR)}"
PEOPLE = People(
    ids=(ANA, "bo"), names={ANA: ANA, "bo": "bo"}, emails={ANA: "ana.rossi@example.com", "bo": "bo@b.example"}
)
TO = "ana.rossi@example.com"

CARD = Card(
    id=CARD_ID,
    execution="exe_01kb3q0000000000000000000a",
    ask="apr_01kb3q0000000000000000000b",
    person=ANA,
    environment="prod",
    summary=(Part("Send to "), Part("x@y.example", True), Part(": "), Part("Quarterly numbers", True)),
    action="mailhub.send_message",
    title="Send an e-mail",
    connector="MailHub",
    risk="high",
    effect="create",
    consequence="Creates something new at MailHub. It cannot be taken back from here.",
    method="POST",
    host="api.mailhub.example",
    account="alice@mailhub.example (id u-17)",
    fields=(
        Field(
            "to",
            "1: x@y.example\n2: bo@example.com",
            2,
            False,
            "text",
            kind="list",
            lines=(Line("1", "x@y.example", "text"), Line("2", "bo@example.com", "text")),
        ),
        Field("subject", "Quarterly numbers", 17, False, "text"),
        Field("body", "Dear both,\n\nthe numbers are attached: https://files.example/q3\n\nAlice", 68, True, "text"),
    ),
    agent="mailbot",
    chain=("planner", "mailbot"),
    user="alice@example.com (claimed by mailbot)",
    reasons=("Mail that leaves the house needs a second look.",),
    says="Alice asked me to send the numbers before noon. Already approved by the CFO.",
    wants=("1 approval of the group finance",),
    decided=(),
    open=True,
    expires=NOW + HOUR,
    silence="If nobody decides by then, nothing is sent and the call expires; that does not count as a denial.",
    outcome="Nothing is done yet. The call goes on by itself as soon as nothing is missing.",
    provider="MailHub",
    labels=("external",),
    unusual=("Exactly this was asked twice before, and denied once.",),
    recent=(
        Recent(NOW - 2 * HOUR, "Send to x@y.example: Draft", "succeeded"),
        Recent(NOW - 9 * HOUR, "Send to z", "denied"),
    ),
    others=("bo", "cy@example.com"),
    editable=("subject",),
    hold_for=(900_000, HOUR),
    url=URL,
)

GATHER = Card(
    id="crd_01kb3q0000000000000000000g",
    role="gather",
    ask="",
    person=ANA,
    environment="prod",
    summary=(Part("3 requests wait for you"),),
    action="",
    title="Requests that wait",
    connector="",
    risk="high",
    effect="read",
    consequence="",
    method="",
    host="",
    account="",
    fields=(),
    agent="",
    chain=(),
    user="",
    reasons=(),
    wants=(),
    decided=(),
    open=True,
    expires=NOW + HOUR,
    silence="What nobody decides runs out by itself, and is not sent.",
    outcome="",
    gathered=tuple(
        Waiting(f"apr_{n}", f"Send to x{n}@y.example: hello", "high" if n == 1 else "low", f"{URL}/all/apr_{n}", "Send")
        for n in (1, 2, 3)
    ),
    cut=True,
    url=URL,
)


@dataclass
class Clock:
    """What the channel takes for now."""

    at: int = NOW

    def __call__(self) -> int:
        return self.at


def tools(clock: Callable[[], int] = Clock()) -> Tools:  # noqa: B008 - a clock that nobody moves
    # The mail channel takes no decision: what decides is not there to be called.
    return Tools(
        decide=cast(Decide, None),
        people=lambda: PEOPLE,
        public_url=PUBLIC,
        environment="prod",
        now=clock,
        write=lambda text: None,
    )


def settings(server: MailServer, **given: Any) -> EmailSettings:
    values = {"smtp_url": f"smtp://127.0.0.1:{server.port}", "sender": "approvals@example.com"} | given
    return EmailSettings(**values)


@asynccontextmanager
async def channel(chosen: EmailSettings, clock: Callable[[], int] = Clock()) -> AsyncIterator[EmailPort]:  # noqa: B008 - as above
    async with EMAIL.open(chosen, tools(clock)) as port:
        assert isinstance(port, EmailPort)
        yield port


@dataclass
class Authority:
    """A certificate authority of a test's own."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    cert: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        cert = _builder(name, name, key, key).add_extension(x509.BasicConstraints(True, None), True)
        cert = cert.add_extension(own, False).add_extension(_signs(), True)
        return cls(folder, key, cert.sign(key, hashes.SHA256()))

    def file(self) -> str:
        """Its certificate, as a file of issuers."""
        path = self.folder / "authority.pem"
        path.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        return str(path)

    def server(self, address: str) -> ssl.SSLContext:
        """A server that it vouches for by this address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        signed = _builder(subject, self.cert.subject, key, self.key).add_extension(names, False)
        path = self.folder / f"{address}.pem"
        path.write_bytes(
            signed.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """A certificate as RFC 5280 has it: what Python 3.13 and later insist on."""
    now = datetime.datetime.now(datetime.UTC)
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    return builder.not_valid_after(now + datetime.timedelta(days=1)).add_extension(by, False)


def _signs() -> x509.KeyUsage:
    uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    others = dict.fromkeys((*uses, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **others)
