"""[channels.email] as config.toml writes it, and the mail server that its URL names."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct, field

from jit_auth.channels.shape import Details
from jit_auth.config.secret import Secret
from jit_auth.core.ids import person_id
from jit_auth.errors import Problem

_PORTS = {"smtp": 587, "smtps": 465}


class Server(Struct, frozen=True, kw_only=True):
    """A mail server. `tls`: from the first byte; by STARTTLS, without which nothing is said to it; or, on this machine,
    where it is offered."""

    host: str
    port: int
    tls: Literal["always", "starttls", "offered"]
    user: str | None = None
    password: str = ""

    def __repr__(self) -> str:
        return f"Server({self.shown})"

    __str__ = __repr__

    @property
    def shown(self) -> str:
        """`smtp://host:port`, without what is secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'smtps' if self.tls == 'always' else 'smtp'}://{host}:{self.port}"


def server_of(url: str) -> Server:
    """The server of `smtp://` or `smtps://[user:password@]host[:port]`. Raises ValueError; its message holds no part
    of the URL, which may be a secret."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("smtp_url: write what is not printable ASCII with % escapes")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("smtp_url is no URL") from None
    if parts.scheme not in _PORTS or not host:
        raise ValueError("smtp_url is smtp://host:port or smtps://host:port, with user:password@ before the host")
    if parts.path not in ("", "/") or parts.query or parts.fragment or port == 0:
        raise ValueError("smtp_url ends after host and port (a / ? # or @ in a password is written %2F %3F %23 %40)")
    user = unquote(parts.username or "")
    password = unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError("smtp_url has both user and password, or neither")
    if not (user + password).isprintable():
        raise ValueError("smtp_url: user and password hold no control characters")
    if parts.scheme == "smtps":
        tls: Literal["always", "starttls", "offered"] = "always"
    else:
        tls = "offered" if _loopback(host) else "starttls"
    return Server(host=host, port=port or _PORTS[parts.scheme], tls=tls, user=user or None, password=password)


def _loopback(host: str) -> bool:
    """Whether what is said stays on this machine. A name other than localhost may resolve to anything."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class EmailSettings(Struct, frozen=True, kw_only=True):
    """The table. Judged when it is read, and again once the secret is known."""

    smtp_url: Secret
    sender: str = field(name="from")
    details: Details = "full"

    def __post_init__(self) -> None:
        if not address(self.sender):
            raise ValueError("from is one plain address, such as approvals@example.com")
        if isinstance(self.smtp_url, str) and self.smtp_url:
            server_of(self.smtp_url)

    def __repr__(self) -> str:
        return f"EmailSettings({self.sender!r})"

    __str__ = __repr__


def address(text: str) -> str | None:
    """`text` in the one form where it is exactly one plain address (dot-atom, `@`, a domain), else None: whatever has
    this form can stand in a header and in an SMTP command without being anything else there."""
    try:
        made = person_id(text)
    except Problem:
        return None
    return made if "@" in made else None
