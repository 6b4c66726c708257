"""[channels.email]: what its URL may be, that no message repeats it, and whom the channel reaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from jit_auth.channels.email import EMAIL
from jit_auth.channels.email.settings import EmailSettings, Server, address, server_of
from jit_auth.config.load import load
from jit_auth.errors import Faults
from tests.integration.mail.kit import PEOPLE


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://127.0.0.1:1025", Server(host="127.0.0.1", port=1025, tls="offered")),
        ("smtp://localhost", Server(host="localhost", port=587, tls="offered")),
        ("smtp://[::1]:25/", Server(host="::1", port=25, tls="offered")),
        ("smtp://mail.example", Server(host="mail.example", port=587, tls="starttls")),
        ("smtp://localhost.evil.example", Server(host="localhost.evil.example", port=587, tls="starttls")),
        ("smtps://mail.example", Server(host="mail.example", port=465, tls="always")),
        ("smtps://127.0.0.1:4650", Server(host="127.0.0.1", port=4650, tls="always")),
        (
            "smtp://bot%40example.com:p%40ss%3A%2Fw@mail.example:2525",
            Server(host="mail.example", port=2525, tls="starttls", user="bot@example.com", password="p@ss:/w"),
        ),
    ],
)
def test_a_url_names_a_server(url: str, server: Server) -> None:
    assert server_of(url) == server


@pytest.mark.parametrize(
    "url",
    [
        *("", "mail.example", "http://mail.example", "smtp://", "smtp://:25", "smtp://mail.example:0"),
        *("smtp://mail.example:66000", "smtp://mail.example/inbox", "smtp://mail.example?tls=no", "smtp://m#x"),
        *("smtp://hush@mail.example", "smtp://:hush@mail.example", "smtp://bot:hush%0d%0aQUIT@mail.example"),
        *("smtp://bot:hush @mail.example", "smtp://bot:hush\n@mail.example", "smtp://[::1", "smtp://bot:h\u00fcsh@m"),
    ],
)
def test_a_url_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="smtp_url") as caught:
        server_of(url)
    assert "hush" not in str(caught.value)


def test_nothing_prints_the_password() -> None:
    url = "smtp://bot:hush@mail.example"
    assert "hush" not in repr(server_of(url)) + str(server_of(url))
    assert "hush" not in repr(EmailSettings(smtp_url=url, sender="a@b.example"))


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("approvals@example.com", True),
        ("Approvals@EXAMPLE.com", True),
        ("a@localhost", True),
        ("Jit <a@example.com>", False),
        ("a@example.com, b@example.com", False),
        ("a@example.com\r\nBcc: b@example.com", False),
        ('"a b"@example.com', False),
        ("approvals", False),
        ("", False),
    ],
)
def test_an_address_is_one_plain_address(text: str, is_one: bool) -> None:
    assert address(text) == (text.lower() if is_one else None)


def configured(tmp_path: Path, table: str, environ: dict[str, str]) -> EmailSettings:
    path = tmp_path / "config.toml"
    path.write_text(f'[vault]\nkeys = [{{ id = "k", env = "KEY" }}]\n\n{table}')
    path.chmod(0o600)
    environ = {"KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="} | environ
    assert EMAIL.settings is not None
    made = load(path, channels={"email": EMAIL.settings}, environ=environ).channels["email"]
    assert isinstance(made, EmailSettings)
    return made


def test_the_table_is_read_with_its_secret(tmp_path: Path) -> None:
    made = configured(
        tmp_path,
        '[channels.email]\nsmtp_url = { env = "SMTP" }\nfrom = "approvals@example.com"\ndetails = "none"\n',
        {"SMTP": "smtps://bot:hush@mail.example"},
    )
    assert (made.smtp_url, made.sender, made.details) == (
        "smtps://bot:hush@mail.example",
        "approvals@example.com",
        "none",
    )
    short = configured(tmp_path, '[channels.email]\nsmtp_url = "smtp://127.0.0.1:1025"\nfrom = "a@b.example"\n', {})
    assert short.details == "full"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('smtp_url = "smtp://127.0.0.1"\n', "from"),
        ('from = "a@b.example"\n', "smtp_url"),
        ('smtp_url = "smtp://127.0.0.1"\nfrom = "a@b.example"\ndetail = "none"\n', "details"),
        ('smtp_url = "smtp://127.0.0.1"\nfrom = "a@b.example"\ndetails = "some"\n', "some"),
        ('smtp_url = "smtp://127.0.0.1"\nfrom = "Ana <a@b.example>"\n', "one plain address"),
        ('smtp_url = "http://127.0.0.1"\nfrom = "a@b.example"\n', "smtp://host:port"),
        ('smtp_url = { env = "SMTP" }\nfrom = "a@b.example"\n', "smtp_url"),
    ],
)
def test_a_faulty_table_is_a_fault_with_its_line(tmp_path: Path, table: str, says: str) -> None:
    with pytest.raises(Faults, match=says) as caught:
        configured(tmp_path, f"[channels.email]\n{table}", {"SMTP": "smtp://bot:hush@mail.example/hush"})
    assert all(fault.line >= 4 for fault in caught.value.faults)
    assert "hush" not in str(caught.value)


def test_the_channel_reaches_everybody_with_an_address_each_alone() -> None:
    way = EMAIL.way(None, PEOPLE)
    assert way.name == EMAIL.name == EMAIL.person_key == "email"
    assert way.reaches("bo")
    assert way.reaches("somebody@example.com")
    assert not way.reaches("cy")
    assert not way.shared
    assert not way.everyone
