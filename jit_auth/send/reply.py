"""What an answer means (`classify`), and what of it an agent may see (`reduce`).

docs/http-api.md, THREAT_MODEL 36.
"""

from __future__ import annotations

import base64
import codecs
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from jit_auth.errors import AddressRefused
from jit_auth.model import Action, Millis, Missed, Reply, Result
from jit_auth.send.challenge import bearer, retry_after
from jit_auth.send.scrub import Scrub
from jit_auth.send.shapes import REMOVED

OutcomeKind = Literal[
    "done", "failed", "lost", "never_left", "rate_limited", "unauthorized", "insufficient_scope", "refused"
]

SHOWN = frozenset({"content-type", "etag", "last-modified", "link", "retry-after", "x-request-id"})
"""Response headers that every result may hold; an action's `expose_headers` adds to them."""
NEVER_SHOWN = frozenset({"set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate", "authentication-info"})
_DEEPEST = 200
_BRACKETS = re.compile(rb"[\[\]{}]")
_INTERMEDIARY = frozenset({408, 502, 504})
_CHARSETS = frozenset(
    {"utf-8", "utf-8-sig", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "koi8-r",
     "koi8-u", "big5", "gb2312", "gbk", "gb18030", "shift_jis", "euc_jp", "euc_kr", "iso2022_jp"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    `retry_after` (milliseconds) of rate_limited: not executed, and when it may be tried again. `scopes` of
    insufficient_scope: those the provider named, maybe none. `invalid_token` of unauthorized: surely not executed.
    """

    kind: OutcomeKind
    retry_after: Millis | None = None
    scopes: tuple[str, ...] = ()
    invalid_token: bool = False


_DONE = Outcome("done")
_FAILED = Outcome("failed")
_LOST = Outcome("lost")


def classify(reply: Reply | Missed, action: Action, *, now: Millis | None = None) -> Outcome:
    """Say what an answer, or its absence, means. `now` (default: the clock's) is for Retry-After as a date."""
    if isinstance(reply, Missed):
        if reply.left:
            return _LOST
        refused = reply.code in (AddressRefused.code, "request_refused")
        return Outcome("refused" if refused else "never_left")
    status = reply.status
    if 200 <= status < 400:
        return _DONE
    if status in _INTERMEDIARY:
        return _LOST
    if status == 401:
        return Outcome("unauthorized", invalid_token=bearer(reply).get("error") == "invalid_token")
    if status == 403:
        challenge = bearer(reply)
        if challenge.get("error") == "insufficient_scope":
            return Outcome("insufficient_scope", scopes=tuple(challenge.get("scope", "").split()))
    if status == 429 or (status == 503 and action.retry != "never"):
        after = retry_after(reply, int(time.time() * 1000) if now is None else now)
        if after is not None:
            return Outcome("rate_limited", retry_after=after)
    return _FAILED


def reduce(reply: Reply, action: Action, traces: Sequence[bytes]) -> Result:
    """The part of an answer that is stored and handed to the agent, with every credential taken out.

    JSON media types give the parsed value, text/* a string, all else `{"base64": ...}`; an empty body that is no text
    is None. So is a truncated one: half a body could be half a credential.
    """
    scrub = Scrub(traces)
    shown = SHOWN.union(name.lower() for name in action.expose_headers) if action.expose_headers else SHOWN
    headers: dict[str, str] = {}
    for name, value in reply.headers:
        if name in shown and name not in NEVER_SHOWN and not (name == "location" and 300 <= reply.status < 400):
            value = scrub.text(value)
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body: Any = None
    if not reply.truncated:
        body = _body(reply, action.secret_fields, scrub)
    return Result(reply.status, headers, body, reply.truncated)


def _body(reply: Reply, secret_fields: Sequence[str], scrub: Scrub) -> Any:
    media, charset = _media(reply.header("content-type") or "")
    data = reply.body
    if media.endswith(("/json", "+json")):
        if not data:
            return None
        if not _deep(data):
            try:
                value = msgspec.json.decode(data.removeprefix(codecs.BOM_UTF8))
            except msgspec.MsgspecError:
                pass
            else:
                if secret_fields:
                    value = _without(value, _names(secret_fields), "")
                # A backslash may hide letters and digits; without one the bytes are what the strings say.
                plain = msgspec.json.encode(value) if b"\\" in data else data
                return scrub.value(value) if scrub.suspect(plain.decode("latin-1")) else value
        # No JSON after all. In what cannot be parsed no field can be found.
        return REMOVED if secret_fields else scrub.text(_decoded(data, charset))
    if media.startswith("text/"):
        return scrub.text(_decoded(data, charset))
    if not data:
        return None
    return {"base64": base64.b64encode(scrub.data(data)).decode("ascii")}


def _deep(data: bytes) -> bool:
    """Whether a JSON text is nested deeper than what handles it later can bear (counting brackets in strings too)."""
    if data.count(b"[") + data.count(b"{") <= _DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(data):
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEEPEST:
            return True
    return False


def _media(text: str) -> tuple[str, str]:
    """Media type and charset of a Content-Type (RFC 9110 8.3)."""
    if ";" not in text:
        return text.strip().lower(), "utf-8"
    media, *params = text.split(";")
    for param in params:
        name, _, value = param.partition("=")
        if name.strip().lower() == "charset":
            return media.strip().lower(), value.strip().strip("\"'")
    return media.strip().lower(), "utf-8"


def _decoded(data: bytes, charset: str) -> str:
    """As text. An unknown charset is read as UTF-8; what fits none shows as U+FFFD."""
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = "utf-8"
    if name not in _CHARSETS and not name.startswith(("iso8859-", "cp125", "windows-125")):
        name = "utf-8"  # among the others are codecs that are no charsets, or slow on purpose
    if name == "utf-8":
        name = "utf-8-sig"  # the same without a byte order mark
    return data.decode(name, "replace")


def _names(fields: Sequence[str]) -> frozenset[str]:
    return frozenset(field if field.startswith("/") else field.casefold() for field in fields)


def _without(value: Any, fields: frozenset[str], place: str) -> Any:
    """`[removed]` in place of each field: by name at any depth and in any case, or by JSON pointer (RFC 6901)."""
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            here = f"{place}/{key.replace('~', '~0').replace('/', '~1')}"
            secret = key.casefold() in fields or here in fields
            kept[key] = REMOVED if secret else _without(item, fields, here)
        return kept
    if isinstance(value, list):
        return [
            REMOVED if f"{place}/{at}" in fields else _without(item, fields, f"{place}/{at}")
            for at, item in enumerate(value)
        ]
    return value
