"""Where an agent may be called back: a URL judged by its parts against the agent's prefixes, and made plain. Pure.

Attacks (THREAT_MODEL 30): `https://good.example.evil.test` and `https://good.example@evil.test` begin like a prefix;
`/hooks/../admin`, also encoded once or more, leaves it on the way; tabs and line breaks vanish in URL parsers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, unquote, urlsplit

LONGEST = 2_000
"""Characters."""
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*")


def callback(url: str, prefixes: Iterable[str]) -> str | None:
    """`url` as it is stored and sent, if it lies under one of `prefixes` (each ends in `/`); else None.

    Scheme and host in lower case, no default port; path and query stay as they are.
    """
    one = _plain(url)
    if one is None:
        return None
    for prefix in prefixes:
        two = _plain(prefix)
        if two is not None and prefix.endswith("/") and _origin(one) == _origin(two) and one.path.startswith(two.path):
            return one.geturl()
    return None


def _origin(parts: SplitResult) -> tuple[str, str]:
    return parts.scheme, parts.netloc


def _plain(url: str) -> SplitResult | None:
    """The parts of a URL that every reader takes apart alike, origin made plain; None for any other."""
    if len(url) > LONGEST or not _PLAIN.fullmatch(url):  # no fragment, space, backslash, control, non-ASCII character
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    default = _PORTS.get(parts.scheme)
    authority = parts.netloc.lower()
    host = authority if authority.endswith("]") else re.sub(r":[0-9]*\Z", "", authority)
    if default is None or port == 0 or not _HOST.fullmatch(host) or not _stays(parts.path):
        return None
    netloc = host if port in (None, default) else f"{host}:{port}"
    return parts._replace(netloc=netloc, path=parts.path or "/")


def _stays(path: str) -> bool:
    """Whether a path names the same place however often it is decoded, and whoever resolves it."""
    encoded = path
    while (decoded := unquote(encoded)) != encoded:
        if len(re.findall(r"[/\\]", decoded)) != len(re.findall(r"[/\\]", encoded)):
            return False  # a slash that was hidden
        encoded = decoded
    return not any(segment in (".", "..") for segment in encoded.split("/"))
