"""The mail server as it really is: encrypted or not at all, choosy, dying, away; and what each means for the copy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from jit_auth.channels.card import Card
from jit_auth.channels.email import EMAIL
from jit_auth.channels.email.port import EmailPort
from jit_auth.channels.email.settings import EmailSettings
from jit_auth.errors import ChannelError, Later, Never
from tests.fakes.smtp import MailServer, mail_server
from tests.integration.mail.kit import CARD, NOW, TO, URL, Authority, Clock, channel, settings, tools

ANYWHERE = "0.0.0.0"
"""An address that leads to this machine and is none of its loopback ones: for the channel a server out there."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority is one of the system's."""
    monkeypatch.setenv("SSL_CERT_FILE", authority.file())
    return authority


def starttls(authority: Authority, **more: object) -> Callable[[MailServer], None]:
    def change(server: MailServer) -> None:
        server.context = authority.server(ANYWHERE)
        server.require_starttls = True
        for name, value in more.items():
            setattr(server, name, value)

    return change


def remote(server: MailServer, scheme: str = "smtp", login: str = "") -> EmailSettings:
    return settings(server, smtp_url=f"{scheme}://{login}{ANYWHERE}:{server.port}")


async def refused(port: EmailPort, card: Card = CARD, ref: str | None = None) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        await port.show(card, ref)
    assert TO not in caught.value.message
    assert "jat_" not in caught.value.message + caught.value.hint
    return caught.value


async def test_beyond_this_machine_the_mail_goes_encrypted(trusted: Authority) -> None:
    async with mail_server(change=starttls(trusted)) as server, channel(remote(server)) as port:
        await port.show(CARD, None)
        (mail,) = server.mails
    assert mail.encrypted
    assert URL in mail.text.splitlines()


async def test_tls_from_the_first_byte(trusted: Authority) -> None:
    async with (
        mail_server(change=starttls(trusted, implicit=True, require_starttls=False)) as server,
        channel(remote(server, "smtps")) as port,
    ):
        await port.show(CARD, None)
        assert server.mails[0].encrypted
        assert await EMAIL.check(remote(server, "smtps"), tools()) == ()


async def test_a_server_that_offers_no_starttls_is_told_nothing(trusted: Authority) -> None:
    async with mail_server() as server, channel(remote(server, login="bot:pa55word@")) as port:
        error = await refused(port)
        assert isinstance(error, Later)
        assert "STARTTLS" in error.message
        assert "587" in error.hint
        assert server.mails == []


async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(authority: Authority) -> None:
    async with mail_server(change=starttls(authority)) as server, channel(remote(server)) as port:
        error = await refused(port)
        assert isinstance(error, Later)
        assert "certificate" in error.message.lower()
        assert "SSL_CERT_FILE" in error.hint
        assert server.mails == []


async def test_a_certificate_of_another_name_gets_no_mail(trusted: Authority) -> None:
    def other(server: MailServer) -> None:
        server.context = trusted.server("192.0.2.1")

    async with mail_server(change=other) as server, channel(remote(server)) as port:
        assert isinstance(await refused(port), Later)
        assert server.mails == []


async def test_on_this_machine_plain_text_will_do_and_encryption_is_taken_where_offered(authority: Authority) -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        await port.show(CARD, None)
        assert not server.mails[0].encrypted
        assert server.greetings == ["example.com"]
    async with mail_server(change=starttls(authority)) as server, channel(settings(server)) as port:
        await port.show(CARD, None)
        assert server.mails[0].encrypted


async def test_the_channel_signs_in(trusted: Authority) -> None:
    change = starttls(trusted, login=("bot@example.com", "p@ss/wörd"))
    async with (
        mail_server(change=change) as server,
        channel(remote(server, login="bot%40example.com:p%40ss%2Fw%C3%B6rd@")) as port,
    ):
        await port.show(CARD, None)
        assert server.mails[0].login == "bot@example.com"


