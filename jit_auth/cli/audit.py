"""`jit-auth audit verify / export / tail`: the record of everything."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

from jit_auth.cli.configured import settings_of, with_store
from jit_auth.cli.options import config_option, json_option, print_json
from jit_auth.cli.receipts import unproven
from jit_auth.core.text import visible
from jit_auth.core.times import rfc3339
from jit_auth.errors import JitAuthError
from jit_auth.model import Millis
from jit_auth.storage.audit import Entry, Record, Verified
from jit_auth.storage.store import Store
from jit_auth.vault import Vault

T = TypeVar("T")

COLUMNS = ("id", "at", "actor", "user", "agent", "execution", "what")
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")
_UNSEEN = re.compile(r"\A[\s\x00-\x1f\u00a0\u200b-\u200f\u2060\ufeff]+")
_EACH = 1.0
"""Seconds between looks of `tail --follow`."""


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`audit verify`, `audit export` and `audit tail`."""
    audit = sub.add_parser("audit", help="the record of everything").add_subparsers(metavar="COMMAND", required=True)
    check = audit.add_parser("verify", help="check that no row was altered, removed or added")
    check.set_defaults(run=run_verify)
    export = audit.add_parser("export", help="all rows in order of time, as JSON Lines or CSV")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl")
    for flag, chosen in (("--json", "jsonl"), ("--csv", "csv")):
        export.add_argument(flag, dest="format", action="store_const", const=chosen, help=f"--format {chosen}")
    export.add_argument("--since", metavar="TIME", type=_time, help="RFC 3339, as 2026-11-24T10:00:00Z")
    export.add_argument("--execution", metavar="ID", help="rows of one execution")
    export.add_argument("-o", "--output", metavar="FILE", type=Path, help="a new file, for its owner alone")
    export.set_defaults(run=run_export)
    tail = audit.add_parser("tail", help="the newest rows")
    tail.add_argument("-n", "--lines", metavar="N", type=_count, default=20, help="how many (default 20)")
    tail.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    tail.set_defaults(run=run_tail)
    for parser in (check, export, tail):
        config_option(parser)
    for parser in (check, tail):
        json_option(parser)


def run_verify(args: argparse.Namespace) -> int:
    """Exit 0: whole; 1: broken, each break on a line."""
    shown = sys.stderr.isatty() and not args.json

    def progress(count: int) -> None:
        if shown:
            print(f"\r{count} rows", end="", file=sys.stderr, flush=True)

    settings = settings_of(args)

    async def both(store: Store, vault: Vault) -> tuple[Verified, int, list[tuple[str, str]]]:
        return (await store.audit.verify(progress), *await unproven(store, settings.server.public_url))

    verified, signed, faults = with_store(settings, both)
    if shown:
        print("\r\033[K", end="", file=sys.stderr)
    if args.json:
        breaks = [{"writer": one.writer, "seq": one.seq, "why": one.why} for one in verified.breaks]
        receipts = {"signed": signed, "unproven": [{"ask": ask, "why": why} for ask, why in faults]}
        whole = not breaks and not faults
        print_json(
            {"ok": whole, "rows": verified.rows, "writers": verified.writers, "breaks": breaks, "passkeys": receipts}
        )
    else:
        for one in verified.breaks:
            print(f"{visible(one.writer, one_line=True)}-{one.seq}: {visible(one.why, one_line=True)}")
        for ask, why in faults:
            print(f"{visible(ask, one_line=True)}: {why}")
        word = f"broken in {len(verified.breaks)} places" if verified.breaks else "whole"
        print(f"{verified.rows} rows of {verified.writers} writers: {word}")
        if signed:
            print(f"{signed} votes were signed by passkeys: {f'{len(faults)} unproven' if faults else 'all proven'}")
    return 1 if verified.breaks or faults else 0


def run_export(args: argparse.Namespace) -> int:
    """Rows on stdout, or in a file that must be new."""

    async def export(record: Record) -> int:
        with _output(args.output) as out:
            write = _csv(out) if args.format == "csv" else _jsonl(out)
            async for entry in record.rows(since=args.since, execution=args.execution):
                write(entry)
        return 0

    return _with_record(args, export)


def run_tail(args: argparse.Namespace) -> int:
    """The newest rows, one a line; with `--follow` until interrupted."""

    async def tail(record: Record) -> int:
        shown: set[str] = set()
        async for entry in _newest(record, args.lines, args.follow):
            if entry.id not in shown:
                shown.add(entry.id)
                print(json.dumps(entry.data(), ensure_ascii=False) if args.json else line(entry), flush=True)
        return 0

    return _with_record(args, tail)


def line(entry: Entry) -> str:
    """A row on a terminal: text that others wrote is made visible."""
    facts = "; ".join(_fact(fact) for fact in entry.what)
    parts = (rfc3339(entry.at), entry.actor, f"for {entry.user}" if entry.user else "", entry.execution or "", facts)
    return "  ".join(visible(part, one_line=True) for part in parts if part)


def _fact(fact: dict[str, Any]) -> str:
    said = " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in fact.items()
        if name != "do" and value not in (None, [], {})
    )
    return f"{fact.get('do', '?')} {said}".rstrip()


def _jsonl(out: TextIO) -> Callable[[Entry], None]:
    return lambda entry: print(json.dumps(entry.data()), file=out)


def _csv(out: TextIO) -> Callable[[Entry], None]:
    writer = csv.writer(out)
    writer.writerow(COLUMNS)

    def write(entry: Entry) -> None:
        data = entry.data()
        data["what"] = json.dumps(data["what"])
        writer.writerow([_cell(data[name]) for name in COLUMNS])

    return write


def _cell(value: str | None) -> str:
    """A cell that no spreadsheet takes for a formula (THREAT_MODEL 19)."""
    text = value or ""
    return "'" + text if text.startswith(_FORMULA) or _UNSEEN.sub("", text).startswith(_FORMULA) else text


@contextlib.contextmanager
def _output(path: Path | None) -> Any:
    if path is None:
        yield sys.stdout
        return
    try:
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        raise JitAuthError(f"{path}: {error.strerror}") from error
    with open(made, "w", encoding="utf-8", newline="") as out:
        yield out


async def _newest(record: Record, count: int, follow: bool) -> AsyncIterator[Entry]:
    for entry in await record.tail(count):
        yield entry
    while follow:
        await asyncio.sleep(_EACH)
        for entry in await record.tail(1_000):
            yield entry


def _with_record(args: argparse.Namespace, work: Callable[[Record], Awaitable[T]]) -> T:
    return with_store(settings_of(args), lambda store, vault: work(store.audit))


def _time(text: str) -> Millis:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time as 2026-11-24T10:00:00Z") from None
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} names no zone: end it with Z or +01:00")
    return round(at.timestamp() * 1000)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100000")
    return int(text)
