"""URLs that people or agents name, compared by their parts and never as text (prefix games, dot segments, userinfo)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_ODD = re.compile(r"[\x00-\x20\x7f\\]|%2e|%2f|%5c", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


def within(url: str, prefix: str) -> bool:
    """Whether `url` lies under `prefix`: same scheme, host and port, and its path begins with the prefix's.

    `prefix` ends in `/`. A URL with userinfo, a fragment, a backslash, a control character, a dot segment or one of
    these percent-encoded lies under nothing.
    """
    if _ODD.search(url) or not prefix.endswith("/"):
        return False
    try:
        one, two = urlsplit(url), urlsplit(prefix)
        places = [(part.scheme, part.hostname, part.port or _PORTS.get(part.scheme)) for part in (one, two)]
    except ValueError:
        return False
    if one.scheme not in _PORTS or "@" in one.netloc or "#" in url or not one.hostname:
        return False
    if any(segment in (".", "..") for segment in one.path.split("/")):
        return False
    return places[0] == places[1] and one.path.startswith(two.path)
