"""One OpenID provider as config.toml writes it ([issuers.NAME]), its secret resolved: judged when it is made."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec import Struct

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_AUTH = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_ODD = re.compile(r"[^\x21-\x7e]|[\\@#]")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Issuer(Struct, frozen=True, kw_only=True):
    """One OpenID provider (`[issuers.NAME]`). `domains` are the only ones whose addresses it is believed about.

    With no `domains` no address is believed; `user_claim` may then still name a claim that holds plain names.
    Raises ValueError where something here can never be right.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str
    domains: tuple[str, ...] = ()
    user_claim: str = "email"
    scopes: tuple[str, ...] = ("openid", "email")
    token_auth: str = "client_secret_basic"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("The name of an issuer is 1 to 63 of a-z, 0-9, - and _ (it stands in the redirect URI).")
        if not reachable(self.issuer, plain=True) or "?" in self.issuer:
            raise ValueError("An issuer is an https URL without query or fragment (http on loopback alone).")
        if not self.client_id or not self.user_claim:
            raise ValueError("An issuer has a client_id and a user_claim.")
        if any(not _DOMAIN.fullmatch(domain) for domain in self.domains):
            raise ValueError("The domains of an issuer are A-labels in lower case (xn--bcher-kva.example).")
        if "openid" not in self.scopes:
            raise ValueError("The scopes of an issuer hold `openid`: without it there is no ID token.")
        if self.token_auth not in _AUTH:
            raise ValueError(f"The token_auth of an issuer is one of {', '.join(_AUTH)}.")

    def __repr__(self) -> str:
        return f"Issuer({self.name!r}, {self.issuer!r})"  # it holds a client secret

    __str__ = __repr__


def reachable(url: str, *, plain: bool) -> bool:
    """Whether a URL is one we go to: https, or http to loopback where `plain`; no userinfo, no fragment, ASCII."""
    if _ODD.search(url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host:
        return False
    return parts.scheme == "https" or (plain and parts.scheme == "http" and host in _LOOPBACK)
