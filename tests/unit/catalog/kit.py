"""Connectors as files in a folder of the test's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from jit_auth.catalog.load import Catalog, load
from jit_auth.credentials import KINDS
from jit_auth.errors import Faults

PROVIDER = """
[provider]
authorize_url = "https://auth.mailhub.example/authorize"
token_url = "https://auth.mailhub.example/token"
"""
HEAD = """
id = "mailhub"
name = "MailHub"
base_url = "https://api.mailhub.example/v1"
"""
ACTION = """
[actions.send]
title = "Send"
method = "POST"
path = "/messages"
scopes = ["mail.send"]
risk = "high"
effect = "create"
"""


def write(folder: Path, text: str, connector: str = "mailhub", file: str = "connector.toml") -> Path:
    path = folder / connector / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def load_from(
    *paths: Path,
    clients: Mapping[str, Mapping[str, Any]] | None = None,
    allow: Sequence[str] = (),
    shipped: bool = False,
) -> Catalog:
    return load(
        list(paths),
        clients or {},
        public_url="http://127.0.0.1:8080",
        allow_private=allow,
        shipped=shipped,
        kinds=KINDS,
    )


def mailhub(folder: Path, *, head: str = HEAD, provider: str = PROVIDER, action: str = ACTION, **more: Any) -> Catalog:
    """The catalog of one connector."""
    write(folder, head + provider + action)
    return load_from(folder, **more)


def faults(folder: Path, **text: Any) -> list[str]:
    """What is wrong with one connector, `LINE: message` each."""
    with pytest.raises(Faults) as wrong:
        mailhub(folder, **text)
    return [f"{fault.line}: {fault.message}" for fault in wrong.value.faults]
