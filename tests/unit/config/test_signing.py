"""Who is sent events, where, and what signs them: [webhooks.*], callback_secret, callback_urls (THREAT_MODEL 30)."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest

from jit_auth.config.signing import signing_key, signing_text
from tests.unit.config.kit import SHA, SIGNING, faults, settings

AGENT = f"[agents.a]\nsecret_sha256 = '{SHA}'\n"
HOOK = "[webhooks.ops]\nurl = 'https://ops.example.com/jit-auth'\n"


def whsec(count: int) -> str:
    return "whsec_" + base64.b64encode(bytes(count)).decode()


def test_webhooks_and_callbacks_are_resolved(tmp_path: Path) -> None:
    made = settings(
        tmp_path,
        HOOK + "secret = { env = 'SIGNING' }\n" + AGENT + f"callback_secret = '{whsec(24)}'\n"
        "callback_urls = ['http://127.0.0.1:9000/hooks/']\n",
    )
    assert made.webhooks["ops"].url == "https://ops.example.com/jit-auth"
    assert made.webhooks["ops"].secret == bytes(range(32))
    assert made.callback_secrets == {"a": bytes(24)}
    assert made.agents["a"].callback_urls == ("http://127.0.0.1:9000/hooks/",)


def test_an_agent_without_a_secret_of_its_own_has_none_here(tmp_path: Path) -> None:
    made = settings(tmp_path, AGENT + "callback_urls = ['https://a.example/']\n")
    assert made.callback_secrets == {}


def test_secrets_are_no_part_of_what_is_hashed_or_printed(tmp_path: Path) -> None:
    text = HOOK + "secret = { env = 'SIGNING' }\n" + AGENT + f"callback_secret = '{whsec(48)}'\n"
    made = settings(tmp_path, text)
    agents = msgspec.json.encode(made.agents).decode()
    assert agents == msgspec.json.encode(settings(tmp_path, AGENT).agents).decode()
    shown = f"{made!r} {made.webhooks!r} {made.agents!r}"
    assert repr(bytes(range(32)))[2:-1] not in shown
    assert SIGNING not in shown


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_signing_secret_is_written_one_way(length: int) -> None:
    key = bytes(range(length))
    assert signing_key(signing_text(key)) == key
    assert signing_text(key).startswith("whsec_")


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("plain", "expected whsec_ and base64 of 24 to 64 bytes"),
        (SIGNING.removeprefix("whsec_"), "expected whsec_"),
        (SIGNING.upper(), "expected whsec_"),
        ("whsec_", "the secret has 0 bytes, not 24 to 64"),
        (whsec(23), "the secret has 23 bytes"),
        (whsec(65), "the secret has 65 bytes"),
        (SIGNING.rstrip("="), "what follows whsec_ is no base64"),
        (SIGNING.replace("A", "-"), "what follows whsec_ is no base64"),
        ("whsec_é", "what follows whsec_ is no base64"),
    ],
)
def test_what_is_no_signing_secret(tmp_path: Path, secret: str, told: str) -> None:
    for text, path in (
        (HOOK + f"secret = '{secret}'\n", "5: webhooks.ops.secret: "),
        (AGENT + f"callback_secret = '{secret}'\n", "5: agents.a.callback_secret: "),
    ):
        found = faults(tmp_path, text)
        assert len(found) == 1
        assert found[0].startswith(path + told)
        assert secret in ("whsec_", "plain") or secret not in found[0]


def test_no_two_places_share_a_signing_secret(tmp_path: Path) -> None:
    hook, callback = "secret = { env = 'SIGNING' }\n", "callback_secret = { env = 'SIGNING' }\n"
    other = AGENT.replace("agents.a", "agents.b").replace(SHA, SHA[::-1])
    assert faults(tmp_path, HOOK + hook + AGENT + callback) == [
        "8: agents.a.callback_secret is the secret of webhooks.ops.secret too: one each"
    ]
    assert faults(tmp_path, AGENT + callback + other + callback) == [
        "8: agents.b.callback_secret is the secret of agents.a.callback_secret too: one each"
    ]
    assert faults(tmp_path, HOOK + hook + HOOK.replace("ops", "dev") + hook) == [
        "8: webhooks.dev.secret is the secret of webhooks.ops.secret too: one each"
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[webhooks.ops]\n", "3: missing key 'url' in [webhooks.ops]"),
        (HOOK, "3: missing key 'secret' in [webhooks.ops]"),
        (HOOK + "secret = { env = 'SIGNING' }\nsecrets = 1\n", "6: unknown key 'secrets' in [webhooks.ops]"),
        ("[webhooks.'a:b']\nurl = 'https://x/'\nsecret = { env = 'SIGNING' }\n", "3: 'a:b' is no name of a webhook"),
    ],
)
def test_faults_of_webhooks(tmp_path: Path, text: str, told: str) -> None:
    assert [fault for fault in faults(tmp_path, text) if fault.startswith(told)]


ODD_URLS = [
    "ops.example.com/hook", "ftp://ops.example.com/", "https:///hook", "https://u:p@ops.example.com/",
    "https://good.example@evil.test/", "https://ops.example.com/#x", "https://ops.example.com\\\\@evil/",
    "https://ops.example.com/a/../b/", "https://ops.example.com/%2e%2e/b/", "https://ops.example.com/%252e%252e/b/",
    "https://ops.example.com/a%5c..%5cb/", "https://*.example.com/", "https://%65vil.example/",
    "https://ops.example.com:99999/", "https://ops.example.com:x/", "https://öps.example.com/", "https://a b/",
    "https://ops.example.com/\\u0000/",
]  # fmt: skip


@pytest.mark.parametrize("url", ODD_URLS)
def test_addresses_that_two_readers_could_differ_about(tmp_path: Path, url: str) -> None:
    found = faults(tmp_path, f'[webhooks.ops]\nurl = "{url}"\nsecret = {{ env = "SIGNING" }}\n')
    assert [fault for fault in found if fault.startswith("4: webhooks.ops.url: ")], found
    found = faults(tmp_path, AGENT + f'callback_urls = ["{url}"]\n')
    assert [fault for fault in found if fault.startswith("5: agents.a.callback_urls: ")], found


@pytest.mark.parametrize(
    "url",
    ["https://good.example", "https://good.example/hooks", "https://good.example/hooks/?", "https://g.example/?a/"],
)
def test_a_prefix_of_callbacks_ends_in_a_slash(tmp_path: Path, url: str) -> None:
    (found,) = faults(tmp_path, AGENT + f"callback_urls = ['https://fine.example/', '{url}']\n")
    assert found.startswith("5: agents.a.callback_urls: a URL prefix ends in / and has no query")


@pytest.mark.parametrize("url", ["https://ops.example.com", "https://ops.example.com/x?team=1", "http://[::1]:8/x"])
def test_addresses_of_webhooks(tmp_path: Path, url: str) -> None:
    made = settings(tmp_path, f"[webhooks.ops]\nurl = '{url}'\nsecret = {{ env = 'SIGNING' }}\n")
    assert made.webhooks["ops"].url == url
