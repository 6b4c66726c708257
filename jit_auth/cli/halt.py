"""`jit-auth halt / resume --reason TEXT`: nothing is sent anywhere, until it is; written to the store itself."""

from __future__ import annotations

import argparse

from jit_auth.cli.configured import author_of, settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.core.times import rfc3339
from jit_auth.engine.halts import Halts


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`halt` and `resume`."""
    for name, run, words in (
        ("halt", run_halt, "send nothing anywhere until resumed; what waits for people goes on waiting"),
        ("resume", run_resume, "send again"),
    ):
        parser = sub.add_parser(name, help=words)
        parser.add_argument("--reason", metavar="TEXT", required=True, help="why; it goes on record")
        config_option(parser)
        json_option(parser)
        parser.set_defaults(run=run)


def run_halt(args: argparse.Namespace) -> int:
    """Exit 0 once it is committed: no intent of any replica is, after it."""
    since = with_store(settings_of(args), lambda store, vault: Halts(store).halt(author_of(args)))
    if args.json:
        print_json({"halted": True, "since": rfc3339(since)})
    else:
        print(f"halted since {rfc3339(since)}: nothing is sent until `jit-auth resume`")
    return 0


def run_resume(args: argparse.Namespace) -> int:
    """Exit 0, also where nothing was halted."""
    stood = with_store(settings_of(args), lambda store, vault: Halts(store).resume(author_of(args)))
    if args.json:
        print_json({"halted": False, "seconds": stood / 1000})
    else:
        print(f"resumed; deadlines stood still for {stood / 1000:.0f} s" if stood else "nothing was halted")
    return 0
