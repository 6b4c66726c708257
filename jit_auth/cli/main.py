"""`jit-auth`: finds the command, runs it, turns what goes wrong into an exit code (0 fine, 1 no, 2 usage)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from jit_auth import __version__
from jit_auth.errors import JitAuthError

COMMANDS = {
    "serve": "service",
    "init": "agents",
    "agent": "agents",
    "check": "check",
    "approvals": "approvals",
    "people": "people",
    "access": "access",
    "revoke": "revoke",
    "halt": "halt",
    "resume": "halt",
    "connectors": "connectors",
    "policy": "policy",
    "audit": "audit",
    "keys": "keys",
    "db": "db",
}
"""Which module of this package adds which command, in the order in which `--help` lists them."""


def parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The command line, as far as `argv` needs it: one command's module is imported, or all for help and mistakes."""
    made = argparse.ArgumentParser(
        prog="jit-auth", description="A human-in-the-loop, just-in-time authorization engine for AI agents."
    )
    made.add_argument("--version", action="version", version=f"jit-auth {__version__}")
    made.add_argument("-c", "--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    sub = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = COMMANDS.get(argv[0]) if argv else None
    for name in [named] if named else dict.fromkeys(COMMANDS.values()):
        import_module(f"jit_auth.cli.{name}").add(sub)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. Usage errors exit 2 by themselves (argparse)."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = parser(words).parse_args(words)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except JitAuthError as error:
        print(error, file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing more to say, and no second complaint at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
