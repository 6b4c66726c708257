"""The hosts a provider's secrets may go to, judged by their text when files are loaded (THREAT_MODEL 5)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from jit_auth.config.urls import parsed

_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
# Second levels under which registries of countries sell names, and hosting domains under which anyone may have one.
# Not the whole Public Suffix List: it keeps the common mistakes out; a provider's hosts remain the reviewer's to read.
_SECOND_LEVELS = frozenset({
    "ac", "co", "com", "edu", "gob", "gov", "govt", "gv", "ltd", "me", "mil", "ne", "net", "nom", "or", "org", "plc",
    "sch",
})  # fmt: skip
_HOSTING = frozenset({
    "amazonaws.com", "appspot.com", "azurewebsites.net", "blogspot.com", "cloudapp.net", "cloudfront.net",
    "firebaseapp.com", "fly.dev", "github.io", "gitlab.io", "herokuapp.com", "netlify.app", "ngrok-free.app",
    "ngrok.io", "onrender.com", "pages.dev", "r2.dev", "run.app", "trycloudflare.com", "vercel.app", "web.app",
    "workers.dev",
})  # fmt: skip


def host_fault(host: str) -> str | None:
    """Why `host` cannot stand in a provider's `hosts`, or None: an exact name or address, or `*.domain`."""
    name = host.removeprefix("*.")
    if name == host and _address(host):
        return None
    if not _NAME.fullmatch(name):
        return "is no host name in lower case (or *.domain)"
    if name != host and _is_suffix(name):
        return "would take in every name that a registry or a hosting company gives away"
    return None


def _is_suffix(domain: str) -> bool:
    labels = domain.split(".")
    if len(labels) == 1 or domain in _HOSTING or _address(domain):
        return True
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LEVELS


def _address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_of(url: str) -> str:
    """The host of a URL in lower case, without port and brackets; "" where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def covered(host: str, allow_private: Iterable[str]) -> bool:
    """Whether `allow_private_hosts` names `host`: by name, by address, by a network it lies in.

    By text alone, nothing is resolved; `localhost` counts as 127.0.0.1 and ::1. Egress judges again what it resolves.
    """
    addresses = []
    for text in ("127.0.0.1", "::1") if host == "localhost" else (host,):
        try:
            addresses.append(ipaddress.ip_address(text))
        except ValueError:
            continue
    for entry in allow_private:
        if entry == host or (entry.startswith("*.") and host.endswith(entry[1:])):
            return True
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            continue
        if any(address in network for address in addresses):
            return True
    return False


def url_fault(url: str, allow_private: Iterable[str]) -> str | None:
    """Why `url` cannot be an endpoint, or None: absolute, no user, no fragment, https unless its host is allowed."""
    try:
        parts = parsed(url)
    except ValueError as error:
        return str(error)
    if parts.scheme == "http" and not covered(parts.hostname or "", allow_private):
        return "https is required (http only to what [connectors] allow_private_hosts lists)"
    return None
