"""[channels.slack]: what it may be, that nothing repeats its secrets, and what `jit-auth check` learns from Slack."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jit_auth.channels.slack import SLACK
from jit_auth.channels.slack.settings import SlackSettings
from jit_auth.cli.outside import channel_faults
from jit_auth.config.load import load
from jit_auth.config.settings import Settings
from jit_auth.errors import Faults, Unreached
from tests.fakes.slack import Slack
from tests.integration.slack.service import CHANNEL
from tests.unit.config.kit import ENV, VAULT

BOT, SIGNING, APP = "xoxb-bot-hush", "signing-hush", "xapp-app-hush"
SECRETS = ENV | {"BOT": BOT, "SIGNED": SIGNING, "APP": APP}
BASE = 'bot_token = { env = "BOT" }\nsigning_secret = { env = "SIGNED" }\n'


def loaded(folder: Path, table: str) -> Settings:
    path = folder / "config.toml"
    path.write_text(f"{VAULT}[channels.slack]\n{table}")
    path.chmod(0o600)
    assert SLACK.settings is not None
    return load(path, channels={"slack": SLACK.settings}, environ=SECRETS)


@pytest.mark.parametrize(
    "more",
    [
        *("", 'team = "T012ABC"', 'team = "E012ABC"', 'channel = "C012ABC"', 'channel = "G012ABC"'),
        *('api_url = "https://slack.com/api/"', 'api_url = "https://slack-gov.com/api"'),
        *('api_url = "http://127.0.0.1:8080/api/"', 'api_url = "http://[::1]/api/"', 'api_url = "http://localhost/"'),
        *('details = "full"', 'details = "summary"', 'details = "none"'),
    ],
)
def test_what_is_good(tmp_path: Path, more: str) -> None:
    assert isinstance(loaded(tmp_path, BASE + more).channels["slack"], SlackSettings)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (BASE + 'app_token = { env = "APP" }', "name one of them"),
        ('bot_token = { env = "BOT" }', "name one of them"),
        (BASE.partition("\n")[2], "bot_token"),
        (BASE + 'api_url = "http://slack.com/api/"', "api_url"),
        (BASE + 'api_url = "http://127.evil.example/api/"', "api_url"),
        (BASE + 'api_url = "http://localhost.evil.example/"', "api_url"),
        (BASE + 'api_url = "http://10.0.0.1/api/"', "api_url"),
        (BASE + 'api_url = "https://slack.com/api/?x=/"', "api_url"),
        (BASE + 'api_url = "https://u:p@slack.com/api/"', "api_url"),
        (BASE + 'api_url = "https:///api/"', "api_url"),
        (BASE + 'api_url = "https://[::1/"', "api_url"),
        (BASE + 'api_url = "ftp://slack.com/"', "api_url"),
        (BASE + 'api_url = "https://slack.com/a b/"', "api_url"),
        (BASE + 'api_url = "https://sl\u0430ck.com/api/"', "api_url"),
        (BASE + 'team = "acme"', "workspace's id"),
        (BASE + 'team = ""', "workspace's id"),
        (BASE + 'team = "t012"', "workspace's id"),
        (BASE + 'channel = "#approvals"', "channel's id"),
        (BASE + 'channel = "approvals"', "channel's id"),
        (BASE + 'channel = "D012ABC"', "channel's id"),
        (BASE + 'channel = "U012ABC"', "channel's id"),
        (BASE + 'details = "most"', "details"),
        (BASE + 'chanel = "C012ABC"', "chanel"),
        (BASE + "team = 1", "team"),
        (BASE + 'bot_user = "x"', "bot_user"),
        ('bot_token = { env = "NO_SUCH" }\nsigning_secret = { env = "SIGNED" }', "NO_SUCH"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, table: str, told: str) -> None:
    with pytest.raises(Faults) as caught:
        loaded(tmp_path, table)
    (fault,) = caught.value.faults
    assert told in fault.message
    assert fault.line >= 3
    assert "config.toml:" in str(fault)
    assert "hush" not in str(caught.value)


def test_the_settings_repeat_no_secret(tmp_path: Path) -> None:
    table = loaded(tmp_path, BASE).channels["slack"]
    assert "hush" not in f"{table!r} {table}"
    assert table.bot_token == BOT


async def asked(
    folder: Path, slack: Slack, more: str = "", *, by: str = 'signing_secret = { env = "SIGNED" }'
) -> list[str]:
    """What `check` says, as `LINE: message`."""
    settings = loaded(folder, f'bot_token = {{ env = "BOT" }}\n{by}\napi_url = "{slack.url}/api/"\n{more}')
    faults = await asyncio.to_thread(channel_faults, settings, {"slack": SLACK})
    assert "hush" not in str(faults)
    return [f"{fault.line}: {fault.message}" for fault in faults]


@pytest.fixture
def known(slack: Slack) -> Slack:
    slack.bot_token, slack.app_token, slack.signing_secret = BOT, APP, SIGNING
    return slack


async def test_check_finds_nothing_where_all_is_well(tmp_path: Path, known: Slack) -> None:
    assert await asked(tmp_path, known, f'team = "T012"\nchannel = "{CHANNEL}"') == []
    assert await asked(tmp_path, known, by='app_token = { env = "APP" }') == []
    assert known.messages == []


async def test_check_tells_slacks_own_word_and_the_fix(tmp_path: Path, known: Slack) -> None:
    known.bot_token = "xoxb-another"
    (said,) = await asked(tmp_path, known)
    assert "channels.slack: Slack refuses auth.test: invalid_auth" in said
    assert "[channels.slack] bot_token" in said
    known.bot_token = BOT
    (said,) = await asked(tmp_path, known, 'team = "T999"')
    assert "team is T999, but the bot token belongs to T012" in said
    known.other_channels.add("C0OTHER")
    (said,) = await asked(tmp_path, known, 'channel = "C0OTHER"')
    assert "not_in_channel" in said
    assert "/invite" in said
    (said,) = await asked(tmp_path, known, 'channel = "C0NONE"')
    assert "channel_not_found" in said
    known.app_token = "xapp-another"
    (said,) = await asked(tmp_path, known, by='app_token = { env = "APP" }')
    assert "apps.connections.open: invalid_auth" in said
    assert "app_token" in said
    known.bot_token, known.app_token = APP, BOT  # one in the other's place
    (said,) = await asked(tmp_path, known)
    assert "not_allowed_token_type" in said
    assert "xoxb-" in said


async def test_check_tells_what_a_scope_is_called(tmp_path: Path, known: Slack) -> None:
    known.fail("conversations.history", "missing_scope")
    (said,) = await asked(tmp_path, known, f'channel = "{CHANNEL}"')
    assert "missing_scope" in said
    assert "docs/slack.md" in said


async def test_check_where_what_stands_in_for_slack_knows_no_such_method(tmp_path: Path, known: Slack) -> None:
    known.fail("conversations.history", "unknown_method")
    settings = loaded(tmp_path, f'{BASE}api_url = "{known.url}/api/"\nchannel = "{CHANNEL}"')
    (fault,) = await asyncio.to_thread(channel_faults, settings, {"slack": SLACK})
    assert isinstance(fault, Unreached)
    assert "unknown_method" in fault.message


async def test_check_where_slack_is_away(tmp_path: Path, known: Slack) -> None:
    known.down = True
    (said,) = await asked(tmp_path, known)
    assert "cannot be reached" in said
    assert "api_url" in said
    known.down = False
    for fault in (500, 200, "ratelimited"):
        known.fail("auth.test", fault)
        assert len(await asked(tmp_path, known)) == 1
