"""Providers with one credential for all users, and authorities of one's own: what files may say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jit_auth.catalog.kinds import ProviderKind
from jit_auth.catalog.load import Catalog, load
from jit_auth.catalog.provider import public
from jit_auth.config.settings import Agent
from jit_auth.core.toml import read
from jit_auth.credentials import KINDS
from jit_auth.credentials.supplied import unsupplied
from jit_auth.errors import Faults
from tests.fakes.authority import Authority
from tests.unit.catalog.kit import ACTION, HEAD, faults, load_from, mailhub, write

KEY = "[provider]\nkind = 'api_key'\n"
BASIC = "[provider]\nkind = 'basic'\n"
PLAIN = ACTION.replace('scopes = ["mail.send"]\n', "")
SECRET = {"secret": "w0rd-of-mouth"}


def shared(folder: Path, provider: str = KEY, **more: object) -> Catalog:
    return mailhub(folder, provider=provider, action=PLAIN, clients={"mailhub": SECRET}, **more)


@pytest.mark.parametrize(
    ("inject", "place"),
    [
        ("", ("header", "authorization")),
        ("inject = { header = 'X-Api-Key', value = '{secret}' }\n", ("header", "x-api-key")),
        ("inject = { header = 'X-Api-Key' }\n", ("header", "x-api-key")),
        ("inject = { query = 'key' }\n", ("query", "key")),
    ],
)
def test_a_key_goes_where_the_data_says(tmp_path: Path, inject: str, place: tuple[str, str]) -> None:
    found = shared(tmp_path, KEY + inject).providers["mailhub"]
    assert (found.secret, found.hosts) == ("w0rd-of-mouth", ("api.mailhub.example",))
    where, name = place
    told = faults(tmp_path / "taken", provider=KEY + inject, action=PLAIN + f"params.{name} = {{ in = '{where}' }}\n")
    assert any("is the name that carries the credential" in text for text in told)


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        (KEY + "inject = { header = 'X-Key', value = '{token}' }\n", "7: inject: value holds {secret} once"),
        (KEY + "inject = { header = 'X-Key', value = 'k' }\n", "7: inject: value holds {secret} once"),
        (KEY + "inject = { query = 'key', value = 'x{secret}' }\n", "7: inject: a query parameter"),
        (KEY + "inject = { query = '' }\n", "7: inject: a query parameter"),
        (KEY + "inject = { header = 'X-Key', query = 'key' }\n", "7: inject: a credential goes to one place"),
        (KEY + "inject = { header = 'Content-Length' }\n", "7: inject: 'Content-Length' is not a place"),
        (KEY + "inject = { header = 'Upgrade' }\n", "7: inject: 'Upgrade' is not a place"),
        (BASIC + "inject = { header = 'X-Key' }\n", "7: inject: means nothing to a provider of kind basic"),
        (KEY + "token_url = 'https://api.mailhub.example/t'\n", "7: token_url: means nothing to a provider of kind"),
        (KEY + "base_scopes = ['a']\n", "7: base_scopes: means nothing"),
        (KEY + "secret = 'in a connector'\n", "7: unknown key 'secret'"),
        (KEY + "username = 'x'\n", "7: unknown key 'username'"),
        (KEY + "ca_file = 'none.pem'\n", "7: ca_file: "),
        (KEY + "hosts = ['other.example']\n", "4: base_url: api.mailhub.example is not among the provider's"),
    ],
)
def test_faults(tmp_path: Path, provider: str, told: str) -> None:
    assert [text for text in faults(tmp_path, provider=provider, action=PLAIN) if text.startswith(told)]


def test_an_idempotency_header_is_not_the_key_s(tmp_path: Path) -> None:
    told = faults(tmp_path, provider=KEY + "inject = { header = 'X-Key' }\n", action=PLAIN + "retry = 'key:X-Key'\n")
    assert any("'X-Key' is the name that carries the credential" in text for text in told)


def test_there_are_no_scopes_and_no_accounts(tmp_path: Path) -> None:
    assert any("of kind api_key has no scopes" in text for text in faults(tmp_path, provider=KEY))
    head = HEAD.replace("api.mail", "{account.name}.mail")
    told = faults(tmp_path, head=head, provider=KEY + "hosts = ['*.mailhub.example']\n", action=PLAIN)
    assert "4: base_url: with a provider of kind api_key there are no accounts" in told


@pytest.mark.parametrize(
    ("provider", "client", "told"),
    [
        (KEY, {"username": "x", **SECRET}, "c.toml:3: providers.mailhub.username: means nothing"),
        (KEY, {"client_id": "x", **SECRET}, "c.toml:5: providers.mailhub.client_id: means nothing"),
        (KEY, {"secret": "tiny"}, "c.toml:2: providers.mailhub.secret: has 6 to 8192 characters"),
        (KEY, {"secret": "zwölf Zeichen"}, "c.toml:2: providers.mailhub.secret: is visible ASCII"),
        (BASIC, {"username": "a:b", **SECRET}, "c.toml:3: providers.mailhub.username: has no colon"),
        (BASIC, {"username": "", **SECRET}, "c.toml:3: providers.mailhub.username: has no colon"),
        (
            KEY,
            {"ca_file": "/nowhere.pem", **SECRET},
            "c.toml:4: providers.mailhub.ca_file: /nowhere.pem cannot be read",
        ),
    ],
)
def test_faults_of_the_configuration(tmp_path: Path, provider: str, client: dict[str, str], told: str) -> None:
    write(tmp_path, HEAD + provider + PLAIN)
    config = read(
        "c.toml",
        "[providers.mailhub]\nsecret = 's'\nusername = 'u'\nca_file = 'f'\nclient_id = 'c'\nclient_secret = ''\n",
    )
    with pytest.raises(Faults) as wrong:
        load(
            [tmp_path], {"mailhub": client}, public_url="", allow_private=(), shipped=False, kinds=KINDS, config=config
        )
    assert [str(fault) for fault in wrong.value.faults if str(fault).startswith(told)]
    assert not any(client.get("secret", "-") in str(fault) for fault in wrong.value.faults)


def test_an_oauth_client_s_secret_has_another_name(tmp_path: Path) -> None:
    with pytest.raises(
        Faults, match=r"secret: means nothing to a provider of kind oauth2 \(did you mean 'client_secret'"
    ):
        mailhub(tmp_path, clients={"mailhub": SECRET})


def test_the_secret_decides_nothing_and_the_authorities_do(tmp_path: Path) -> None:
    one = shared(tmp_path / "a")
    two = mailhub(tmp_path / "b", provider=KEY, action=PLAIN, clients={"mailhub": {"secret": "another-word"}})
    assert one.hash == two.hash
    assert "w0rd" not in f"{public(one.providers['mailhub'])}{one.providers['mailhub']!r}"
    authority = Authority.make(tmp_path)
    for folder, file in (("c", "x.pem"), ("d", "y.pem")):
        write(tmp_path / folder, authority.pem, file=file)
    three = shared(tmp_path / "c", KEY + "ca_file = 'x.pem'\n")
    four = shared(tmp_path / "d", KEY + "ca_file = 'y.pem'\n")
    assert three.hash == four.hash != one.hash


def test_authorities_come_from_beside_the_file_that_names_them(tmp_path: Path) -> None:
    authority, other = Authority.make(tmp_path), Authority.make(tmp_path)
    write(tmp_path / "a", f"A note.\n{authority.pem}{other.pem}{authority.pem}", file="ca.pem")
    found = shared(tmp_path / "a", KEY + "ca_file = 'ca.pem'\n").providers["mailhub"]
    assert found.ca == authority.pem + other.pem
    write(tmp_path, "ca_file = 'hub.pem'\nkind = 'api_key'\nhosts = ['api.mailhub.example']\n", "hub", "provider.toml")
    write(tmp_path, other.pem, "hub", "hub.pem")
    write(tmp_path, HEAD + "provider = 'hub'\n" + PLAIN)
    assert load_from(tmp_path).providers["hub"].ca == other.pem


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no certificate in PEM"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds a certificate that cannot be read"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "holds a certificate that cannot be read"),
        ("x" * ((1 << 20) + 1), "is larger than 1 MiB"),
    ],
)
def test_a_file_without_authorities_is_a_fault(tmp_path: Path, content: str, told: str) -> None:
    write(tmp_path, content, file="ca.pem")
    found = faults(tmp_path, provider=KEY + "ca_file = 'ca.pem'\n", action=PLAIN)
    assert [text for text in found if text.startswith("7: ca_file: ") and told in text]


def test_a_kind_is_a_value_that_the_catalog_is_handed(tmp_path: Path) -> None:
    told: list[str] = []
    seal = ProviderKind(
        name="seal", connects=False, keys=frozenset({"secret"}), judge=lambda provider, _fault: told.append(provider.id)
    )
    write(tmp_path, HEAD + "[provider]\nkind = 'seal'\n" + PLAIN)
    found = load(
        [tmp_path], {"mailhub": SECRET}, public_url="", allow_private=(), shipped=False, kinds={**KINDS, "seal": seal}
    )
    assert (found.providers["mailhub"].kind, told) == ("seal", ["mailhub"])


def agent(*actions: str) -> Agent:
    return Agent(
        name="clerk", secret_sha256="0" * 64, actions=actions, users=(), trusts_users=True, owners=(), sees_people=True,
        callback_urls=(), return_urls=(),
    )  # fmt: skip


CONFIG = read("c.toml", "[agents.clerk]\nactions = []\n")
SET_UP = read("c.toml", "[agents.clerk]\nactions = []\n[providers.mailhub]\nusername = 'u'\n")


def test_a_credential_that_an_agent_may_call_for_has_to_be_there(tmp_path: Path) -> None:
    bare = mailhub(tmp_path, provider=BASIC, action=PLAIN)
    told = [str(fault) for fault in unsupplied(bare, {"clerk": agent("mailhub.*")}, CONFIG)]
    assert told == [
        "c.toml:2: providers.mailhub: There is no credential for mailhub. Set `username` in [providers.mailhub]."
    ]
    half = mailhub(tmp_path, provider=BASIC, action=PLAIN, clients={"mailhub": {"username": "u"}})
    told = [str(fault) for fault in unsupplied(half, {"clerk": agent("mailhub.*")}, SET_UP)]
    assert told == [
        "c.toml:3: providers.mailhub: There is no credential for mailhub. Set `secret` in [providers.mailhub]."
    ]
    assert unsupplied(bare, {"clerk": agent("gmail.*")}, CONFIG) == []
    assert unsupplied(shared(tmp_path / "whole"), {"clerk": agent("*")}, CONFIG) == []


def test_a_connector_that_came_with_the_program_may_stay_without(tmp_path: Path) -> None:
    catalog = mailhub(tmp_path, provider=KEY, action=PLAIN)
    shipped = Catalog(
        **{**{name: getattr(catalog, name) for name in Catalog.__slots__}, "shipped": frozenset({"mailhub"})}
    )
    assert unsupplied(shipped, {"clerk": agent("*")}, CONFIG) == []
    assert len(unsupplied(shipped, {"clerk": agent("*")}, SET_UP)) == 1
    assert load_from(shipped=True).shipped == {"gcal", "github", "gmail", "slack"}
