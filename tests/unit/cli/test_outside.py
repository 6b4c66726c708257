"""What `check` learns from outside: channels' own words, a limit of time, no secrets; addresses nothing can reach."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from jit_auth.channels import CHANNELS, Channel, Tools
from jit_auth.cli.configured import CHANNEL_TABLES
from jit_auth.cli.main import main
from jit_auth.cli.outside import channel_faults, issuer_faults, unreached
from jit_auth.config.settings import Settings
from jit_auth.core.reach import Way
from jit_auth.errors import Fault, JitAuthError, Later, Unreached
from tests.unit.config.kit import SHA, Pager, settings

PAGER = '\n[channels.pager]\napi_key = { env = "SECRET" }\naddress = "pager://u:p%40ss%20w0rd@127.0.0.1"\n'
Check = Callable[[Any, Tools], Awaitable[Sequence[str]]]


def channel(check: Check | None, name: str = "pager") -> Channel:
    """A channel that is never opened, only asked."""

    def no_open(table: Any, tools: Tools) -> Any:
        raise AssertionError("a check opens no channel")

    return Channel(name, Pager, None, lambda table, people: Way(name), no_open, check)


def told(configured: Settings, check: Check | None, patience: float = 5) -> list[str]:
    return [
        f"{fault.line}: {fault.message}"
        for fault in channel_faults(configured, {"pager": channel(check)}, patience=patience)
    ]


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    return settings(tmp_path, PAGER)


def test_a_channel_gets_its_settings_and_the_service(configured: Settings) -> None:
    seen: list[Any] = []

    async def check(table: Any, tools: Tools) -> list[str]:
        seen.append((table.api_key, tools.public_url, tools.environment, tools.loopback, tools.people().ids))
        assert abs(tools.now() - time.time() * 1000) < 60_000
        return []

    assert told(configured, check) == []
    assert seen == [("s3cr3t", "http://127.0.0.1:8080", "dev", True, ())]


def test_what_a_channel_says_is_a_fault_of_its_table(configured: Settings) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        return ["the vendor says invalid_auth: paste the token again", "and the place is archived"]

    assert told(configured, check) == [
        "4: channels.pager: the vendor says invalid_auth: paste the token again",
        "4: channels.pager: and the place is archived",
    ]


def test_a_channel_without_a_check_is_fine(configured: Settings) -> None:
    assert told(configured, None) == []


def test_a_channel_that_does_not_answer_is_waited_for_no_longer_than_that(configured: Settings) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        await asyncio.Event().wait()
        return []

    (said,) = told(configured, check, patience=0.05)
    assert said.startswith("4: channels.pager: it did not answer within 0.05 s")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Later("Slack says ratelimited."), "Slack says ratelimited."),
        (JitAuthError("It is away.", hint="Start it."), "It is away. Start it."),
        (OSError(111, "Connection refused"), "ConnectionRefusedError: [Errno 111] Connection refused"),
        (RuntimeError("a library's own\x1b[2J words"), "RuntimeError: a library's own\u27e8U+001B\u27e9[2J words"),
    ],
)
def test_whatever_a_channel_raises_is_told(configured: Settings, error: Exception, said: str) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        raise error

    assert told(configured, check) == [f"4: channels.pager: {said}"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Later("It is away."), Unreached), (TimeoutError(), Unreached), (RuntimeError("?"), Fault), (None, Fault)],
)
def test_a_channel_that_is_away_is_no_fault_of_the_file(
    configured: Settings, error: Exception | None, kind: type[Fault]
) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        if error is not None:
            raise error
        return ["invalid_auth"]

    (fault,) = channel_faults(configured, {"pager": channel(check)})
    assert type(fault) is kind


def test_an_issuer_that_is_away_is_no_fault_of_the_file(tmp_path: Path) -> None:
    corp = '[issuers.corp]\nissuer = "http://127.0.0.1:9"\nclient_id = "c"\nclient_secret = "s"\n'
    corp += 'domains = ["a.example"]\n'
    (fault,) = issuer_faults(settings(tmp_path, corp))
    assert type(fault) is Unreached
    assert "issuers.corp: " in str(fault)


def test_no_secret_comes_back_in_what_a_channel_says(configured: Settings) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        raise RuntimeError(f"bad token {table.api_key} at {table.address}, password p@ss w0rd, p%40ss%20w0rd")

    assert told(configured, check) == ["4: channels.pager: RuntimeError: bad token *** at ***, password ***, ***"]


def test_an_address_without_a_password_may_come_back(tmp_path: Path) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        return [f"nobody listens at {table.address}"]

    plain = settings(tmp_path, PAGER.replace("u:p%40ss%20w0rd@", ""))
    assert told(plain, check) == ["4: channels.pager: nobody listens at pager://127.0.0.1"]


def test_check_asks_channels_and_warns_of_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        return ["the vendor says invalid_auth"]

    monkeypatch.setitem(CHANNELS, "pager", channel(check))
    monkeypatch.setitem(CHANNEL_TABLES, "pager", Pager)
    monkeypatch.chdir(tmp_path)
    assert main(["init", "it"]) == 0
    config = tmp_path / "it" / "config.toml"
    lines = config.read_text().count("\n")
    config.write_text(
        config.read_text() + "[channels.pager]\napi_key = 'k'\n"
        "[webhooks.ops]\nurl = 'http://ops.example.com/'\nsecret = 'whsec_" + "A" * 32 + "'\n"
    )
    capsys.readouterr()
    assert main(["check", "-c", "it/config.toml"]) == 1
    out, err = capsys.readouterr()
    assert out == f"it/config.toml:{lines + 1}: channels.pager: the vendor says invalid_auth\n"
    assert f"it/config.toml:{lines + 4}: webhooks.ops.url: plain http" in err
    policies = tmp_path / "it" / "policies.toml"
    policies.write_text(
        policies.read_text().replace('from = ["requester"] }', 'from = ["requester"], via = ["pager"] }')
    )
    assert main(["policy", "check", "it/policies.toml", "-c", "it/config.toml"]) == 0
    policies.write_text(policies.read_text().replace('"pager"', '"pagre"'))
    assert main(["policy", "check", "it/policies.toml", "-c", "it/config.toml"]) == 1
    assert "pagre" in capsys.readouterr().out


def test_nothing_can_be_decided_by_a_check(configured: Settings) -> None:
    async def check(table: Any, tools: Tools) -> list[str]:
        await tools.decide.round_as("ana@example.com", "apr_1")
        return []

    assert told(configured, check) == ["4: channels.pager: Nothing is decided while a configuration is checked."]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://ops.example.com/", None),
        ("https://93.184.216.34/", None),
        ("http://ops.example.com/", "plain http"),
        ("https://10.0.0.1/", "a private address"),
        ("https://localhost/", "a private address"),
        ("https://[::1]/", "a private address"),
        ("https://169.254.169.254/", "a private address"),
        ("http://10.1.0.1/", None),
        ("https://inside.lab.example/", None),
        ("http://inside.lab.example/", None),
    ],
)
def test_addresses_that_every_delivery_would_refuse_are_a_warning(tmp_path: Path, url: str, why: str | None) -> None:
    configured = settings(
        tmp_path,
        f'[webhooks.ops]\nurl = "{url}"\nsecret = {{ env = "SIGNING" }}\n'
        f'[agents.a]\nsecret_sha256 = "{SHA}"\ncallback_urls = ["{url}"]\n'
        '[connectors]\nallow_private_hosts = ["10.1.0.0/16", "*.lab.example"]\n',
    )
    found = list(unreached(configured))
    assert len(found) == (2 if why else 0)
    for sentence, path in zip(found, ("webhooks.ops.url", "agents.a.callback_urls"), strict=False):
        assert f"{path}: {why}, which goes only to what [connectors] allow_private_hosts names" in sentence
