"""[issuers], [users] and people who have left: what is refused, and what a service beyond loopback needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from jit_auth.config.issuer import Issuer
from jit_auth.config.settings import Users
from tests.unit.config.kit import faults, settings

CORP = """[issuers.corp]
issuer = 'https://login.example'
client_id = 'jit-auth'
client_secret = { env = 'SECRET' }
domains = ['example.com']
"""
OIDC = "[users]\nverify = 'oidc'\nissuer = 'corp'\n"
APP = "[users]\nverify = 'app'\napp_url = 'https://app.example/confirm'\napp_secret = { env = 'SECRET' }\n"
AWAY = "[server]\npublic_url = 'https://jit.example.com'\n"
NOT_NONE = 'verify = "none" is for loopback'


def test_an_issuer_and_users_who_sign_in_there(tmp_path: Path) -> None:
    made = settings(tmp_path, CORP + OIDC)
    assert made.issuers == {
        "corp": Issuer(
            name="corp", issuer="https://login.example", client_id="jit-auth", client_secret="s3cr3t",
            domains=("example.com",),
        )
    }  # fmt: skip
    assert made.users == Users(verify="oidc", issuer="corp", consent="agent")
    assert made.loopback
    assert made.warnings == ()


def test_all_that_an_issuer_may_say(tmp_path: Path) -> None:
    text = CORP.replace("'example.com'", "'Example.COM', 'Bücher.example', 'xn--bcher-kva.example'")
    text += "user_claim = 'upn'\nscopes = ['openid', 'profile']\ntoken_auth = 'client_secret_post'\n"
    corp = settings(tmp_path, text).issuers["corp"]
    assert set(corp.domains) == {"example.com", "xn--bcher-kva.example"}
    assert (corp.user_claim, corp.scopes, corp.token_auth) == ("upn", ("openid", "profile"), "client_secret_post")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("https://login.example", "http://login.example", "3: issuers.corp: An issuer is an https URL"),
        ("https://login.example", "https://login.example/?t=1", "3: issuers.corp: An issuer is an https URL"),
        ("https://login.example", "https://login.example/#x", "3: issuers.corp: An issuer is an https URL"),
        ("https://login.example", "https://u@login.example", "3: issuers.corp: An issuer is an https URL"),
        ("https://login.example", "login.example", "3: issuers.corp: An issuer is an https URL"),
        ("'jit-auth'", "''", "3: issuers.corp: An issuer has a client_id"),
        ("{ env = 'SECRET' }", "{ env = 'NOT_SET' }", "6: the environment variable NOT_SET is not set"),
        ("['example.com']", "[]", "7: issuers.corp.domains: empty"),
        ("['example.com']", "['example']", "7: 'example' is no domain"),
        ("['example.com']", "['*.example.com']", "7: '*.example.com' is no domain"),
        ("['example.com']", "['ana@example.com']", "7: 'ana@example.com' is no domain"),
        ("['example.com']", "['https://example.com']", "7: 'https://example.com' is no domain"),
        ("['example.com']", "['example.com.']", "7: 'example.com.' is no domain"),
        ("['example.com']", "['a b.example']", "7: 'a b.example' is no domain"),
        ("domains = ['example.com']\n", "", "3: missing key 'domains' in [issuers.corp]"),
        ("domains", "domain", "7: unknown key 'domain' in [issuers.corp] (did you mean 'domains'?)"),
        ("[issuers.corp]", "[issuers.Corp]", "3: issuers.Corp: The name of an issuer"),
        ("[issuers.corp]", "[issuers.'a/b']", "3: issuers.a/b: The name of an issuer"),
        ("client_id", "user_claim = ''\nclient_id", "3: issuers.corp: An issuer has a client_id and a user_claim"),
        ("client_id", "scopes = ['email']\nclient_id", "3: issuers.corp: The scopes of an issuer hold `openid`"),
        ("client_id", "token_auth = 'none'\nclient_id", "5: issuers.corp.token_auth: invalid enum value 'none'"),
        ("client_id", "audiences = []\nclient_id", "5: unknown key 'audiences' in [issuers.corp]"),
    ],
)
def test_what_no_issuer_is(tmp_path: Path, old: str, new: str, told: str) -> None:
    found = faults(tmp_path, CORP.replace(old, new, 1))
    assert [text for text in found if text.startswith(told)], found


def test_each_domain_is_one_issuers(tmp_path: Path) -> None:
    other = CORP.replace("issuers.corp", "issuers.partner").replace("'example.com'", "'partner.example', 'EXAMPLE.com'")
    assert faults(tmp_path, CORP + other) == ["12: 'example.com' is a domain of the issuer corp: of one alone"]
    assert set(settings(tmp_path, CORP + other.replace(", 'EXAMPLE.com'", "")).issuers) == {"corp", "partner"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[users]\nverify = 'oidc'\n", '4: users.issuer is needed for verify = "oidc"'),
        ("[users]\nverify = 'app'\n", '4: users.app_url is needed for verify = "app"'),
        ("[users]\nverify = 'app'\n", '4: users.app_secret is needed for verify = "app"'),
        ("[users]\nverify = 'email'\n", '4: verify = "email" mails codes: it needs [channels.email]'),
        ("[users]\nverify = 'mail'\n", "4: users.verify: invalid enum value 'mail'"),
        (OIDC, "5: users.issuer: there is no [issuers.corp]"),
        (OIDC.replace("corp", "crop") + CORP, "5: users.issuer: there is no [issuers.crop] (did you mean 'corp'?)"),
        (APP.replace("https:", "http:"), "5: users.app_url: https is required unless it is loopback"),
        (APP.replace("https://app", "https://u@app"), "5: users.app_url: a user in a URL is refused"),
        (APP.replace("/confirm", "/a/../b"), "5: users.app_url: its path holds a dot segment"),
        (APP.replace("https://app.example/confirm", "/confirm"), "5: users.app_url: expected an absolute"),
        (APP.replace("env = 'SECRET'", "env = 'NOT_SET'"), "6: the environment variable NOT_SET is not set"),
        ("[users]\nverfy = 'oidc'\n", "4: unknown key 'verfy' in [users] (did you mean 'verify'?)"),
    ],
)
def test_how_users_cannot_be_verified(tmp_path: Path, text: str, told: str) -> None:
    found = faults(tmp_path, text)
    assert [line for line in found if line.startswith(told)], found


def test_the_calling_application_may_vouch_for_users(tmp_path: Path) -> None:
    users = settings(tmp_path, APP).users
    assert (users.verify, users.app_url, users.app_secret) == ("app", "https://app.example/confirm", "s3cr3t")
    local = APP.replace("https://app.example", "http://127.0.0.1:9000")
    assert settings(tmp_path, local).users.app_url == "http://127.0.0.1:9000/confirm"


def test_secrets_of_the_sign_in_are_not_printed(tmp_path: Path) -> None:
    made = settings(tmp_path, CORP + OIDC)
    app = settings(tmp_path, APP)
    shown = f"{made!r} {made!s} {made.issuers!r} {made.users!r} {app.users!r} {app.users!s}"
    assert "s3cr3t" not in shown


# Beyond loopback


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (AWAY, f"4: {NOT_NONE}"),
        (AWAY + "[users]\nconsent = 'agent'\n", f"4: {NOT_NONE}"),
        (AWAY + "[users]\nverify = 'none'\n", f"6: {NOT_NONE}"),
        ("[server]\nlisten = '0.0.0.0:8080'\n", f"4: {NOT_NONE}"),
        ("[server]\nlisten = '192.168.1.2:8080'\n", f"4: {NOT_NONE}"),
        ("[server]\npublic_url = 'http://127.0.0.1.evil.example'\n", f"4: {NOT_NONE}"),
        ("[server]\npublic_url = 'http://localhost.evil.example'\n", f"4: {NOT_NONE}"),
        ("[server]\nlisten = '0.0.0.0:8080'\n", "3: server.public_url: https is required unless all is loopback"),
        ("[server]\npublic_url = 'http://jit.example.com'\n", "4: server.public_url: https is required"),
        (AWAY + "admin_tokens = [{ env = 'SECRET' }]\n", "5: server.admin_tokens: nameless and all-powerful"),
        (AWAY + CORP.replace("{ env = 'SECRET' }", "'literal'"), "8: a literal secret is for loopback only"),
        (AWAY + APP.replace("{ env = 'SECRET' }", "'literal'"), "8: a literal secret is for loopback only"),
        (AWAY + "[providers.x]\nclient_secret = 'literal'\n", "6: a literal secret is for loopback only"),
    ],
)
def test_what_is_refused_beyond_loopback(tmp_path: Path, text: str, told: str) -> None:
    found = faults(tmp_path, text)
    assert [line for line in found if line.startswith(told)], found


@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "0.0.0.0:8080", "10.1.2.3:443"])
def test_a_service_beyond_loopback(tmp_path: Path, listen: str) -> None:
    agent = "[agents.a]\nsecret_sha256 = '" + "a" * 64 + "'\n"
    made = settings(tmp_path, AWAY + f"listen = '{listen}'\n" + CORP + OIDC + agent)
    assert not made.loopback
    assert made.server.public_url == "https://jit.example.com"
    assert not made.agents["a"].trusts_users
    assert not made.agents["a"].sees_people
    assert made.warnings == ()


def test_an_address_that_cannot_be_read_is_the_only_fault(tmp_path: Path) -> None:
    assert len(faults(tmp_path, "[server]\npublic_url = 'https://jit.example.com/path'\n")) == 1


def test_secrets_that_others_can_read_are_refused_beyond_loopback(tmp_path: Path) -> None:
    secret = tmp_path / "oidc.secret"
    secret.write_text("s3cr3t")
    secret.chmod(0o640)
    text = CORP.replace("env = 'SECRET'", "file = 'oidc.secret'") + OIDC
    assert "chmod 600" in faults(tmp_path, AWAY + text)[0]
    assert "chmod 600" in settings(tmp_path, text).warnings[0]
    secret.chmod(0o600)
    assert settings(tmp_path, AWAY + text).issuers["corp"].client_secret == "s3cr3t"


# People who have left


def test_who_has_left(tmp_path: Path) -> None:
    people = settings(
        tmp_path,
        "[people.'ana@example.com']\nactive = false\naliases = ['a@example.com']\ngroups = ['finance']\n"
        "[people.'bo@example.com']\nactive = true\n[people.'cy@example.com']\n",
    ).people
    assert people.left == ("ana@example.com",)
    assert people.person("A@example.com") == "ana@example.com", "an alias is no way round it"
    assert set(people.ids) == {"ana@example.com", "bo@example.com", "cy@example.com"}


@pytest.mark.parametrize("value", ["'no'", "0", "[]"])
def test_whether_somebody_has_left_is_true_or_false(tmp_path: Path, value: str) -> None:
    (found,) = faults(tmp_path, f"[people.'ana@example.com']\nactive = {value}\n")
    assert found.startswith("4: people.ana@example.com.active: expected true or false")
