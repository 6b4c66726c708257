"""`jit-auth keys callback AGENT`: the secret that an agent checks its callbacks with. `jit-auth keys rotate`: wrap all
that is stored under the first vault key, while the service runs.
"""

from __future__ import annotations

import argparse
import sys

from jit_auth.cli.configured import author_of, settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.config.signing import signing_text
from jit_auth.core.toml import did_you_mean
from jit_auth.errors import JitAuthError
from jit_auth.storage.rewrap import Rotation
from jit_auth.storage.store import Store
from jit_auth.vault import Vault


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`keys callback AGENT`, `keys rotate`."""
    keys = sub.add_parser("keys", help="secrets that others need; rotate the vault's keys")
    commands = keys.add_subparsers(metavar="COMMAND", required=True)
    callback = commands.add_parser("callback", help="print the secret that signs an agent's callbacks")
    callback.add_argument("agent", metavar="AGENT")
    callback.set_defaults(run=run_callback)
    rotate = commands.add_parser("rotate", help="wrap all that is stored under the first of [vault] keys")
    rotate.add_argument("--reason", metavar="TEXT", default="", help="why; it goes on record")
    rotate.add_argument("--despite-breaks", action="store_true", help="although `audit verify` finds breaks")
    rotate.set_defaults(run=run_rotate)
    for parser in (callback, rotate):
        config_option(parser)
        json_option(parser)


def run_callback(args: argparse.Namespace) -> int:
    """Prints `whsec_...` alone on a line: the secret in config.toml, or the one that hangs on the store's own key."""
    settings = settings_of(args)
    if args.agent not in settings.agents:
        raise JitAuthError(
            f"There is no agent {args.agent!r}{did_you_mean(args.agent, settings.agents)}.",
            hint="Agents are the tables [agents.NAME] of config.toml.",
        )
    key = given = settings.callback_secrets.get(args.agent)
    if key is None:

        async def derived(store: Store, vault: Vault) -> bytes:
            # One key per agent: what one agent checks its callbacks with signs nobody else's (THREAT_MODEL 30).
            return store.derive(f"callback:{args.agent}")

        key = with_store(settings, derived, make=True)
    if args.json:
        print_json({"agent": args.agent, "secret": signing_text(key), "derived": given is None})
    else:
        print(signing_text(key))
    return 0


def run_rotate(args: argparse.Namespace) -> int:
    """Exit 0: nothing stored needs the older keys. Exit 1: refused, and what was wrapped stays wrapped."""
    author = author_of(args)
    shown = sys.stderr.isatty() and not args.json

    def progress(doing: str, count: int) -> None:
        if shown:
            print(f"\r\033[K{count} {'rows of the record' if doing == 'verified' else 'keys'} {doing}", end="",
                  file=sys.stderr, flush=True)  # fmt: skip

    facts = {name: value for name, value in (("why", author.why), ("as", author.system)) if value}

    async def rotate(store: Store, vault: Vault) -> Rotation:
        return await store.keys.rotate(author.actor, facts, despite_breaks=args.despite_breaks, progress=progress)

    try:
        done = with_store(settings_of(args), rotate)
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr)
    if args.json:
        print_json(
            {"key": done.key, "retired": list(done.retired), "wrapped": done.wrapped, "rows": done.rows,
             "breaks": done.breaks}
        )  # fmt: skip
    elif not done.retired:
        print(f"nothing to do: nothing stored needs another key than {done.key}")
    else:
        print(f"{done.wrapped} keys wrapped under {done.key}, {done.rows} rows of the record verified")
        print(f"nothing stored needs {', '.join(done.retired)} any more: take it out of [vault] keys")
    return 0
