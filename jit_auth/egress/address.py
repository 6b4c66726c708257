"""Judges where a request may go: the URL's form, the host against its pins, every address by its class.

THREAT_MODEL 5, 9 and 31. Sources: RFC 3986 (URLs), RFC 6890 and the IANA special-purpose registries (classes), RFC 6052
(NAT64), WHATWG URL "ends in a number" (which host texts a resolver would take for an IPv4 address).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, NamedTuple

from jit_auth.errors import AddressRefused

AddressClass = Literal[
    "public", "private", "loopback", "link-local", "cgnat", "metadata", "multicast", "unspecified", "broadcast",
    "reserved", "documentation", "transition",
]  # fmt: skip
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Where clouds hand out credentials to whoever asks. 168.63.129.16 (Azure) even is a public address.
_METADATA: frozenset[Address] = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.170.23", "169.254.42.42", "169.254.0.23",
        "100.100.100.200", "100.88.222.5", "168.63.129.16", "192.0.0.192",
        "fd00:ec2::254", "fd00:ec2::253", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42",
    )
)  # fmt: skip
# First fit counts.
_V4: tuple[tuple[IPv4Network, AddressClass], ...] = (
    (IPv4Network("0.0.0.0/8"), "unspecified"),  # Linux connects 0.0.0.0 to itself
    (IPv4Network("127.0.0.0/8"), "loopback"),
    (IPv4Network("10.0.0.0/8"), "private"),
    (IPv4Network("172.16.0.0/12"), "private"),
    (IPv4Network("192.168.0.0/16"), "private"),
    (IPv4Network("100.64.0.0/10"), "cgnat"),
    (IPv4Network("169.254.0.0/16"), "link-local"),
    (IPv4Network("192.0.0.0/24"), "reserved"),
    (IPv4Network("192.0.2.0/24"), "documentation"),
    (IPv4Network("198.51.100.0/24"), "documentation"),
    (IPv4Network("203.0.113.0/24"), "documentation"),
    (IPv4Network("192.88.99.0/24"), "transition"),
    (IPv4Network("198.18.0.0/15"), "reserved"),
    (IPv4Network("224.0.0.0/4"), "multicast"),
    (IPv4Network("255.255.255.255/32"), "broadcast"),
    (IPv4Network("240.0.0.0/4"), "reserved"),
)
_V6: tuple[tuple[IPv6Network, AddressClass], ...] = (
    (IPv6Network("::/128"), "unspecified"),
    (IPv6Network("::1/128"), "loopback"),
    (IPv6Network("::/96"), "transition"),  # IPv4-compatible
    (IPv6Network("64:ff9b:1::/48"), "transition"),  # NAT64 with rules of its own: what it reaches is not to be seen
    (IPv6Network("fc00::/7"), "private"),
    (IPv6Network("fe80::/10"), "link-local"),
    (IPv6Network("fec0::/10"), "private"),  # site-local, given up by RFC 3879, routed here and there
    (IPv6Network("ff00::/8"), "multicast"),
    (IPv6Network("2001::/32"), "transition"),  # Teredo
    (IPv6Network("2001::/23"), "reserved"),
    (IPv6Network("2001:db8::/32"), "documentation"),
    (IPv6Network("3fff::/20"), "documentation"),
    (IPv6Network("2002::/16"), "transition"),  # 6to4
    (IPv6Network("2000::/3"), "public"),
    (IPv6Network("::/0"), "reserved"),
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER: frozenset[AddressClass] = frozenset({"unspecified", "multicast", "broadcast"})

_URL = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?"
    r"((?:[/?][A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]*)?)"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Target(NamedTuple):
    """A URL taken apart. `host` is lower case, without brackets; `authority` is for Host; `path` has the query."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str


@lru_cache(1024)  # judged before the intent and sent after it: the same URL twice within a moment
def parse(url: str) -> Target:
    """Take an absolute http(s) URL apart without altering what is sent; AddressRefused where it is not one.

    No userinfo, fragment, backslash, space, control or non-ASCII character: two readers could differ about them.
    """
    fit = _URL.fullmatch(url)
    if fit is None:
        raise AddressRefused("The URL is not a plain absolute http or https URL.")
    scheme, host, port_text, path = fit.groups()
    port = 443 if scheme == "https" else 80
    authority = host = host.lower()
    if port_text is not None:
        given = int(port_text)
        if not 0 < given < 65536:
            raise AddressRefused(f"{host} has no port {given}.")
        if given != port:
            authority = f"{host}:{given}"
            port = given
    if path[:1] != "/":
        path = "/" + path
    return Target(scheme, host.strip("[]"), port, authority, path)


