"""config.toml: everything resolved, or every fault with its line; secrets nowhere else."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import fields

from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.config import tables
from jit_auth.config.load import load, policy_texts
from jit_auth.config.people import PersonTable
from jit_auth.config.signing import signing_text
from jit_auth.core.toml import read
from jit_auth.errors import Faults
from tests.unit.config.kit import ENV, KEY, SHA, VAULT, faults, settings


def test_the_smallest_configuration(tmp_path: Path) -> None:
    made = settings(tmp_path, "")
    assert made.loopback
    assert made.base == tmp_path
    assert (made.server.public_url, made.server.host, made.server.listen) == (
        "http://127.0.0.1:8080", "127.0.0.1", ("127.0.0.1", 8080))  # fmt: skip
    assert made.server.environment == "dev"
    assert made.storage.url == "sqlite:///jit-auth.db"
    assert made.vault.keys == (("k", bytes(32)),)
    assert (made.users.verify, made.users.consent) == ("none", "agent")
    assert msgspec.structs.asdict(made.limits) == {
        "open_per_agent": 1_000, "asks_per_person_hour": 60, "deny_cooldown": 600_000,
        "approved_send_within": 900_000, "send_window": 5_000,
    }  # fmt: skip
    assert (made.channels, made.webhooks, made.callback_secrets, made.users.notify) == ({}, {}, {}, ())
    assert made.vias == ("page",)
    assert made.warnings == ()
    assert (made.agents, made.providers, made.connectors.paths, made.policies.paths) == ({}, {}, (), ())


def test_everything_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    (tmp_path / "secret").chmod(0o600)
    made = settings(
        tmp_path,
        f"""
