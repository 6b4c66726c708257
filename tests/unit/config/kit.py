"""Configurations as files in a folder of the test's own."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from msgspec import Struct

from jit_auth.config.load import load
from jit_auth.config.secret import Secret
from jit_auth.config.settings import Settings
from jit_auth.errors import Faults

KEY = base64.b64encode(bytes(32)).decode()
SIGNING = "whsec_" + base64.b64encode(bytes(range(32))).decode()
ENV = {"KEY": KEY, "SECRET": "s3cr3t", "SIGNING": SIGNING, "NOWHERE": "nowhere"}
VAULT = '[vault]\nkeys = [{ id = "k", env = "KEY" }]\n'
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class Pager(Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A channel of the tests."""

    api_key: Secret
    second_key: Secret | None = None
    address: Secret = "pager://127.0.0.1"
    sender: str = "us"
    details: str = "full"

    def __post_init__(self) -> None:
        if self.address == "nowhere":
            raise ValueError("address: nowhere is no place")


class Carrier(Struct, frozen=True):
    """A channel that needs nothing."""


CHANNELS: dict[str, type[Struct]] = {"pager": Pager, "carrier": Carrier}


def settings(folder: Path, text: str, *, vault: str = VAULT, secrets: bool = True) -> Settings:
    path = folder / "config.toml"
    path.write_text(vault + text)
    path.chmod(0o600)
    return load(path, channels=CHANNELS, environ=ENV, secrets=secrets)


def faults(folder: Path, text: str, *, vault: str = VAULT) -> list[str]:
    """`LINE: message` of each fault; the text begins at line 3."""
    with pytest.raises(Faults) as wrong:
        settings(folder, text, vault=vault)
    return [f"{fault.line}: {fault.message}" for fault in wrong.value.faults]
