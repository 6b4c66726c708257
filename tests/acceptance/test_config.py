"""config.toml and connectors: what loads, what is refused and where."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance import files
from tests.acceptance.kit import TOKEN, Service, World, sha256

Own = Callable[..., Service]


def faults(service: Service) -> list[str]:
    """What `check` prints; `serve` says the same and does not start."""
    done = service.command("check")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def line_of(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


def test_the_files_are_fine(own: Own) -> None:
    done = own().command("check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_serve_refuses_what_check_refuses(own: Own) -> None:
    service = own({"config.toml": files.CONFIG.replace("environment", "enviroment")})
    done = service.command("serve")
    assert done.returncode == 1
    assert re.search(r"config\.toml:\d+: .*enviroment.*environment", done.stdout + done.stderr)


SPINE_TYPOS = {
    "public_url": "publik_url",
    "listen": "lissten",
    "environment": "enviroment",
    'hosts = ["jit': 'host = ["jit',
    "trusted_proxies": "trusted_proxy",
    "admin_tokens": "admin_token",
    'actions = ["mailhub.*", "echo': 'action = ["mailhub.*", "echo',
    "trusts_users = true": "trust_users = true",
    "owners = []": "owner = []",
    "sees_people = true": "see_people = true",
    "return_urls": "return_url",
    "verify": "verfy",
    "consent = ": "consents = ",
    "slack = ": "slak = ",
    "email = ": "emails = ",
    "aliases": "alias",
    'client_id = "odd"': 'clientid = "odd"',
    "allow_private_hosts": "allow_private_host",
    "approved_send_within": "approved_sent_within",
}
TABLE_TYPOS = {
    "[policies]": "[policy]",
    "[connectors]": "[connector]",
    "[limits]": "[limit]",
    "[users]": "[user]",
    "[vault]": "[vaults]",
    "[storage]": "[store]",
    "[people.": "[poeple.",
    "[providers.": "[provider.",
}


@pytest.mark.parametrize("typos", [SPINE_TYPOS, TABLE_TYPOS], ids=["keys", "tables"])
def test_unknown_keys_have_their_line_and_the_nearest_name(own: Own, typos: dict[str, str]) -> None:
    text = files.CONFIG
    for good, bad in typos.items():
        assert good in text, good
        text = text.replace(good, bad, 1)
    service = own({"config.toml": text})
    told = faults(service)
    missing = []
    for good, bad in typos.items():
        number = line_of(text, bad)
        name = bad.strip("[].").split(" ")[0]
        nearest = good.strip("[].").split(" ")[0]
        if not [
            line for line in told if re.match(rf"\S*config\.toml:{number}: ", line) and name in line and nearest in line
        ]:
            missing.append((bad, number))
    assert missing == [], "\n".join(told)


LATER = """
[agents.mailbot]
jwks = "x"
oidc = "x"
mtls = "x"
[providers.mailhub]
key_file = "x"
"""


def test_keys_of_later_stages_are_unknown(own: Own) -> None:
    text, expected, table = files.CONFIG, [], ""
    for line in LATER.strip().splitlines():
        if not line.startswith("["):
            if table in text and f"{table}  # later" not in text:
                text = text.replace(table, f"{table}\n{line}", 1)
                expected.append((line, line.split(" ")[0]))
            continue
        table = line
        if table not in text:
            text += f"\n{table}  # later\n"
            if table.split(".")[0] not in str(expected):
                expected.append((f"{table}  # later", table.strip("[]").split(".")[0]))
    told = faults(own({"config.toml": text}))
    assert len(expected) == 4
    missing = [
        line
        for line, key in expected
        if not [each for each in told if f"config.toml:{line_of(text, line)}: " in each and key in each]
    ]
    assert missing == [], "\n".join(told)


VALUES = [
    [
        ('verify = "none"', 'verify = "openid"', "verify"),
        ('consent = "agent"', 'consent = "each"', "consent"),
        ('environment = "acceptance"', "environment = 7", "environment"),
        ("trusts_users = true", 'trusts_users = "yes"', "trusts_users"),
    ],
    [
        ('approved_send_within = "15m"', 'approved_send_within = "soon"', "duration"),
        (sha256(TOKEN), "abc", "secret_sha256"),
        ('file = "corp.secret"', 'file = "no-such.secret"', "no-such.secret"),
        ('command = ["cat", "keyed.pem"]', 'command = ["no-such-program"]', "no-such-program"),
        ('{ env = "MAILHUB_SECRET" }', '{ env = "NOT_SET_ANYWHERE" }', "NOT_SET_ANYWHERE"),
        ('{ env = "JIT_AUTH_ADMIN_TOKEN" }', '{ command = ["false"] }', "false"),
        ('aliases = ["ana.rossi@example.com"]', 'aliases = ["bo@example.com"]', "bo@example.com"),
        ('[people."olga@example.com"]', '[people."olga@example.com"]\nslack = "U012ANA"', "U012ANA"),
        ('url = "sqlite:///jit-auth.db"', 'url = "mysql://x/y"', "sqlite"),
        ('listen = "127.0.0.1:{port}"', 'listen = "127.0.0.1"', "listen"),
    ],
    [
        ('[people."bo@example.com"]', '[people."requester"]', "requester"),
        ('[people."olga@example.com"]', '[people."bo:x"]', "bo:x"),
    ],
    [("[providers.corp]", "[providers.corpp]", "corp")],
    [('paths = ["policies.toml"]', 'paths = ["policy.toml"]', "policy.toml")],
    [('allow_private_hosts = ["127.0.0.1"]', 'allow_private_hosts = ["127.0.0.1/99"]', "127.0.0.1/99")],
]


@pytest.mark.parametrize("changes", VALUES)
def test_values_that_cannot_be(own: Own, changes: list[tuple[str, str, str]]) -> None:
    text = files.CONFIG
    for change, to, _ in changes:
        assert change in text, change
        text = text.replace(change, to, 1)
    told = faults(own({"config.toml": text}))
    for _, to, word in changes:
        # A key that belongs to two people may be reported at either place.
        place = r"\d+" if word == "U012ANA" else str(line_of(text, to.splitlines()[-1]))
        assert [line for line in told if re.match(rf"\S+config\.toml:{place}: ", line) and word in line], (word, told)


def test_vault_keys_are_32_bytes_of_base64(own: Own) -> None:
    for key in (base64.b64encode(b"k" * 31).decode(), "not base64 !", ""):
        service = own(env={"JIT_AUTH_VAULT_KEY": key})
        assert [line for line in faults(service) if re.match(r"\S*config\.toml:\d+: ", line)]


def test_no_key_no_start(own: Own) -> None:
    text = re.sub(r"\[vault\]\nkeys.*\n", "", files.CONFIG)
    assert faults(own({"config.toml": text}))
    assert faults(own({"config.toml": files.CONFIG.replace('[{ id = "2026-11", env = "JIT_AUTH_VAULT_KEY" }]', "[]")}))


@pytest.mark.parametrize(
    ("change", "to", "more"),
    [
        ('listen = "127.0.0.1:{port}"', 'listen = "0.0.0.0:{port}"', "https is required"),
        ('public_url = "http://127.0.0.1:{port}"', 'public_url = "https://jit.example.com"', "admin_tokens"),
        ('public_url = "http://127.0.0.1:{port}"', 'public_url = "http://jit.example.com"', "https is required"),
        ('listen = "127.0.0.1:{port}"', 'listen = "192.168.1.1:{port}"', "admin_tokens"),
    ],
)
def test_a_configuration_off_loopback_is_refused_where_links_would_decide(
    own: Own, change: str, to: str, more: str
) -> None:
    text = files.CONFIG.replace(change, to)
    service = own({"config.toml": text})
    told = faults(service)
    verify = line_of(text, 'verify = "none"')
    assert [line for line in told if re.match(rf"\S*config\.toml:{verify}: .*for loopback", line)], told
    assert [line for line in told if re.match(r"\S*config\.toml:\d+: ", line) and more in line], told
    if "0.0.0.0" in to:
        assert service.command("serve").returncode == 1


def test_localhost_and_ipv6_are_loopback(own: Own) -> None:
    for change, to in (
        ('"http://127.0.0.1:{port}"', '"http://localhost:{port}"'),
        ('"http://127.0.0.1:{port}"', '"http://[::1]:{port}"'),
        ('listen = "127.0.0.1:{port}"', 'listen = "localhost:{port}"'),
    ):
        done = own({"config.toml": files.CONFIG.replace(change, to)}).command("check")
        assert done.returncode == 0, (to, done.stdout, done.stderr)


def test_literal_secrets_are_fine_on_loopback(own: Own, world: World) -> None:
    text = files.CONFIG.replace('{ env = "MAILHUB_SECRET" }', '"a literal"').replace(
        '{ env = "JIT_AUTH_ADMIN_TOKEN" }', '"tok"'
    )
    done = own({"config.toml": text}).command("check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a literal" not in done.stdout + done.stderr


def test_broken_toml_and_a_missing_file_have_a_place(own: Own, tmp_path: Path) -> None:
    told = faults(own({"config.toml": files.CONFIG + "\nx = = 1\n"}))
    number = len(files.CONFIG.splitlines()) + 2
    assert [line for line in told if f"config.toml:{number}" in line], told
    service = own()
    (service.folder / "config.toml").unlink()
    done = service.command("check")
    assert done.returncode in (1, 2)
    assert "config.toml" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def mailhub_with(world: World, change: str, to: str) -> str:
    text = files.mailhub(world)
    assert change in text, change
    return text.replace(change, to, 1)


CONNECTOR_FAULTS = [
    ('risk = "high"', 'risc = "high"', "risk"),
    ('risk = "high"', 'risk = "higher"', "high"),
    ('effect = "create"', 'effect = "crate"', "crate"),
    ('retry = "never"', 'retry = "twice"', "twice"),
    ('method = "POST"', 'method = "SEND"', "SEND"),
    ('scopes = ["mail.send"]\n', "", "scopes"),
    ('title = "Send an e-mail"\n', "", "title"),
    ('token_auth = "client_secret_basic"', 'token_auth = "client_secret_jwt"', "token_auth"),
    ('summary = "Send to {to}: {subject}"', 'summary = "Send to {too}"', "to"),
    ('show = ["to", "subject", "body"]', 'show = ["to", "subjekt"]', "subject"),
    ('show = ["to", "subject", "body"]', 'exposes = ["extern"]', "exposes"),
    ('risk = "high"', 'risk = "high"\nreads = ["letters"]', "reads"),
    ('risk = "high"', 'risk = "high"\nclaim_timeout = "10m"', "claim_timeout"),
    ('risk = "high"', 'risk = "high"\nrun = "agent"', "run"),
    ('kind = "oauth2"', 'kind = "api_key"', "kind"),
    ('kind = "oauth2"', 'kind = "basic"', "kind"),
    ('kind = "oauth2"', 'kind = "mcp"', "kind"),
    ("manage_url = ", 'ca_file = "x"\nmanage_url = ', "ca_file"),
    ('id = "mailhub"', 'id = "mailhup"', "mailhup"),
    ('path = "/messages/{id}"', 'path = "/messages/{idd}"', "id"),
    ("maxLength = 998", "maxLenght = 998", "maxLength"),
    ('type = "string", maxLength', 'type = "sting", maxLength', "subject"),
    ('hosts = ["127.0.0.1"]', 'hosts = ["other.example"]', "hosts"),
    ("docs = ", "doc = ", "docs"),
]


def test_connector_faults_have_file_and_line(world: World, own: Own) -> None:
    changed = {}
    for number, (change, to, _) in enumerate(CONNECTOR_FAULTS):
        text = mailhub_with(world, change, to)
        if "mailhup" not in to:
            text = text.replace('id = "mailhub"', f'id = "c{number}"')
        changed[f"connectors/c{number}/connector.toml"] = text
    told = faults(own(changed))
    missing = []
    for number, (_, to, word) in enumerate(CONNECTOR_FAULTS):
        about = [line for line in told if re.match(rf"\S*/c{number}/connector\.toml:\d+: ", line)]
        if not [line for line in about if word in line]:
            missing.append((to, about))
    assert missing == []


def test_a_shared_provider_must_list_the_connector(own: Own, world: World) -> None:
    thief = files.shared(world).replace('id = "shared"', 'id = "thief"')
    told = faults(own({"connectors/thief/connector.toml": thief}))
    assert [line for line in told if "thief/connector.toml:" in line and "corp" in line], told


def test_a_host_outside_its_providers_is_refused(own: Own, world: World) -> None:
    evil = files.shared(world).replace(f'base_url = "{world.upstream.url}/shared"', 'base_url = "https://evil.example"')
    assert [line for line in faults(own({"connectors/shared/connector.toml": evil})) if "evil.example" in line]


def test_plain_http_only_to_allowed_hosts(own: Own, world: World) -> None:
    told = faults(
        own({"config.toml": files.CONFIG.replace('allow_private_hosts = ["127.0.0.1"]', "allow_private_hosts = []")})
    )
    assert [line for line in told if "connector.toml:" in line], told


def test_private_addresses_are_refused(own: Own, world: World, person: str) -> None:
    """Each at load, or `address_refused` at once; 127.0.0.1 alone is allowed."""
    hosts = [
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.2]",
        "2130706434",
        "0x7f.2",
        "0.0.0.0",
        "127.0.0.2",
        "[fd00::1]",
    ]
    changed = {}
    for number, host in enumerate(hosts):
        text = (
            files.echo(world)
            .replace(world.upstream.url, f"https://{host}")
            .replace('id = "echo"', f'id = "echo{number}"')
        )
        changed[f"connectors/echo{number}/connector.toml"] = text
    service = own(changed)
    refused = service.command("check")
    for number in range(len(hosts)):
        if f"/echo{number}/connector.toml:" in refused.stdout + refused.stderr:
            (service.folder / f"connectors/echo{number}/connector.toml").unlink()
            (service.folder / f"connectors/echo{number}").rmdir()
            hosts[number] = ""
    service.write("config.toml", files.CONFIG.replace('"echo.*"', '"echo*.*"'))
    service.write("policies.toml", files.POLICIES + '[[rule]]\nid = "all"\nmatch = ["echo*.look"]\neffect = "allow"\n')
    service.start()
    for number, host in enumerate(hosts):
        if host:
            told = service.agent.execute(f"echo{number}.look", person).json
            assert (told["status"], told["error"]["code"]) == ("failed", "address_refused"), host