[server]
public_url = "http://LOCALHOST:9000/"
listen = "[::1]:9000"
environment = "test"
hosts = ["Other.Example"]
trusted_proxies = ["10.0.0.0/8"]
admin_tokens = [{{ env = "SECRET" }}, {{ command = ["printf", "from-command"] }}]
[storage]
url = "postgresql://user@127.0.0.1/db"
[agents.mailbot]
secret_sha256 = "{SHA}"
actions = ["mailhub.*"]
users = ["*", "ALICE@example.com", "ana.rossi@example.com"]
trusts_users = false
owners = ["Ana@Example.com"]
sees_people = false
return_urls = ["http://127.0.0.1:9000/"]
[users]
consent = "shared"
[people."ANA@example.com"]
aliases = ["ana.rossi@example.com"]
[providers.mailhub]
client_id = "i"
client_secret = {{ file = "secret" }}
hosts = ["a.example"]
inject = {{ query = "t" }}
[connectors]
paths = ["c", "/abs"]
allow_private_hosts = ["127.0.0.1", "Intra.Example", "10.0.0.0/8", "*.lab.example"]
[policies]
paths = ["p.toml"]
[limits]
approved_send_within = "1h"
""",
    )
    assert (made.server.public_url, made.server.host, made.server.listen) == (
        "http://localhost:9000", "localhost", ("::1", 9000))  # fmt: skip
    assert made.server.hosts == ("other.example",)
    digests = tuple(hashlib.sha256(text).hexdigest() for text in (b"s3cr3t", b"from-command"))
    assert made.server.admin_token_sha256 == digests
    agent = made.agents["mailbot"]
    assert agent.users == ("*", "alice@example.com", "ana@example.com")
    assert agent.owners == ("ana@example.com",)
    assert not agent.trusts_users
    assert not agent.sees_people
    assert made.providers["mailhub"]["client_secret"] == "from-file"
    assert set(made.providers["mailhub"]) == {"client_id", "client_secret", "hosts", "inject"}
    assert made.connectors.paths == (tmp_path / "c", Path("/abs"))
    assert made.connectors.allow_private_hosts == ("127.0.0.1", "intra.example", "10.0.0.0/8", "*.lab.example")
    assert made.policies.paths == (tmp_path / "p.toml",)
    assert made.limits.approved_send_within == 3_600_000
    assert [warning for warning in made.warnings if "mailbot may act for anyone" in warning]


def test_metrics_may_have_an_address_of_their_own(tmp_path: Path) -> None:
    assert settings(tmp_path, "").server.metrics_listen is None
    made = settings(tmp_path, "[server]\nmetrics_listen = '127.0.0.1:9464'\n")
    assert (made.server.metrics_listen, made.loopback, made.warnings) == (("127.0.0.1", 9464), True, ())
    made = settings(tmp_path, "[server]\nmetrics_listen = '0.0.0.0:9464'\n")
    assert made.loopback  # what is asked of a service for real people hangs on its own address
    assert ["metrics_listen" in warning for warning in made.warnings] == [True]


AGENT = f"[agents.a]\nsecret_sha256 = '{SHA}'\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sevrer]\n", "3: unknown key 'sevrer' (did you mean 'server'?)"),
        ("[server]\nlisten_on = ''\n", "4: unknown key 'listen_on' in [server] (did you mean 'listen'?)"),
        ("[retention]\nparam = '1d'\n", "4: unknown key 'param'"),
        ("[retention]\nparams = '1 day'\n", '4: retention.params: expected a duration such as "30d"'),
        ("[admins.olga]\nrole = 'operator'\n", "3: missing key 'secret_sha256' in [admins.olga]"),
        (f"[admins.olga]\nsecret_sha256 = '{SHA}'\n", "3: missing key 'role' in [admins.olga]"),
        (f"[admins.olga]\nsecret_sha256 = '{SHA}'\nrole = 'root'\n", "5: "),
        ("[admins.olga]\nsecret_sha256 = 'x'\nrole = 'viewer'\n", "4: admins.olga.secret_sha256: expected 64"),
        (f"[admins.'o l']\nsecret_sha256 = '{SHA}'\nrole = 'viewer'\n", "3: 'o l' is no name of an admin"),
        (AGENT + f"[admins.olga]\nsecret_sha256 = '{SHA}'\nrole = 'viewer'\n",
         "6: admins.olga.secret_sha256 is an agent's, too"),
        ("".join(f"[admins.{name}]\nsecret_sha256 = '{SHA}'\nrole = 'viewer'\n" for name in "ab"),
         "7: the admins a and b share a secret"),
        (f"[server]\nadmin_tokens = ['x']\n[admins.token-1]\nsecret_sha256 = '{SHA}'\nrole = 'viewer'\n",
         "5: token-1 is the name of one of [server] admin_tokens"),
        *[(AGENT + f"{key} = 1\n", f"5: unknown key '{key}' in [agents.a]") for key in (
            "jwks", "oidc", "mtls")],
        ("[providers.x]\nkey_file = 'x'\n", "4: unknown key 'key_file' in [providers.x]"),
        ("[server]\nmetrics_listen = 'x'\n", "4: server.metrics_listen: expected HOST:PORT"),
        ("[server]\nmetrics_listen = '127.0.0.1:8080'\n", "4: server.metrics_listen: `listen` has this address"),
        ("[server]\nlisten = 'x'\n", "4: server.listen: expected HOST:PORT"),
        ("[server]\nlisten = '::1:8080'\n", "4: server.listen: expected HOST:PORT"),
        ("[server]\nlisten = '127.0.0.1:99999'\n", "4: server.listen: a port is at most 65535"),
        ("[server]\npublic_url = 'ftp://x'\n", "4: server.public_url: expected an absolute"),
        ("[server]\npublic_url = 'http://u@localhost'\n", "4: server.public_url: a user in a URL"),
        ("[server]\npublic_url = 'http://localhost/x'\n", "4: server.public_url: it is scheme, host and port alone"),
        ("[server]\nhosts = ['a:80']\n", "4: server.hosts: 'a:80' is no host name"),
        ("[server]\ntrusted_proxies = ['x']\n", "4: 'x' is no address or network"),
        ("[storage]\nurl = 'mysql://x'\n", "4: storage.url: expected sqlite:///FILE"),
        ("[storage]\nurl = 'sqlite://x'\n", "4: storage.url: expected sqlite:///FILE"),
        ("[agents.a]\nsecret_sha256 = 'x'\n", "4: agents.a.secret_sha256: expected 64 lower-case hex digits"),
        (f"[agents.a]\nsecret_sha256 = '{SHA.upper()}'\n", "4: agents.a.secret_sha256: expected 64 lower-case"),
        ("[agents.a]\n", "3: missing key 'secret_sha256' in [agents.a]"),
        (f"[agents.'a:b']\nsecret_sha256 = '{SHA}'\n", "3: 'a:b' is no name of an agent"),
        (AGENT + AGENT.replace("[agents.a]", "[agents.b]"), "6: the agents a and b share a"),
        (AGENT + "actions = ['a b']\n", "5: 'a b' is no name or glob of actions"),
        (AGENT + "users = ['delegated']\n", "5: 'delegated': This is no id of a person."),
        (AGENT + "owners = ['*']\n", "5: '*': This is no id of a person."),
        (AGENT + "return_urls = ['http://x']\n", "5: agents.a.return_urls: a URL prefix ends"),
        (AGENT + "return_urls = ['http://x/..%2f/']\n", "5: agents.a.return_urls: a URL prefix"),
        (AGENT + "return_urls = ['http://g@x/']\n", "5: agents.a.return_urls: a user in"),
        ("[connectors]\nallow_private_hosts = ['a/b']\n", "4: 'a/b' is no host name, address or network"),
        ("[limits]\napproved_send_within = '0s'\n", "4: limits.approved_send_within: expected a duration"),
        ("[limits]\napproved_send_within = 'soon'\n", "4: limits.approved_send_within: expected a duration"),
        ("[people.'group:x']\n", "3: 'group:x': This is no id of a person."),
        ("[people.ana]\nslak = 'x'\n", "4: unknown key 'slak' in [people.ana] (did you mean 'slack'?)"),
    ],
)  # fmt: skip
def test_faults(tmp_path: Path, text: str, told: str) -> None:
    assert [fault for fault in faults(tmp_path, text) if fault.startswith(told)]


def test_all_faults_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    found = faults(tmp_path, "[storage]\nurl = 'x'\n[server]\nlisten = 'x'\npublic_url = 'x'\n[people.'*']\n")
    assert [fault.split(":")[0] for fault in found] == ["4", "6", "7", "8"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "[::1]"])
def test_what_is_loopback(tmp_path: Path, host: str) -> None:
    assert settings(tmp_path, f"[server]\npublic_url = 'http://{host}:1'\nlisten = '{host}:1'\n").loopback


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [("http://LocalHost:80/", "http://localhost"), ("http://[::1]:8080", "http://[::1]:8080"),
     ("https://127.0.0.1:443", "https://127.0.0.1"), ("http://127.0.0.1:443", "http://127.0.0.1:443")],
)  # fmt: skip
def test_the_public_url_is_an_origin_as_browsers_write_it(tmp_path: Path, public_url: str, origin: str) -> None:
    assert settings(tmp_path, f"[server]\npublic_url = '{public_url}'\n").server.public_url == origin


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(Faults, match=r"config\.toml:0: cannot be read: No such file"):
        load(tmp_path / "config.toml")
    (tmp_path / "config.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(Faults, match="is not UTF-8"):
        load(tmp_path / "config.toml")


def test_policy_files_are_read_as_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = settings(tmp_path, "[policies]\npaths = ['p.toml', 'q.toml']\n")
    (tmp_path / "p.toml").write_text("format = 1\n")
    with pytest.raises(Faults, match=r"config\.toml:4: .*q\.toml: cannot be read"):
        policy_texts(made)
    (tmp_path / "q.toml").write_text("x")
    assert policy_texts(made) == [("p.toml", "format = 1\n"), ("q.toml", "x")]


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("{ env = 'NOT_SET' }", "the environment variable NOT_SET is not set"),
        ("{ file = 'nothing' }", "cannot be read: No such file"),
        ("{ command = ['false'] }", "the secret's command false failed: exit 1"),
        ("{ command = ['/nothing/there'] }", "the secret's command /nothing/there failed"),
        ("{ command = ['true'] }", "the secret is empty"),
        ("{ command = [] }", "command names a program"),
        ("{ env = 'A', file = 'b' }", "a secret is exactly one of env, file, command"),
        ("{}", "a secret is exactly one of env, file, command"),
        ("{ evn = 'A' }", "unknown key 'evn'"),
        ("1", "expected a string or a table"),
        ("''", "the secret is empty"),
    ],
)
def test_secrets_that_are_none(tmp_path: Path, secret: str, told: str) -> None:
    found = faults(tmp_path, f"[providers.x]\nclient_secret = {secret}\n")
    assert any(text.startswith("4: ") and told in text for text in found)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("[]", "at least one key is needed"),
        ("[{ id = 'a', env = 'SECRET' }]", "the key 'a' is no base64"),
        ("[{ id = 'a', command = ['printf', 'YWJj'] }]", "the key 'a' has 3 bytes, not 32"),
        ("[{ id = 'a', env = 'KEY' }, { id = 'a', env = 'KEY' }]", "'a' is used twice"),
        ("[{ id = '', env = 'KEY' }]", "'' is no id of a key"),
        ("[{ id = 'a' }]", "a secret is exactly one of env, file, command"),
        ("[{ id = 'a', value = 'x' }]", "unknown key 'value'"),
    ],
)
def test_vault_keys_that_are_none(tmp_path: Path, keys: str, told: str) -> None:
    assert any(told in text for text in faults(tmp_path, "", vault=f"[vault]\nkeys = {keys}\n"))


def test_no_key_no_start(tmp_path: Path) -> None:
    assert faults(tmp_path, "", vault="\n\n") == ["1: missing key 'vault'"]


def test_secrets_stay_out_of_faults_and_prints(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        "[server]\nadmin_tokens = ['topsecret']\n[storage]\nurl = 'postgresql://u:topsecret@127.0.0.1/d'\n"
        "[providers.x]\nclient_secret = 'topsecret'\n",
    )
    shown = f"{made!r} {made!s} {made.storage!r} {made.vault!r} {made.server!r}"
    assert "topsecret" not in shown
    assert KEY not in shown
    assert "\\x00" not in shown
    told = faults(tmp_path, "[vault]\n", vault="[providers.x]\nclient_id = ['topsecret']\n")
    assert "topsecret" not in " ".join(told)


def test_without_secrets_nothing_is_resolved(tmp_path: Path) -> None:
    text = "[server]\nadmin_tokens = [{ env = 'NO' }]\n[providers.x]\nclient_secret = { command = ['false'] }\n"
    made = settings(tmp_path, text, secrets=False, vault="[vault]\nkeys = [{ id = 'k', env = 'NO' }]\n")
    assert made.providers["x"]["client_secret"] == ""
    assert made.server.admin_token_sha256 == ()


def test_readable_files_are_a_warning_on_loopback(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "jit-auth.db").write_bytes(b"")
    for name in ("secret", "jit-auth.db"):
        (tmp_path / name).chmod(0o644)
    made = settings(tmp_path, "[providers.x]\nclient_secret = { file = 'secret' }\n")
    assert [("secret" in text, "chmod 600" in text) for text in made.warnings] == [(False, True), (True, True)]
    for name in ("secret", "jit-auth.db"):
        (tmp_path / name).chmod(0o600)
    assert settings(tmp_path, "[providers.x]\nclient_secret = { file = 'secret' }\n").warnings == ()


def test_a_readable_configuration_with_a_literal_secret_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(VAULT + "[providers.x]\nclient_secret = 'x'\n")
    path.chmod(0o640)
    assert "which holds secrets" in load(path, environ=ENV).warnings[0]
    path.write_text(VAULT)
    assert load(path, environ=ENV).warnings == ()


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("postgresql://u:p@127.0.0.1/d", True),
        ("postgresql:///d", True),
        ("postgresql:///d?host=/run/postgresql", True),
        ("postgresql://%2Frun%2Fpostgresql/d", True),
        ("postgresql://[::1]:5432/d", True),
        ("postgresql://localhost:5432,127.0.0.1:5433/d?target_session_attrs=any", True),
        ("postgresql://u:p@db.example/d", False),
        ("postgresql://u:p@db.example/d?sslmode=require", False),
        ("postgresql://u:p@db.example/d?sslmode=prefer", False),
        ("postgresql://u:p@db.example/d?sslmode=verify-full", True),
        ("postgresql://u:p@db.example/d?sslmode=verify-full&sslmode=disable", False),
        ("postgresql://localhost,db.example/d", False),
        ("postgresql:///d?host=db.example", False),
        ("postgresql://localhost/d?hostaddr=10.0.0.1", False),
        ("postgres://u:p@10.0.0.1/d", False),
        ("sqlite:////abs/x.db", True),
    ],
)
def test_postgresql_over_a_network_is_verified(tmp_path: Path, url: str, fine: bool) -> None:
    text = f"[storage]\nurl = '{url}'\n"
    if fine:
        assert settings(tmp_path, text).storage.url == url
    else:
        assert "needs sslmode=verify-full" in faults(tmp_path, text)[0]
        made = settings(tmp_path, text + "insecure_db = true\n")
        assert "insecure_db" in " ".join(made.warnings)


EXAMPLE = Path(__file__).parents[3] / "config.example.toml"


def test_the_example_loads(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    (tmp_path / "vault-2025.key").write_text(KEY)
    (tmp_path / "github.secret").write_text("x")
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    (tmp_path / "config.toml").write_text(text)
    names = set(re.findall(r'^[^#\n]*env = "([A-Z_]+)"', text, re.MULTILINE))
    env = dict.fromkeys(names, "secret") | {"JIT_AUTH_VAULT_KEY": KEY, "MAILBOT_CALLBACK": whsec(1)}
    env |= {"JIT_AUTH_WEBHOOK_SECRET": whsec(2)}
    made = load(tmp_path / "config.toml", channels=CHANNEL_TABLES, environ=env)
    assert made.warnings == ()
    assert set(made.channels) == set(CHANNEL_TABLES)
    assert made.users.notify == ("email",)
    assert made.agents["mailbot"].users == ("alice@example.com",)
    assert [key for key, _ in made.vault.keys] == ["2026-11", "2025-11"]


def whsec(byte: int) -> str:
    return signing_text(bytes([byte]) * 32)


def test_the_example_shows_every_key_with_a_comment() -> None:
    lines = EXAMPLE.read_text().split("\n")
    document = read("config.example.toml", EXAMPLE.read_text())
    sections: dict[tuple[str, ...], type[msgspec.Struct]] = {
        ("server",): tables.ServerTable, ("admins", "olga"): tables.AdminTable,
        ("storage",): tables.StorageTable, ("vault",): tables.VaultTable,
        ("agents", "mailbot"): tables.AgentTable, ("users",): tables.UsersTable,
        ("people", "ana@example.com"): PersonTable, ("connectors",): tables.ConnectorsTable,
        ("policies",): tables.PoliciesTable, ("limits",): tables.LimitsTable,
        ("retention",): tables.RetentionTable,
        ("webhooks", "ops"): tables.WebhookTable, ("issuers", "corp"): tables.IssuerTable,
    }  # fmt: skip
    # Instead of another key that stands there: commented out.
    instead = {("channels", "slack", "app_token"), ("users", "app_url"), ("users", "app_secret")}
    for name, kind in CHANNEL_TABLES.items():
        sections["channels", name] = kind
    assert {path[0] for path in sections} | {"providers"} == {field.encode_name for field in fields(tables.File)}
    for path, kind in sections.items():
        for field in fields(kind):
            key = (*path, field.encode_name)
            if key in instead:
                assert [line for line in lines if line.startswith(f"# {field.encode_name} = ")]
                continue
            assert key in document.places, f"{key} is not in the example"
            assert lines[document.line(*key) - 2].startswith("#"), f"{key} has no comment above it"


@pytest.mark.parametrize("name", ["x" * 300, "file/config.toml", "none/config.toml", ""])
def test_what_cannot_be_opened_is_a_fault_of_its_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Faults) as wrong:
        load(tmp_path / name)
    (fault,) = wrong.value.faults
    assert fault.file.endswith(name)
    assert fault.message.startswith("cannot be read: ")
    assert ("jit-auth init" in fault.message) == (name == "none/config.toml")
