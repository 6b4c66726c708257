"""Options that several commands have: which configuration, and output as JSON."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENVIRONMENT = "JIT_AUTH_CONFIG"


def config_option(parser: argparse.ArgumentParser) -> None:
    """`-c FILE`: default $JIT_AUTH_CONFIG, then ./config.toml."""
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        type=Path,
        default=argparse.SUPPRESS,  # where it stands before the command's name it is set already
        help=f"configuration (default ${ENVIRONMENT}, then ./config.toml)",
    )


def config_path(args: argparse.Namespace) -> Path:
    """The configuration file that the command was given; it need not exist."""
    given: Path | None = getattr(args, "config", None)
    return given if given is not None else Path(os.environ.get(ENVIRONMENT) or "config.toml")


def names_config(args: argparse.Namespace) -> bool:
    """Whether the command line itself names a configuration."""
    return getattr(args, "config", None) is not None


def json_option(parser: argparse.ArgumentParser) -> None:
    """`--json`: output as data."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def print_json(value: Any) -> None:
    """A JSON value on stdout, readable and parseable."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows in columns, two blanks apart."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