def literal(host: str) -> Address | None:
    """The address that `host` writes in its one usual form; None for a name.

    AddressRefused for what a resolver might take for an address in another notation (2130706433, 0x7f.1, 127.1,
    0177.0.0.1), for a zone id, and for what is no host name at all.
    """
    try:
        if "%" not in host:
            return ip_address(host)
    except ValueError:
        pass
    labels = host.split(".")
    if len(host) > 253 or _NUMERIC.fullmatch(labels[-1]) or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused(f"{host!a} is neither a host name nor an address in its usual form.")
    return None


def classify(address: Address) -> AddressClass:
    """What kind of place an address is. IPv4 inside IPv6 (mapped, NAT64) is judged as the IPv4 address it reaches."""
    inner = _inner(address)
    if address in _METADATA or inner in _METADATA:
        return "metadata"
    if isinstance(inner, IPv4Address):
        for net, kind in _V4:
            if inner in net:
                return kind
        return "public"
    for net6, kind in _V6:
        if inner in net6:
            return kind
    return "reserved"


def _inner(address: Address) -> Address:
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


class Pins:
    """Host patterns: exact names and addresses, or `*.domain` (its subdomains at any depth, not itself)."""

    def __init__(self, patterns: Iterable[str]) -> None:
        exact: set[str] = set()
        below: list[str] = []
        for pattern in patterns:
            text = pattern.lower()
            if text.startswith("*."):
                below.append(text[1:])
            else:
                exact.add(text.strip("[]"))
        self._exact = frozenset(exact)
        self._below = tuple(below)

    def __contains__(self, host: object) -> bool:
        if host in self._exact:
            return True
        # An address has no subdomains: "*.0.0.1" is no pattern for 127.0.0.1.
        return isinstance(host, str) and host.endswith(self._below) and not _NUMERIC.fullmatch(host.rpartition(".")[2])


class Private:
    """`allow_private_hosts`: names, addresses and networks that may lie where nobody else may go.

    A name or a network covers private, loopback, link-local, shared, reserved and documentation addresses; a metadata
    address is covered only by itself, written out; unspecified, multicast and broadcast ones by nothing.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        names: list[str] = []
        nets: list[Network] = []
        for entry in entries:
            try:
                nets.append(ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                names.append(entry)
        self._names = Pins(names)
        self._nets = tuple(nets)
        self._single = frozenset(net.network_address for net in nets if net.num_addresses == 1)

    def covers_name(self, host: str) -> bool:
        """Is this name listed?"""
        return host in self._names

    def covers(self, address: Address) -> bool:
        """Is this address listed, by itself or by a network?"""
        inner = _inner(address)
        return any(address in net or inner in net for net in self._nets)

    def allows(self, host: str, address: Address) -> bool:
        """May a request for `host` go to this address?"""
        kind = classify(address)
        if kind == "public":
            return True
        if kind in _NEVER:
            return False
        if kind == "metadata":
            return address in self._single or _inner(address) in self._single
        return self.covers_name(host) or self.covers(address)


def judge(scheme: str, host: str, addresses: Sequence[str], private: Private) -> tuple[str, ...]:
    """The addresses of `host` that a request may go to, in their order; AddressRefused where none is left.

    Every address is judged by itself: one public address beside a private one opens only itself. Plain http goes only
    where `allow_private_hosts` covers the name or that address.
    """
    good: list[str] = []
    bad: set[str] = set()
    for text in addresses:
        try:
            address = ip_address(text)
        except ValueError:
            bad.add("unreadable")
            continue
        if "%" in text or not private.allows(host, address):
            bad.add(classify(address))
        elif scheme == "http" and not (private.covers_name(host) or private.covers(address)):
            bad.add("plain http")
        else:
            good.append(str(address))
    if not good:
        raise AddressRefused(
            f"{host} is not a place requests may go to ({', '.join(sorted(bad)) or 'no address'}).",
            hint="List the host or its address under [connectors] allow_private_hosts if it is meant.",
        )
    return tuple(good)
