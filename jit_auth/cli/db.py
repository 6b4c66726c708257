"""`jit-auth db migrate / copy / retain`: the database's schema, its place, and how long its record is kept."""

from __future__ import annotations

import argparse
import asyncio
import os

import msgspec

from jit_auth.cli.configured import author_of, settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.config.database import judge_url
from jit_auth.core.times import rfc3339
from jit_auth.errors import JitAuthError
from jit_auth.model import Audit, Millis, Unit
from jit_auth.storage.audit import Verified
from jit_auth.storage.shorten import Shortened
from jit_auth.storage.store import Store
from jit_auth.storage.upgrade import migrate
from jit_auth.vault import Vault


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`db migrate`, `db copy` and `db retain`."""
    commands = sub.add_parser("db", help="the database: its schema, its place, how long its record is kept")
    move = commands.add_subparsers(metavar="COMMAND", required=True)
    upgrade = move.add_parser("migrate", help="bring the schema to the newest version")
    upgrade.set_defaults(run=run_migrate)
    moved = move.add_parser("copy", help="copy all rows into an empty database, the service being down")
    moved.add_argument("--to", metavar="URL", required=True, help="as [storage] url; env:NAME takes it from there")
    moved.add_argument("--reason", metavar="TEXT", default="", help="why; it goes on record in the copy")
    moved.set_defaults(run=run_copy)
    retain = move.add_parser("retain", help="remove the rows of the record that [retention] audit no longer keeps")
    retain.add_argument("--reason", metavar="TEXT", default="", help="why; it goes on record")
    retain.set_defaults(run=run_retain)
    for parser in (upgrade, moved, retain):
        config_option(parser)
        json_option(parser)


def run_migrate(args: argparse.Namespace) -> int:
    """Makes or upgrades the schema; says which it is now."""
    os.umask(0o077)
    settings = settings_of(args)
    revision = asyncio.run(migrate(settings.storage.url, settings.base, Vault(settings.vault.keys)))
    if args.json:
        print_json({"schema": revision})
    else:
        print(f"the schema is {revision}")
    return 0


def run_copy(args: argparse.Namespace) -> int:
    """Copies, puts that on record in the copy, then checks its chain; exit 1 where that is broken."""
    os.umask(0o077)
    settings, author = settings_of(args), author_of(args)
    url = os.environ.get(args.to[4:], "") if args.to.startswith("env:") else args.to
    try:
        judge_url(url, insecure=settings.storage.insecure_db)
    except ValueError as error:
        raise JitAuthError(f"--to: {error}") from None
    from jit_auth.storage.copy import copy  # brings both databases with it: for this command alone

    count = asyncio.run(copy(settings.storage.url, url, settings.base))
    moved = msgspec.structs.replace(settings, storage=msgspec.structs.replace(settings.storage, url=url))

    async def recorded(store: Store, vault: Vault) -> Verified:
        # Where it came from is said by kind: an address may hold a password, or say where people's data is.
        fact = author.fact("database.copied", of=_kind(settings.storage.url), to=_kind(url), rows=count)
        await store.apply(Unit(None, (), Audit(actor=author.actor, what=(fact,))))
        return await store.audit.verify()

    verified = with_store(moved, recorded)
    if args.json:
        print_json({"rows": count, "audit_rows": verified.rows, "breaks": len(verified.breaks)})
    else:
        whole = "broken" if verified.breaks else "whole"
        print(f"{count} rows are copied; the record of {verified.rows} rows is {whole}.")
        print("Now name the new database in [storage] url, and put the old one where no service finds it.")
    return 1 if verified.breaks else 0


def _kind(url: str) -> str:
    return "sqlite" if url.startswith("sqlite:") else "postgresql"


def run_retain(args: argparse.Namespace) -> int:
    """For the role of the database that owns the tables, where that of the service may not delete from the record.
    Exit 1 where anything stayed that is older than it should be."""
    settings, author = settings_of(args), author_of(args)
    kept = settings.retention.audit
    if kept is None:
        raise JitAuthError('[retention] audit is "never": the record is kept whole.')
    facts = {name: value for name, value in (("why", author.why), ("as", author.system)) if value}

    async def retain(store: Store, vault: Vault) -> tuple[Millis, Shortened]:
        before = store.now() - kept
        return before, await store.shorten.now(before, author.actor, facts)

    before, done = with_store(settings, retain)
    if args.json:
        print_json({"before": rfc3339(before), "rows": done.rows, "stayed": list(done.stayed)})
    else:
        print(f"{done.rows} rows of before {rfc3339(before)} are removed")
        for why in done.stayed:
            print(why)
    return 1 if done.stayed else 0
