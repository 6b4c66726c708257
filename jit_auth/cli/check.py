"""`jit-auth check`: loads everything a service needs and names each fault as `file:line: message`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from jit_auth.catalog.check import unreadable
from jit_auth.catalog.globs import match
from jit_auth.catalog.load import Catalog
from jit_auth.catalog.load import load as load_catalog
from jit_auth.cli.configured import settings_of
from jit_auth.cli.database import lacking, spoken
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.cli.outside import channel_faults, issuer_faults, unreached, unsigned
from jit_auth.config.database import sqlite_path
from jit_auth.config.load import policy_texts
from jit_auth.config.settings import Settings
from jit_auth.core.toml import did_you_mean
from jit_auth.credentials import KINDS
from jit_auth.credentials.supplied import unsupplied
from jit_auth.errors import Fault, Faults, JitAuthError, Unreached
from jit_auth.policy.rules import load as load_policy
from jit_auth.storage.clock import Clock
from jit_auth.storage.roles import Rights
from jit_auth.storage.store import Store
from jit_auth.vault import Vault


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`check`."""
    parser = sub.add_parser("check", help="load everything and name each fault as file:line: message")
    config_option(parser)
    json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Faults on stdout (exit 1), warnings and notes on stderr."""
    os.umask(0o077)
    faults: list[Fault] = []
    warnings: list[str] = []
    notes: list[str] = []
    try:
        settings = settings_of(args)
    except Faults as wrong:
        faults.extend(wrong.faults)
    else:
        warnings.extend(settings.warnings)
        faults.extend(_content(settings, warnings))
        faults.extend(_database(settings, warnings, notes))
        for fault in (*channel_faults(settings), *issuer_faults(settings)):
            if isinstance(fault, Unreached):
                warnings.append(str(fault))
            else:
                faults.append(fault)
        warnings.extend(unreached(settings))
        warnings.extend(unsigned(settings))
    if args.json:
        told = [{"file": fault.file, "line": fault.line, "message": fault.message} for fault in faults]
        print_json({"ok": not faults, "faults": told, "warnings": warnings, "notes": notes})
        return 1 if faults else 0
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    for fault in faults:
        print(fault)
    if not faults:
        print("ok")
    return 1 if faults else 0


def _content(settings: Settings, warnings: list[str]) -> Iterator[Fault]:
    """Connectors, then the policies that are typed by them."""
    try:
        catalog = load_catalog(
            settings.connectors.paths,
            settings.providers,
            public_url=settings.server.public_url,
            allow_private=settings.connectors.allow_private_hosts,
            kinds=KINDS,
            config=settings.document,
        )
        yield from unsupplied(catalog, settings.agents, settings.document)
        warnings.extend(_agents(settings, catalog))
        warnings.extend(str(fault) for name in catalog.connectors for fault in unreadable(catalog, name))
        actions = {name: operation.action for name, operation in catalog.actions.items()}
        people = settings.people
        policy = load_policy(
            policy_texts(settings),
            actions,
            people.ids,
            vias=settings.vias,
            groups=people.groups,
            aliases=people.names,
            strict=not settings.loopback,
        )
        warnings.extend(str(doubt) for doubt in policy.doubts if settings.loopback)
    except Faults as wrong:
        yield from wrong.faults
    if not settings.policies.paths:
        warnings.append("no policies: [policies] paths is empty, so every call is denied")


def _agents(settings: Settings, catalog: Catalog) -> Iterator[str]:
    """Names and globs of agents that cover nothing: a typing mistake, or a connector that is not there."""
    for agent in settings.agents.values():
        for pattern in agent.actions:
            if any(match([pattern], name, operation.action.risk) for name, operation in catalog.actions.items()):
                continue
            near = did_you_mean(pattern, catalog.actions)
            yield str(
                settings.document.fault(
                    ("agents", agent.name, "actions"), f"{pattern!r} of agent {agent.name} fits no known action{near}"
                )
            )
        if not agent.actions:
            yield f"agent {agent.name} may do nothing: its actions are empty"


def _database(settings: Settings, warnings: list[str], notes: list[str]) -> Iterator[Fault]:
    """Whether the keys are keys, and the database answers, to whom. A SQLite file that is not there yet is not
    created."""
    try:
        vault = Vault(settings.vault.keys)
    except JitAuthError as error:
        yield settings.document.fault(("vault", "keys"), error.message)
        return
    at = ("storage", "url")
    file = sqlite_path(settings.storage.url, settings.base)
    if file is not None and not file.exists():
        if not _writable(file.parent):
            yield settings.document.fault(at, f"storage.url: the folder {file.parent} is not there or not writable")
        return
    try:
        needed, rights = asyncio.run(_open(settings, vault))
        for key in sorted({*vault.ids[1:], *needed} - {vault.ids[0]}):
            warnings.append(_about(key, key in vault.ids, key in needed))
        if rights is not None:
            if rights.lacks:
                yield settings.document.fault(at, f"storage.url: {lacking(rights)}")
            (notes if rights.adds_only else warnings).append(f"storage.url: {spoken(rights, settings.retention)}")
    except JitAuthError as error:
        yield settings.document.fault(at, f"storage.url: {error.message}")


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _about(key: str, here: bool, needed: bool) -> str:
    if not here:
        return f"vault.keys: what is stored needs the vault key {key!r}, which is not here: put it behind the first"
    if needed:
        return f"vault.keys: what is stored still needs the vault key {key!r}; `jit-auth keys rotate` ends that"
    return f"vault.keys: nothing stored needs the vault key {key!r} any more: take it out"


async def _open(settings: Settings, vault: Vault) -> tuple[tuple[str, ...], Rights | None]:
    """The ids of the vault keys that what is stored needs; what PostgreSQL lets us do."""
    store = await Store.open(settings.storage.url, vault, clock=Clock(), base=settings.base, serve=False)
    try:
        return await store.keys.needed(), await store.roles.rights()
    finally:
        await store.close()
