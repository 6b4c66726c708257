"""What commands read: the configuration they were given, and the store it names."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jit_auth.channels import CHANNELS
from jit_auth.cli.options import config_path
from jit_auth.config.load import load
from jit_auth.config.settings import Settings
from jit_auth.engine.author import Author
from jit_auth.errors import JitAuthError
from jit_auth.storage.clock import Clock
from jit_auth.storage.place import file_of
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

T = TypeVar("T")

CHANNEL_TABLES = {channel.name: channel.settings for channel in CHANNELS.values() if channel.settings is not None}
"""The channels that config.toml may have a table of, each with the Struct that judges it."""


def settings_of(args: argparse.Namespace, *, secrets: bool = True) -> Settings:
    """The settings that the command was given. Raises Faults."""
    return load(config_path(args), channels=CHANNEL_TABLES, secrets=secrets)


def author_of(args: argparse.Namespace) -> Author:
    """Who runs this command and why, as it goes on record: the operating system's word for who."""
    try:
        system = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        system = str(os.getuid())
    return Author("operator", args.reason.strip(), system)


def with_store(settings: Settings, work: Callable[[Store, Vault], Awaitable[T]], *, make: bool = False) -> T:
    """What `work` gives, over the store of these settings. `make`: a database file that is not there yet is made.
    Raises JitAuthError."""
    os.umask(0o077)
    path = file_of(settings.storage.url, settings.base)
    if path is not None and not make and not path.exists():
        raise JitAuthError(f"There is no database at {path} yet.", hint="`jit-auth serve` makes it.")
    return asyncio.run(_over(settings, work))


async def _over(settings: Settings, work: Callable[[Store, Vault], Awaitable[T]]) -> T:
    vault = Vault(settings.vault.keys)
    store = await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)
    try:
        return await work(store, vault)
    finally:
        await store.close()
