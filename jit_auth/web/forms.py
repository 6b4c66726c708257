"""What a browser or a client posted to a person's page: where it comes from, and what it says.

No page rests on a cookie alone, so a post without `Origin` and `Sec-Fetch-Site` (no browser of this decade; curl, a
test, an old proxy that strips them) is judged by its `Referer`, if any, and is otherwise admitted: whoever holds the
unguessable ticket in the URL is whom the link was for. JSON needs its content type, which no foreign page can send
without a preflight, and there is no answer to preflights here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from msgspec import Struct

from jit_auth.core.digest import parse_json
from jit_auth.core.toml import nearest
from jit_auth.errors import BadRequest, Forbidden, TooLarge

LONGEST_POST = 16 * 1024
"""Bytes of a body posted to a page: a decision and a message."""
LARGEST_POST = 256 * 1024
"""Bytes of a post that may hold changed parameters (64 KiB, as a form writes them) or many decisions."""

_MOST_FIELDS = 512

_PORTS = {"http": 80, "https": 443}


class Posted(Struct, frozen=True):
    """The members of a post. `form`: a browser's form, which was rendered by us and carries what it showed."""

    values: dict[str, Any]
    form: bool


def origin_of(url: str) -> str | None:
    """Scheme, host and port of a URL in one form (RFC 6454); None for what has none, such as `null`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host:
        return None
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}:{port or _PORTS[parts.scheme]}"


def refuse_foreign(request: web.Request, own: str | None) -> None:
    """Raise Forbidden (`foreign_origin`) for a post that another site made this browser send. `own`: our origin."""
    origins = request.headers.getall("Origin", [])
    sites = request.headers.getall("Sec-Fetch-Site", [])
    if not origins and not sites:
        origins = request.headers.getall("Referer", [])
    if any(origin_of(origin) != own for origin in origins) or any(site != "same-origin" for site in sites):
        raise Forbidden(
            "This decision was sent from another site.",
            code="foreign_origin",
            hint="Open the link itself and use the buttons on its page.",
        )


def prefetched(request: web.Request) -> bool:
    """Whether a browser or a preview fetched this ahead of any person (Sec-Purpose, Purpose, X-Moz)."""
    words = " ".join(request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")).lower()
    return any(word in words for word in ("prefetch", "prerender", "preview"))


async def read_post(request: web.Request, most: int = LONGEST_POST) -> Posted:
    """The body of a post of at most so many bytes: JSON by its content type, else a form; an empty body is an empty
    form.

    Raises BadRequest (`bad_json`, `bad_form`, `bad_content_type`), TooLarge.
    """
    if (request.content_length or 0) > most:
        raise _too_large(most)
    body = await request.content.read(most + 1)
    while len(body) <= most and not request.content.at_eof():
        body += await request.content.read(most + 1 - len(body))
    if len(body) > most:
        raise _too_large(most)
    if request.content_type == "application/json":
        return Posted(parse_json(body), form=False)
    if not body:
        return Posted({}, form=True)
    if request.content_type != "application/x-www-form-urlencoded":
        raise BadRequest(
            "This page takes a form or JSON.",
            code="bad_content_type",
            hint="Send `content-type: application/json`, or use the buttons on the page.",
        )
    return Posted(_form(body), form=True)


def no_unknown(values: Collection[str], known: Collection[str]) -> None:
    """Raise BadRequest (`unknown_field`) with the nearest valid name in the hint."""
    for name in values:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean `{near}`?" if near else f"Known are: {', '.join(sorted(known))}."
            raise BadRequest(f"There is no field {name[:80]!r} here.", code="unknown_field", hint=hint)


def once(pairs: Collection[tuple[str, str]]) -> dict[str, str]:
    """Names and values, each name once. Raises BadRequest: of two values two readers take different ones (RFC 6749
    3.1: parameters must not be included more than once)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("A parameter was sent twice.", code="bad_query", hint="Open the link you were given again.")
    return found


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
        values = once(pairs)
    except (ValueError, BadRequest):
        values = {"\0": ""}
    if any("\0" in text for pair in values.items() for text in pair):
        raise BadRequest("This is no form.", code="bad_form", hint="Open the page again and use its buttons.")
    return values


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"A post here has at most {most} bytes.", hint="Write a shorter message.")
