"""TLS: the certificate is checked against the name, over the judged address; an end that is not proven is none."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jit_auth.egress import Egress
from jit_auth.errors import Lost, NeverLeft
from jit_auth.model import Request

from .conftest import Serve
from .servers import Peer, Server, answering, ending, plain


@dataclass
class Authority:
    """A certificate authority, and a server context for names it vouches for."""

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

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.cert.public_bytes(serialization.Encoding.PEM).decode())

    def server(self, *names: str, days: int = 1) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
        alternative = x509.SubjectAlternativeName([_general(name) for name in names])
        cert = _builder(subject, self.cert.subject, key, self.key, days).add_extension(alternative, False)
        signed = cert.sign(self.key, hashes.SHA256())
        path = self.folder / f"{'-'.join(names).replace('*', 'any').replace(':', '_')}{days}.pem"
        path.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    days: int = 1,
) -> x509.CertificateBuilder:
    """A certificate as RFC 5280 has it: what Python 3.13 and later insist on."""
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    now = datetime.datetime.now(datetime.UTC)
    begin = now - datetime.timedelta(days=2)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begin)
    return builder.not_valid_after(now + datetime.timedelta(days=days)).add_extension(by, False)


def _signs() -> x509.KeyUsage:
    uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    others = dict.fromkeys((*uses, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **others)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


async def here(host: str) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[Egress]:
    egress = Egress(["127.0.0.1"], resolve=here, ssl_context=authority.client())
    yield egress
    await egress.close()


def request(server: Server, host: str = "api.example", method: str = "POST") -> Request:
    return Request(method, f"https://{host}:{server.port}/x", (), b"body" if method == "POST" else b"")


HOSTS = ["*.example", "127.0.0.1", "api.example"]


async def test_the_name_is_checked_over_the_judged_address(serve: Serve, authority: Authority, secure: Egress) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("api.example"))
    for _ in range(3):
        reply = await secure.send(request(server), hosts=HOSTS, timeout=5000)
        assert reply.body == b"ok"
    assert server.connections == 1
    assert server.requests[0].endswith(b"body")


async def test_an_address_in_a_certificate_counts(serve: Serve, authority: Authority, secure: Egress) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("127.0.0.1"))
    assert (await secure.send(request(server, "127.0.0.1"), hosts=HOSTS, timeout=5000)).body == b"ok"


async def test_a_connection_checked_for_one_name_serves_no_other(
    serve: Serve, authority: Authority, secure: Egress
) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("api.example"))
    await secure.send(request(server), hosts=HOSTS, timeout=5000)
    with pytest.raises(NeverLeft, match="certificate"):
        await secure.send(request(server, "other.example"), hosts=HOSTS, timeout=5000)
    assert len(server.requests) == 1


@pytest.mark.parametrize("wrong", ["name", "authority", "expired", "address"])
async def test_a_certificate_that_proves_nothing_gets_nothing(
    wrong: str, serve: Serve, authority: Authority, secure: Egress, tmp_path: Path
) -> None:
    context = {
        "name": lambda: authority.server("other.example"),
        "authority": lambda: Authority.make(tmp_path).server("api.example"),
        "expired": lambda: authority.server("api.example", days=-1),
        "address": lambda: authority.server("127.0.0.1"),
    }[wrong]()
    server = await serve(answering(plain(b"ok")), context)
    with pytest.raises(NeverLeft, match="certificate"):
        await secure.send(request(server), hosts=HOSTS, timeout=5000)
    assert server.requests == []


async def test_the_system_s_authorities_are_asked_by_default(serve: Serve, authority: Authority) -> None:
    server = await serve(answering(plain(b"ok")), authority.server("api.example"))
    egress = Egress(["127.0.0.1"], resolve=here)
    with pytest.raises(NeverLeft, match="certificate"):
        await egress.send(request(server), hosts=HOSTS, timeout=5000)
    await egress.close()


async def test_a_server_without_tls_gets_nothing(serve: Serve, secure: Egress) -> None:
    async def script(peer: Peer) -> None:
        await peer.write(b"HTTP/1.1 400 Bad\r\n\r\n")

    server = await serve(script)
    with pytest.raises(NeverLeft):
        await secure.send(request(server), hosts=HOSTS, timeout=5000)


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nall of it"


async def test_a_body_until_close_ends_by_close_notify(serve: Serve, authority: Authority, secure: Egress) -> None:
    server = await serve(ending(UNTIL_CLOSE), authority.server("api.example"))
    reply = await secure.send(request(server), hosts=HOSTS, timeout=5000)
    assert (reply.body, reply.truncated) == (b"all of it", False)


async def test_a_body_until_close_does_not_end_by_a_cut_wire(
    serve: Serve, authority: Authority, secure: Egress
) -> None:
    """Whoever sits in between can send a FIN; only the server can send close_notify."""

    async def script(peer: Peer) -> None:
        await peer.read()
        await peer.write(UNTIL_CLOSE)
        await asyncio.sleep(0.02)
        peer.abort()

    server = await serve(script, authority.server("api.example"))
    reply = await secure.send(request(server), hosts=HOSTS, timeout=5000)
    assert (reply.status, reply.body, reply.truncated) == (200, b"", True)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("reused", [False, True])
async def test_one_send_is_one_request(
    method: str, reused: bool, serve: Serve, authority: Authority, secure: Egress
) -> None:
    async def script(peer: Peer) -> None:
        if reused:
            await peer.read()
            await peer.write(plain(b""))
        await peer.read()
        peer.abort()

    server = await serve(script, authority.server("api.example"))
    if reused:
        await secure.send(request(server, method=method), hosts=HOSTS, timeout=5000)
    with pytest.raises(Lost):
        await secure.send(request(server, method=method), hosts=HOSTS, timeout=5000)
    await server.all_ended()
    assert len(server.requests) == 1 + reused


async def test_a_cancelled_handshake_leaves_nothing_behind(serve: Serve, secure: Egress) -> None:
    connected = asyncio.Event()

    async def script(peer: Peer) -> None:
        connected.set()
        await peer.gone()

    server = await serve(script)
    asking = asyncio.ensure_future(secure.send(request(server), hosts=HOSTS, timeout=5000))
    await connected.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await server.all_ended()
