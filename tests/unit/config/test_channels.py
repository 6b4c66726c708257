"""[channels.*]: judged by each channel's own Struct, whatever it is; secrets resolved to text."""

from __future__ import annotations

from pathlib import Path

import pytest

from jit_auth.config.load import load
from jit_auth.errors import Faults
from tests.unit.config.kit import ENV, VAULT, Carrier, Pager, faults, settings

PAGER = "[channels.pager]\napi_key = { env = 'SECRET' }\n"


def test_a_channel_is_its_struct_with_its_secrets_as_text(tmp_path: Path) -> None:
    (tmp_path / "second").write_text("from-file\n")
    (tmp_path / "second").chmod(0o600)
    made = settings(
        tmp_path, PAGER + "second_key = { file = 'second' }\nfrom = 'them'\ndetails = 'none'\n[channels.carrier]\n"
    )
    assert made.channels == {
        "pager": Pager(api_key="s3cr3t", second_key="from-file", sender="them", details="none"),
        "carrier": Carrier(),
    }
    assert made.vias == ("pager", "carrier", "page")
    assert made.warnings == ()


def test_a_secret_that_was_left_out_stays_out(tmp_path: Path) -> None:
    assert settings(tmp_path, PAGER).channels["pager"] == Pager(api_key="s3cr3t")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[channels.pagre]\n", "3: unknown key 'pagre' in [channels] (did you mean 'pager'?)"),
        ("[channels.page]\n", "3: unknown key 'page' in [channels]"),
        ("[channels.terminal]\n", "3: unknown key 'terminal' in [channels]"),
        ("[channels.carrier]\nx = 1\n", "4: unknown key 'x' in [channels.carrier]"),
        ("[channels.pager]\n", "3: missing key 'api_key' in [channels.pager]"),
        (PAGER + "detials = 'full'\n", "5: unknown key 'detials' in [channels.pager] (did you mean 'details'?)"),
        (PAGER + "sender = 'x'\n", "5: unknown key 'sender' in [channels.pager]"),
        (PAGER + "from = 1\n", "5: channels.pager.from: expected a string"),
        ("[channels.pager]\napi_key = { env = 'NOT_SET' }\n", "4: the environment variable NOT_SET is not set"),
        ("[channels.pager]\napi_key = { evn = 'A' }\n", "4: unknown key 'evn' in [channels.pager.api_key]"),
        (PAGER + "second_key = {}\n", "5: channels.pager.second_key: a secret is exactly one of"),
        (PAGER + "address = 'nowhere'\n", "3: channels.pager: address: nowhere is no place"),
        (PAGER + "address = { env = 'NOWHERE' }\n", "3: channels.pager: address: nowhere is no place"),
        ("channels = 1\n[server]\n", "3: "),
        ("[channels]\npager = 1\n", "4: channels.pager: expected a table"),
        ("[users]\nnotify = ['pager']\n", "4: users.notify: 'pager' is no configured channel"),
        ("[users]\nnotify = ['page']\n" + PAGER, "4: users.notify: 'page' is no configured channel"),
        (
            "[users]\nnotify = ['pagre']\n" + PAGER,
            "4: users.notify: 'pagre' is no configured channel (did you mean 'pa",
        ),
    ],
)
def test_faults(tmp_path: Path, text: str, told: str) -> None:
    assert [fault for fault in faults(tmp_path, text) if fault.startswith(told)]


def test_all_faults_of_channels_at_once(tmp_path: Path) -> None:
    text = "[channels.pager]\nx = 1\n[channels.other]\n[channels.carrier]\ny = 1\n[users]\nnotify = ['z']\n"
    assert [fault.split(":")[0] for fault in faults(tmp_path, text)] == ["3", "4", "5", "7", "9"]


def test_there_are_only_the_channels_that_load_is_given(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(VAULT + PAGER)
    with pytest.raises(Faults, match="unknown key 'pager' in"):
        load(path, environ=ENV)


def test_who_is_notified_is_named_once(tmp_path: Path) -> None:
    made = settings(tmp_path, "[users]\nnotify = ['pager', 'carrier', 'pager']\n[channels.carrier]\n" + PAGER)
    assert made.users.notify == ("pager", "carrier")


def test_without_secrets_a_channel_is_known_and_empty(tmp_path: Path) -> None:
    text = "[channels.pager]\napi_key = { command = ['false'] }\naddress = { env = 'NOWHERE' }\n"
    made = settings(tmp_path, text, secrets=False)
    (pager,) = made.channels.values()
    assert isinstance(pager, Pager)
    assert (pager.api_key, pager.address, pager.second_key) == ("", "", None)
    assert made.vias == ("pager", "page")


def test_a_literal_secret_counts_but_no_address_without_a_password(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for text, warned in (
        (PAGER + "address = 'pager://127.0.0.1:1025'\n", False),
        (PAGER + "address = 'pager://u:pw@127.0.0.1:1025'\n", True),
        (PAGER + "address = 'pager://127.0.0.1/?token=x'\n", True),
        ("[channels.pager]\napi_key = 'literal'\n", True),
    ):
        path.write_text(VAULT + text)
        path.chmod(0o644)
        made = load(path, channels={"pager": Pager}, environ=ENV)
        assert any("which holds secrets" in warning for warning in made.warnings) == warned, text


def test_no_secret_of_a_channel_stands_in_a_fault_or_a_print(tmp_path: Path) -> None:
    made = settings(tmp_path, "[channels.pager]\napi_key = 'topsecret'\n")
    assert "topsecret" not in f"{made!r} {made!s}"
    for text in (
        "api_key = ['topsecret']\n",
        "api_key = 'topsecret'\naddress = 'nowhere'\n",
        "api_key = { x = 'topsecret' }\n",
    ):
        assert "topsecret" not in " ".join(faults(tmp_path, "[channels.pager]\n" + text))
