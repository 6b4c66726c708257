"""Configurations as files in a folder of the test's own."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from jit_auth.config.load import load
from jit_auth.config.settings import Settings
from jit_auth.errors import Faults

KEY = base64.b64encode(bytes(32)).decode()
ENV = {"KEY": KEY, "SECRET": "s3cr3t"}
VAULT = '[vault]\nkeys = [{ id = "k", env = "KEY" }]\n'
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def settings(folder: Path, text: str, *, vault: str = VAULT, secrets: bool = True) -> Settings:
    path = folder / "config.toml"
    path.write_text(vault + text)
    path.chmod(0o600)
    return load(path, environ=ENV, secrets=secrets)


def faults(folder: Path, text: str, *, vault: str = VAULT) -> list[str]:
    """`LINE: message` of each fault; the text begins at line 3."""
    with pytest.raises(Faults) as wrong:
        settings(folder, text, vault=vault)
    return [f"{fault.line}: {fault.message}" for fault in wrong.value.faults]