async def test_a_wrong_password_is_our_own_fault_not_the_persons(
    trusted: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "jit_auth")
    change = starttls(trusted, login=("bot", "right-one"))
    async with mail_server(change=change) as server:
        chosen = remote(server, login="bot:wrong-one@")
        async with channel(chosen) as port:
            error = await refused(port)
            assert isinstance(error, Later)
            assert "535 5.7.8 Authentication credentials invalid" in error.message
            assert "[channels.email] smtp_url" in error.hint
        (sentence,) = await EMAIL.check(chosen, tools())
        assert "535 5.7.8" in sentence
        for text in (error.message, error.hint, sentence, repr(chosen), str(port), caplog.text):
            assert "wrong-one" not in text
        assert server.mails == []


async def test_a_server_that_repeats_the_password_or_the_address_does_not_make_us_tell_it(trusted: Authority) -> None:
    def leaky(server: MailServer) -> None:
        starttls(trusted, login=("bot-user", "s3cret-word"))(server)
        server.for_address[TO] = f"550 5.1.1 <{TO}>: no such user (bot-user, s3cret-word)\u202e".encode().decode(
            "ascii", "ignore"
        )

    async with mail_server(change=leaky) as server, channel(remote(server, login="bot-user:s3cret-word@")) as port:
        error = await refused(port)
        assert isinstance(error, Never)
        assert "550 5.1.1 <[removed]>: no such user ([removed], [removed])" in error.message


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("550 5.1.1 No such user", Never),
        ("551 5.1.6 User not local", Never),
        ("552 5.2.2 Mailbox full", Never),
        ("553 5.1.3 Bad address syntax", Never),
        ("554 5.7.1 Relay access denied", Never),
        ("450 4.2.0 Greylisted", Later),
        ("451 4.3.0 Try again", Later),
        ("452 4.2.2 Mailbox over quota for now", Later),
        ("421 4.3.2 Shutting down", Later),
        ("530 5.7.0 Authentication required", Later),
        ("503 5.5.1 Bad sequence", Later),
    ],
)
async def test_a_refused_recipient_falls_back_or_waits(answer: str, kind: type[ChannelError]) -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        server.for_address[TO] = answer
        error = await refused(port)
        assert type(error) is kind
        assert answer in error.message
        # Another person's mail is not held up by it.
        await port.show(replace(CARD, person="bo"), None)
        assert [mail.to for mail in server.mails] == ["bo@b.example"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("554 5.7.1 Looks like spam", Never), ("552 5.3.4 Too big", Never), ("451 4.7.1 Scanner busy", Later)],
)
async def test_a_refused_mail_falls_back_or_waits(answer: str, kind: type[ChannelError]) -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        server.for_data = answer
        assert type(await refused(port)) is kind


async def test_a_refused_sender_is_our_own_fault() -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        server.for_sender = "550 5.7.1 Sender not allowed"
        error = await refused(port)
        assert type(error) is Later
        assert "[channels.email] from" in error.hint
        (sentence,) = await EMAIL.check(settings(server), tools())
        assert "550 5.7.1 Sender not allowed" in sentence


async def test_a_server_that_dies_after_the_mail_gets_the_same_mail_again() -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        server.dies = 2
        for _ in range(2):
            assert isinstance(await refused(port), Later)
        assert await port.show(CARD, None) == "asked r0"
        assert len(server.mails) == 3
        assert len({mail.message["Message-ID"] for mail in server.mails}) == 1
        assert len(server.inbox(TO)) == 1


async def test_after_ten_minutes_away_every_request_arrives_once() -> None:
    clock = Clock()
    cards = [replace(CARD, id=f"crd_{n}", ask=f"apr_{n}", execution=f"exe_{n}") for n in range(20)]
    refs: dict[str, str | None] = {card.id: None for card in cards}
    async with mail_server() as server, channel(settings(server), clock) as port:
        await server.stop()
        for _ in range(10):
            clock.at += 60_000
            for card in cards:
                error = await refused(port, card)
                assert isinstance(error, Later)
                assert "cannot be reached" in error.message
        await server.start()
        later = [replace(card, reminded=1, warned=True) for card in cards]
        for _ in range(3):
            for card in later:
                refs[card.id] = await port.show(card, refs[card.id])
        assert len(server.mails) == len(server.inbox(TO)) == 20
        dates = {mail.message["Date"].datetime.timestamp() * 1000 for mail in server.mails}
        assert dates == {NOW + 600_000}


