"""Addresses as config.toml writes them: what is loopback, what is a URL, what can be a prefix of URLs."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, unquote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


def is_loopback(host: str) -> bool:
    """Whether a host (no port, no brackets) is `localhost` or a loopback address, by its text alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """The origin of an http(s) URL as browsers write it: lower case, no default port, no slash. Raises ValueError."""
    parts = parsed(url)
    if parts.query or url.endswith("?") or parts.path.strip("/"):
        raise ValueError("it is scheme, host and port alone")
    host = (parts.hostname or "").lower()
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{shown}{port}"


def is_host(text: str) -> bool:
    """Whether `text` is a host name in lower case, or an address: without port, without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def host_port(text: str) -> tuple[str, int]:
    """`host:port`, with brackets around an IPv6 address. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare and bare == host) or not port.isascii() or not port.isdigit():
        raise ValueError("expected HOST:PORT")
    if int(port) > 65535:
        raise ValueError("a port is at most 65535")
    return bare, int(port)


def parsed(url: str) -> SplitResult:
    """An absolute http(s) URL of plain parts. Raises ValueError: no host, user, fragment, odd characters, odd port."""
    if not url.isascii() or any(c <= " " or c in '\x7f\\<>"{}|^`' for c in url):
        raise ValueError("a URL holds visible ASCII alone")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("expected an absolute http:// or https:// URL")
    if "@" in parts.netloc:
        raise ValueError("a user in a URL is refused")
    if parts.fragment or url.endswith("#"):
        raise ValueError("a fragment in a URL is refused")
    _ = parts.port  # raises ValueError where it is none
    return parts


def target(url: str) -> str:
    """A URL that something is sent to, as it was written, once judged: no dot segment. Raises ValueError."""
    parts = parsed(url)
    _judge_host(parts)
    if _dotted(parts.path):
        raise ValueError("its path holds a dot segment")
    return url


def prefix(url: str) -> str:
    """A URL prefix as it was written, once judged: ends in `/`, no query, no dot segment. Raises ValueError."""
    parts = parsed(url)
    _judge_host(parts)
    if parts.query or url.endswith("?") or not parts.path.endswith("/"):
        raise ValueError("a URL prefix ends in / and has no query")
    if _dotted(parts.path):
        raise ValueError("a URL prefix holds no dot segment")
    return url


def _judge_host(parts: SplitResult) -> None:
    # `*.example.com`, `%65vil.example`: a pattern, or another host for whoever decodes it.
    host = parts.hostname or ""
    if "%" in host or not is_host(host):
        raise ValueError(f"{host!r} is no host name or address")


def _dotted(path: str) -> bool:
    """Whether a path holds a dot segment, however encoded: whoever normalises it would end up elsewhere."""
    for _ in range(4):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return True
    return any(segment in (".", "..") for segment in path.replace("\\", "/").split("/"))
