"""Read what a token endpoint answers, whatever form it has: a token with its scopes, or what kind of failure it is.

The providers' oddities are data (`Provider`) or tolerated for all. What is decided here is who has to act: only the
codes that end a grant (`Broken`) make a person connect again; outages (`Away`) are tried again; our own registration
at fault (`Misconfigured`) is the operator's. RFC 6749 5.1, 5.2 and 6.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from jit_auth.errors import Away, Broken, Misconfigured, ProviderError
from jit_auth.model import Millis, Provider, Reply, Token
from jit_auth.oauth.bearer import usable

YEAR: Millis = 365 * 24 * 3600 * 1000
"""The longest lifetime that is believed (THREAT_MODEL 36)."""

_OURS = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_request",
                   "invalid_scope"})  # fmt: skip
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_SCOPES = 500


class Fresh(Struct, frozen=True, kw_only=True):
    """What a token endpoint gave. `scopes` is None where the reply does not say; `body` is the whole reply, parsed."""

    token: Token
    scopes: tuple[str, ...] | None
    body: Mapping[str, Any]

    def __repr__(self) -> str:
        return "Fresh(...)"

    __str__ = __repr__


def read_token(
    reply: Reply, provider: Provider, *, sent: Millis, last: Token | None = None, secrets: Sequence[str | None] = ()
) -> Fresh:
    """The token in a reply to a request that left at `sent` (lifetimes count from there: never too long).

    `last` is the token that was refreshed: its refresh token and lifetime stay where the reply names none.
    `secrets` are what the request carried: an error code that repeats one is not repeated.
    Raises Broken, Away, Misconfigured.
    """
    body = parse_body(reply)
    ok = 200 <= reply.status < 300
    holder = _holder(body, provider, refreshing=last is not None)
    access = holder.get("access_token")
    if not ok or error_code(body) is not None or not usable(access):
        raise failure(reply.status, body, provider, secrets)
    lifetime = _lifetime(holder.get("expires_in"), last)
    refresh = holder.get("refresh_token")
    if not (isinstance(refresh, str) and refresh):
        refresh = last.refresh if last else None
    token = Token(
        access=str(access), refresh=refresh, lifetime=lifetime, expires=None if lifetime is None else sent + lifetime
    )
    return Fresh(token=token, scopes=split_scopes(holder.get("scope"), provider), body=body)


def failure(status: int, body: Mapping[str, Any], provider: Provider, secrets: Sequence[str | None]) -> ProviderError:
    """Which failure an answer without a token is. The provider's words stay out of it, but for a plain error code."""
    code = error_code(body)
    shown = code if code and _CODE.fullmatch(code) and not any(code in (secret or "") for secret in secrets) else "none"
    told = f"The provider {provider.id} answered {status}, error {shown}."
    if 200 <= status < 300:
        # A 200 with an error body breaks a grant only where the provider's own data names that code; a body that says
        # invalid_grant under a 2xx or 5xx is what half-broken proxies and deployments produce: an outage.
        if code in set(provider.broken_errors) - {"invalid_grant"}:
            return Broken(told, hint="Connect the account again.")
    elif status in (400, 401) and code in {"invalid_grant", *provider.broken_errors}:
        return Broken(told, hint="Connect the account again.")
    elif 400 <= status < 500 and status != 429 and code in _OURS:
        return Misconfigured(told, hint=f"Check client id, secret and redirect URI in [providers.{provider.id}].")
    return Away(told)


def parse_body(reply: Reply) -> dict[str, Any]:
    """JSON object or form-encoded pairs, whatever the content type claims; anything else is an empty dict."""
    text = reply.body.decode("utf-8", "replace").lstrip("\ufeff").strip()
    if text.startswith("{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}
    kind = (reply.header("content-type") or "").lower()
    if "html" in kind or "<" in text or "=" not in text or len(text) > 65_536:
        return {}
    pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=None)
    return dict(pairs) if len(pairs) <= 100 else {}


def error_code(body: Mapping[str, Any]) -> str | None:
    """The error code of a reply, None where it reports none (Slack: `ok` false)."""
    error = body.get("error")
    if isinstance(error, dict):
        error = next((error[key] for key in ("code", "type", "status") if isinstance(error.get(key), str)), "unknown")
    if error:
        return error if isinstance(error, str) else "unknown"
    return "unknown" if body.get("ok") is False else None


def split_scopes(value: object, provider: Provider) -> tuple[str, ...] | None:
    """Scopes as told: split at the provider's separator, blanks and commas; None where nothing is told."""
    if isinstance(value, list):
        value = " ".join(item for item in value if isinstance(item, str))
    if not isinstance(value, str):
        return None
    separator = provider.scope_separator.strip()
    text = value.replace(separator, " ") if separator else value
    return tuple(dict.fromkeys(text.replace(",", " ").split()))[:_MAX_SCOPES]


def pointer(document: object, path: str) -> object:
    """What a JSON pointer (RFC 6901) names in a document, or None."""
    for step in path.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(key)
        elif isinstance(document, list) and key.isdecimal() and len(key) < 7 and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document


def _holder(body: Mapping[str, Any], provider: Provider, *, refreshing: bool) -> Mapping[str, Any]:
    """The object that holds the token. A code's reply is read at `token_path` alone: at Slack the outer token is
    another identity's (the bot's). A refresh answers for the token that was sent, also where it answers flatly."""
    if not provider.token_path:
        return body
    nested = pointer(body, provider.token_path)
    if isinstance(nested, dict) and "access_token" in nested:
        return nested
    return body if refreshing else {}


def _lifetime(value: object, last: Token | None) -> Millis | None:
    known = last.lifetime if last else None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return known
    if isinstance(value, bool) or not isinstance(value, int | float):
        return known
    if value != value or value <= 0:
        return known
    return YEAR if math.isinf(value) or value >= YEAR / 1000 else max(1, int(value * 1000))
