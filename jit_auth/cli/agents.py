"""`jit-auth init` and `jit-auth agent new`: a first configuration, and tokens for agents."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.config.init import init, new_token
from jit_auth.config.resolve import AGENT_NAME
from jit_auth.errors import JitAuthError


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`init [DIR]` and `agent new NAME`."""
    first = sub.add_parser("init", help="write a working configuration with keys, an agent and a person")
    first.add_argument("dir", nargs="?", type=Path, default=Path("."), metavar="DIR", help="default: this folder")
    config_option(first)
    json_option(first)
    first.set_defaults(run=run_init)
    agent = sub.add_parser("agent", help="agents' tokens").add_subparsers(metavar="COMMAND", required=True)
    new = agent.add_parser("new", help="print a new agent's token once, and the table to paste")
    new.add_argument("name", metavar="NAME")
    config_option(new)
    json_option(new)
    new.set_defaults(run=run_new)


def run_init(args: argparse.Namespace) -> int:
    """Writes the files and prints the agent's token: the only time that it is seen."""
    os.umask(0o077)
    created = init(args.dir)
    config = created.folder / "config.toml"
    if args.json:
        print_json(
            {
                "files": [str(path) for path in created.files],
                "agent": created.agent,
                "token": created.token,
                "person": created.person,
            }
        )
        return 0
    print("\n".join(f"wrote {path}" for path in created.files))
    print(f"\nagent {created.agent}, for {created.person}. Its token, shown once:\n\n  {created.token}\n")
    print(f"next: jit-auth check -c {config}\n      jit-auth serve -c {config}")
    print("and where the agent runs: JIT_AUTH_URL=http://127.0.0.1:8080, JIT_AUTH_TOKEN=that token")
    return 0


def run_new(args: argparse.Namespace) -> int:
    """Prints a token and its table; writes nothing."""
    if not AGENT_NAME.fullmatch(args.name):
        raise JitAuthError(f"{args.name!r} is no name of an agent: letters, digits and ._-, at most 64")
    token, secret_sha256 = new_token()
    name = args.name if "." not in args.name else f'"{args.name}"'
    pasted = f'[agents.{name}]\nsecret_sha256 = "{secret_sha256}"\nactions = []\nusers = []\n'
    if args.json:
        print_json({"name": args.name, "token": token, "secret_sha256": secret_sha256, "table": pasted})
        return 0
    print(
        f"The token of {args.name}, shown once:\n\n  {token}\n\nPaste into config.toml, and name actions and users:\n"
    )
    print(pasted)
    return 0
