"""[users]: each way to prove who somebody is, with what it needs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from jit_auth.channels.email.settings import EmailSettings
from jit_auth.config.load import load
from jit_auth.errors import Faults
from tests.unit.config.kit import ENV, VAULT, faults, settings

APP = '[users]\nverify = "app"\napp_url = "{}"\napp_secret = {{ env = "SECRET" }}\n'
ISSUER = '[issuers.corp]\nissuer = "https://login.example"\nclient_id = "c"\nclient_secret = "s"\n'
ISSUER += 'domains = ["example.com"]\n'
PUBLIC = '[server]\npublic_url = "https://jit.example"\nlisten = "127.0.0.1:8080"\n'


def test_the_default_is_none_on_loopback(tmp_path: Path) -> None:
    made = settings(tmp_path, "")
    assert (made.users.verify, made.users.issuer, made.users.app_url, made.users.app_secret) == ("none", "", "", "")


def test_oidc(tmp_path: Path) -> None:
    made = settings(tmp_path, '[users]\nverify = "oidc"\nissuer = "corp"\n' + ISSUER)
    assert (made.users.verify, made.users.issuer) == ("oidc", "corp")


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example/confirm",
        "https://app.example/confirm?from=jit",
        "https://app.example:8443",
        "http://127.0.0.1:9000/confirm",
        "http://localhost:9000/confirm",
        "http://[::1]:9000/confirm",
    ],
)
def test_app(tmp_path: Path, url: str) -> None:
    made = settings(tmp_path, APP.format(url))
    assert (made.users.verify, made.users.app_url, made.users.app_secret) == ("app", url, "s3cr3t")
    assert "s3cr3t" not in repr(made.users)


def test_email(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    channel = '[channels.email]\nsmtp_url = "smtp://127.0.0.1:25"\nfrom = "jit@example.com"\n'
    path.write_text(VAULT + '[users]\nverify = "email"\n' + channel)
    path.chmod(0o600)
    assert load(path, channels={"email": EmailSettings}, environ=ENV).users.verify == "email"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # Without what it needs.
        ('verify = "oidc"\n', '4: users.issuer is needed for verify = "oidc"'),
        ('verify = "app"\n', '4: users.app_url is needed for verify = "app"'),
        ('verify = "app"\napp_url = "https://a.example/c"\n', '4: users.app_secret is needed for verify = "app"'),
        ('verify = "app"\napp_secret = "s"\n', '4: users.app_url is needed for verify = "app"'),
        ('verify = "email"\n', '4: verify = "email" mails codes: it needs [channels.email]'),
        ('verify = "oidc"\nissuer = "crop"\n' + ISSUER, "5: users.issuer: there is no [issuers.crop] (did you mean"),
        # Words that are none.
        ('verify = "mail"\n', "4: users.verify: invalid enum value 'mail'"),
        ('verify = ""\n', "4: users.verify: invalid enum value ''"),
        ("verify = false\n", "4: users.verify"),
        ('app_uri = "x"\n', "4: unknown key 'app_uri' in [users] (did you mean 'app_url'?)"),
    ],
)  # fmt: skip
def test_faults(tmp_path: Path, text: str, told: str) -> None:
    found = faults(tmp_path, "[users]\n" + text)
    assert [each for each in found if each.startswith(told)], found


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ('app_url = "https://a.example/c"\n', "app_url"),
        ('app_secret = { env = "NOT_SET" }\n', "app_secret"),
        ('issuer = "corp"\n' + ISSUER, "issuer"),
        ('verify = "oidc"\nissuer = "corp"\napp_url = "https://a.example/c"\n' + ISSUER, "app_url"),
        ('verify = "app"\napp_url = "https://a.example/c"\napp_secret = "s"\nissuer = "corp"\n' + ISSUER, "issuer"),
    ],
)
def test_what_belongs_to_another_way_counts_for_nothing_and_is_told(tmp_path: Path, text: str, unused: str) -> None:
    made = settings(tmp_path, "[users]\n" + text)
    assert getattr(made.users, unused) == ""
    assert f'[users] {unused} is not for verify = "{made.users.verify}" and counts for nothing' in made.warnings


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://app.example/confirm", "https is required unless it is loopback"),
        ("http://10.0.0.1/confirm", "https is required unless it is loopback"),
        ("http://127.0.0.1.evil.example/confirm", "https is required unless it is loopback"),
        ("http://localhost.evil.example/confirm", "https is required unless it is loopback"),
        ("https://user@app.example/confirm", "a user in a URL"),
        ("https://app.example/confirm#x", "a fragment in a URL"),
        ("https://app.example/a/../confirm", "a dot segment"),
        ("https://app.example/a/%2e%2e/confirm", "a dot segment"),
        ("https://*.example/confirm", "no host name or address"),
        ("https://app.example/confirm?nonce=1", "its query names nonce or ticket"),
        ("https://app.example/confirm?x=1&ticket", "its query names nonce or ticket"),
        ("ftp://app.example/confirm", "an absolute http:// or https:// URL"),
        ("/confirm", "an absolute http:// or https:// URL"),
        ("https://app.ex\u00e4mple/confirm", "visible ASCII"),
        ("https://app.example/a b", "visible ASCII"),
        ("", "an absolute http:// or https:// URL"),
    ],
)
def test_app_urls_that_are_refused(tmp_path: Path, url: str, why: str) -> None:
    (found,) = faults(tmp_path, APP.format(url))
    assert found.startswith("5: users.app_url: ")
    assert why in found


def test_the_applications_secret_is_nobody_elses(tmp_path: Path) -> None:
    """An agent with that very token would confirm its own consents (THREAT_MODEL 15)."""
    agent = f"[agents.a]\nsecret_sha256 = '{hashlib.sha256(b's3cr3t').hexdigest()}'\n"
    (found,) = faults(tmp_path, APP.format("https://app.example/c") + agent)
    assert found == "6: users.app_secret is the token of an agent or operator: it has to be one alone"
    admin = '[server]\nadmin_tokens = ["s3cr3t"]\n'
    assert "is the token of an agent or operator" in faults(tmp_path, APP.format("https://app.example/c") + admin)[0]


def test_beyond_loopback(tmp_path: Path) -> None:
    found = faults(tmp_path, PUBLIC)
    assert [each for each in found if 'verify = "none" is for loopback' in each]
    found = faults(tmp_path, PUBLIC + APP.format("https://app.example/c"))
    assert [each for each in found if "users.app_secret is short" in each]
    with pytest.raises(Faults) as wrong:
        settings(
            tmp_path, PUBLIC + '[users]\nverify = "app"\napp_url = "https://a.example/c"\napp_secret = "literal"\n'
        )
    assert "a literal secret is for loopback only" in str(wrong.value)
    assert '"literal"' not in str(wrong.value)
