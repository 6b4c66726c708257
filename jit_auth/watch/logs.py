"""The log: lines of text on a terminal, one JSON object a line elsewhere, for everything that uses `logging`.

Attacks: a library, or a message of ours, lets a secret, an address of a person or a link through (last of all, whatever
looks like one is removed, tracebacks included); foreign text forges lines or drives the terminal (what is not printable
is shown by its code).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import structlog

from jit_auth.watch.here import HERE

REMOVED = "[removed]"
Event = MutableMapping[str, Any]

_TOKENS = re.compile(
    r"(?:jat_|whsec_|xox[a-z]-|xapp-)[A-Za-z0-9+/=_.-]{4,}"
    r"|(?<=[Bb]earer )[^\s'\",;]+"
    r"|(?<=[Bb]asic )[A-Za-z0-9+/=_-]{8,}"
    r"|(?<=://)[^/\s@]+(?=@)"  # a URL's user and password
    r"|(?<=[?&])(?:code|state|token|access_token|refresh_token|client_secret)=[^&\s'\"]+"
)
_TICKETS = re.compile(r"(?<=/)(approvals|connect|undo)/[^\s/'\"?]+")
_ADDRESS = re.compile(r"[^\s<>()\[\]{}'\",;:=@/]{1,254}@[^\s<>()\[\]{}'\",;:=@/]+")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_NOISE = ("aiohttp.access", "asyncio")


def configure(stream: TextIO, *, json: bool, remove: Callable[[str], str], level: int = logging.INFO) -> None:
    """Send all logging of this process to `stream`. `remove` takes well-known credentials out of a text."""

    def masked(logger: Any, name: str, event: Event) -> Event:
        return {key: _masked(value, remove) for key, value in event.items()}

    render = structlog.processors.JSONRenderer() if json else _text
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _here,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                masked,
                render,
            ],
        )
    )
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in _NOISE:
        logging.getLogger(noisy).setLevel(logging.WARNING)  # the first one's lines hold paths, and paths hold tickets


def _here(logger: Any, name: str, event: Event) -> Event:
    here = HERE.get()
    for key in ("execution", "request", "agent", "trace"):
        if value := getattr(here, key):
            event.setdefault(key, value)
    return event


def _masked(value: Any, remove: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        text = _TICKETS.sub(rf"\1/{REMOVED}", _TOKENS.sub(REMOVED, remove(value)))
        return _ADDRESS.sub(REMOVED, text)
    if isinstance(value, dict):
        return {_masked(key, remove): _masked(item, remove) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, remove) for item in value]
    return value if isinstance(value, int | float | bool | None) else _masked(repr(value), remove)


def _text(logger: Any, name: str, event: Event) -> str:
    """`time level message key=value`; a traceback follows on lines of its own."""
    time, level, words = (event.pop(key, "") for key in ("time", "level", "event"))
    trouble = event.pop("exception", "")
    event.pop("logger", None)
    more = " ".join(f"{key}={value}" for key, value in event.items())
    line = _printable(f"{time[:23]}Z {level} {words} {more}".rstrip().replace("\n", "\\n"))
    return f"{line}\n{_printable(trouble)}" if trouble else line


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