@asynccontextmanager
async def deaf() -> AsyncIterator[int]:
    """A port where whatever is connected is cut before it says a word."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_what_was_said_before_encryption_counts_for_nothing(trusted: Authority) -> None:
    """RFC 3207: an answer slipped in before the handshake must not be taken for the encrypted server's."""
    said: list[bytes] = []
    context = trusted.server(ANYWHERE)

    async def meddled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        await reader.readline()
        writer.write(b"250-mail.test\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go on\r\n250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n")
        await writer.start_tls(context)
        while line := await reader.readline():
            said.append(line)
            writer.write(b"250 mail.test\r\n" if line.startswith(b"EHLO") else b"221 bye\r\n")
        writer.close()

    listening = await asyncio.start_server(meddled, ANYWHERE, 0)
    number = listening.sockets[0].getsockname()[1]
    chosen = EmailSettings(smtp_url=f"smtp://bot:pa55word@{ANYWHERE}:{number}", sender="approvals@example.com")
    async with channel(chosen) as port:
        assert isinstance(await refused(port), Later)
    listening.close()
    assert said[0].startswith(b"EHLO")
    assert not any(line.startswith(b"AUTH") for line in said)


async def test_what_is_no_mail_server_is_told_as_that() -> None:
    async with deaf() as number:
        chosen = EmailSettings(smtp_url=f"smtp://127.0.0.1:{number}", sender="approvals@example.com")
        with pytest.raises(Later, match=f"smtp://127.0.0.1:{number} cannot be reached") as told:
            await EMAIL.check(chosen, tools())
        assert "[channels.email] smtp_url" in told.value.hint
        async with channel(chosen) as port:
            assert isinstance(await refused(port), Later)


async def test_a_server_without_8bitmime_gets_seven_bits() -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        server.plain_mime = True
        await port.show(CARD, None)
        (mail,) = server.mails
        assert mail.raw.isascii()
        assert URL in mail.text.splitlines()
        assert "BODY=8BITMIME" not in mail.options


async def test_a_hundred_mails_at_once_all_arrive() -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        cards = [replace(CARD, id=f"crd_{n}") for n in range(100)]
        await asyncio.gather(*(port.show(card, None) for card in cards))
        assert len(server.inbox(TO)) == 100


async def test_a_person_without_an_address_and_a_shared_copy_are_for_other_channels() -> None:
    async with mail_server() as server, channel(settings(server)) as port:
        for card in (
            replace(CARD, person="cy"),
            replace(CARD, shared=True),
            replace(CARD, person="a@b\r\nRCPT TO:<x>"),
        ):
            with pytest.raises(Never):
                await port.show(card, None)
        assert server.connections == 0


async def test_every_address_that_a_person_may_have_gets_its_mail() -> None:
    odd = "a!#$%&'*+=?^_`{|}~-b.c@example.com"
    async with mail_server() as server, channel(settings(server)) as port:
        await port.show(replace(CARD, person=odd), None)
        (mail,) = server.mails
    assert mail.to == odd
    assert [each.addr_spec for each in mail.message["To"].addresses] == [odd]


async def test_opening_waits_for_no_server_and_nothing_is_sent_that_is_not_owed() -> None:
    async with mail_server() as server:
        await server.stop()
        async with channel(settings(server)) as port:
            assert port.routes == ()
            assert await port.show(replace(CARD, open=False, state="denied"), None) == "none"
            assert await port.show(CARD, "asked r0") == "asked r0"


async def test_check_finds_nothing_where_all_is_well(trusted: Authority) -> None:
    async with mail_server(change=starttls(trusted, login=("bot", "right-one"))) as server:
        assert await EMAIL.check(remote(server, login="bot:right-one@"), tools()) == ()
        assert server.mails == []
