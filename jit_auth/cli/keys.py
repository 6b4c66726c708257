"""`jit-auth keys callback AGENT`: the secret that an agent checks its callbacks with."""

from __future__ import annotations

import argparse

from jit_auth.cli.configured import settings_of
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.config.signing import signing_text
from jit_auth.core.toml import did_you_mean
from jit_auth.errors import JitAuthError
from jit_auth.vault import Vault


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`keys callback AGENT`."""
    keys = sub.add_parser("keys", help="secrets that others need").add_subparsers(metavar="COMMAND", required=True)
    callback = keys.add_parser("callback", help="print the secret that signs an agent's callbacks")
    callback.add_argument("agent", metavar="AGENT")
    config_option(callback)
    json_option(callback)
    callback.set_defaults(run=run_callback)


def run_callback(args: argparse.Namespace) -> int:
    """Prints `whsec_...` alone on a line: the secret in config.toml, or the one that the vault derives."""
    settings = settings_of(args)
    if args.agent not in settings.agents:
        raise JitAuthError(
            f"There is no agent {args.agent!r}{did_you_mean(args.agent, settings.agents)}.",
            hint="Agents are the tables [agents.NAME] of config.toml.",
        )
    given = settings.callback_secrets.get(args.agent)
    # One key per agent: what one agent checks its callbacks with signs nobody else's (THREAT_MODEL 30).
    key = given if given is not None else Vault(settings.vault.keys).derive(f"callback:{args.agent}")
    if args.json:
        print_json({"agent": args.agent, "secret": signing_text(key), "derived": given is None})
    else:
        print(signing_text(key))
    return 0
