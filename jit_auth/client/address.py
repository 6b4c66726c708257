"""Where the service is and as whom it is called: from arguments or the environment, refused where that is unsafe."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from jit_auth.client.errors import NotConfigured


class Address(NamedTuple):
    """A base URL without a slash at its end, taken apart; and the token, which no repr shows."""

    url: str
    secure: bool
    host: str
    port: int | None
    path: str
    token: str

    def __repr__(self) -> str:
        return f"Address({self.url!r})"


def address(url: str | None, token: str | None, *, allow_http: bool) -> Address:
    """From what was given, else JIT_AUTH_URL and JIT_AUTH_TOKEN. Raises NotConfigured, never showing the token."""
    given = (url if url is not None else os.environ.get("JIT_AUTH_URL", "")).strip()
    if not given:
        raise NotConfigured(
            "No address of the service was given.", hint="Set JIT_AUTH_URL, for example http://127.0.0.1:8080."
        )
    secret = (token if token is not None else os.environ.get("JIT_AUTH_TOKEN", "")).strip()
    if not secret:
        raise NotConfigured(
            "No token was given.",
            hint="Set JIT_AUTH_TOKEN to what `jit-auth init` or `jit-auth agent new NAME` printed.",
        )
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise NotConfigured("The token holds characters that no token has.", hint="Copy it again, whole, on one line.")
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:
        raise _bad("is none") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad("does not start with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise _bad("holds a user or a password")  # it would be shown wherever the address is
    if parts.query or parts.fragment or not given.isprintable() or " " in given:
        raise _bad("holds more than a host and a path")
    host, secure = parts.hostname, parts.scheme == "https"
    if not secure and not allow_http and not _loopback(host):
        raise NotConfigured(
            f"http:// would send the token in the clear to {host}.",
            code="insecure_url",
            hint="Use https://, or say allow_http=True where the wire is your own.",
        )
    shown = f"[{host}]" if ":" in host else host
    place = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
    path = parts.path.rstrip("/")
    return Address(place + path, secure, host, port, path, secret)


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress  # here: most addresses need no look

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bad(why: str) -> NotConfigured:
    return NotConfigured(f"The address of the service {why}.", hint="For example https://jit-auth.example.com.")
