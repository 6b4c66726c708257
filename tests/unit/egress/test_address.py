"""Where requests may go: URL forms, pins, classes of addresses, and what `allow_private_hosts` opens."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jit_auth.egress.address import Pins, Private, classify, judge, literal, parse
from jit_auth.errors import AddressRefused


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.com", ("https", "api.example.com", 443, "api.example.com", "/")),
        ("https://API.Example.com:443/a", ("https", "api.example.com", 443, "api.example.com", "/a")),
        ("http://api.example.com:8080/a?b=c", ("http", "api.example.com", 8080, "api.example.com:8080", "/a?b=c")),
        ("http://[::1]:9000?x=1", ("http", "::1", 9000, "[::1]:9000", "/?x=1")),
        ("https://h/a%2F..%2e/./b//c", ("https", "h", 443, "h", "/a%2F..%2e/./b//c")),
    ],
)
def test_a_url_is_taken_apart_and_never_normalised(url: str, expected: tuple[object, ...]) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/", "//h/", "https:/h", "https://", "https:///x", "https://u@h/", "https://u:p@h/", "https://h\\@evil/",
        "https://h#f", "https://h/#f", "https://h/a b", "https://h/a\r\nX: y", "https://h/\x00", "https://h/é",
        "https://é.example/", "https://h:0/", "https://h:65536/", "https://h:99999/", "https://h:/", "https://h%2eevil/",
        "https://[fe80::1%25eth0]/", "https://{account.host}/", "https://h/{id}", " https://h/", "https://h/\n",
        'https://h/"', "https://h/|",
    ],
)  # fmt: skip
def test_a_url_that_two_readers_could_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        parse(url)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01", "127.0.0.1.", "1.2.3.4.5",
        "foo.0x7f", "foo.1", "0", "0x", "256.1.1.1", "a..b", ".a", "a.", "-a.example", "a-.example",
        "a" * 64 + ".example",
        "fe80::1%eth0", "::ffff:127.0.0.1%1", "1::2::3", ".".join(["abcd"] * 51),
    ],
)  # fmt: skip
def test_an_address_in_any_other_notation_is_refused(host: str) -> None:
    with pytest.raises(AddressRefused):
        literal(host)


@pytest.mark.parametrize("host", ["api.example.com", "localhost", "xn--bcher-kva.example", "a_b.example", "1a.example"])
def test_names_are_names(host: str) -> None:
    assert literal(host) is None


CLASSES = {
    "0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "10.0.0.1": "private", "100.64.0.1": "cgnat",
    "100.127.255.255": "cgnat", "100.100.100.200": "metadata", "127.0.0.1": "loopback", "127.255.255.254": "loopback",
    "169.254.1.1": "link-local", "169.254.169.254": "metadata", "169.254.170.2": "metadata",
    "168.63.129.16": "metadata",
    "172.16.0.1": "private", "172.31.255.255": "private", "172.32.0.1": "public", "192.0.0.1": "reserved",
    "192.0.0.192": "metadata", "192.0.2.1": "documentation", "198.51.100.7": "documentation",
    "203.0.113.9": "documentation", "192.88.99.1": "transition", "192.168.1.1": "private", "198.18.0.1": "reserved",
    "224.0.0.1": "multicast", "239.255.255.255": "multicast", "240.0.0.1": "reserved", "255.255.255.255": "broadcast",
    "8.8.8.8": "public", "100.63.255.255": "public", "100.128.0.1": "public", "::": "unspecified", "::1": "loopback",
    "::7f00:1": "transition", "::8.8.8.8": "transition", "::ffff:127.0.0.1": "loopback", "::ffff:10.1.2.3": "private",
    "::ffff:169.254.169.254": "metadata", "::ffff:0.0.0.0": "unspecified", "::ffff:8.8.8.8": "public",
    "64:ff9b::127.0.0.1": "loopback", "64:ff9b::a9fe:a9fe": "metadata", "64:ff9b::8.8.8.8": "public",
    "64:ff9b:1::8.8.8.8": "transition", "2002:7f00:1::": "transition", "2002:808:808::1": "transition",
    "2001::1": "transition", "2001:0:5ef5:79fd::1": "transition", "2001:2::1": "reserved", "2001:10::1": "reserved",
    "2001:db8::1": "documentation", "3fff::1": "documentation", "fc00::1": "private", "fd00::1": "private",
    "fd00:ec2::254": "metadata", "fd20:ce::254": "metadata", "fe80::1": "link-local", "fec0::1": "private",
    "ff02::1": "multicast", "100::1": "reserved", "5f00::1": "reserved", "4000::1": "reserved",
    "2606:4700:4700::1111": "public", "2a00:1450:4001::8a": "public",
}  # fmt: skip


@pytest.mark.parametrize(("address", "kind"), CLASSES.items())
def test_every_address_has_its_class(address: str, kind: str) -> None:
    assert classify(ip_address(address)) == kind


@pytest.mark.parametrize("address", [address for address, kind in CLASSES.items() if kind != "public"])
def test_nothing_but_public_addresses_is_open_without_a_word_of_the_operator(address: str) -> None:
    with pytest.raises(AddressRefused):
        judge("https", "name.example", [address], Private(["other.example", "10.9.9.9"]))


@settings(deadline=None)  # machines are busy
@given(st.ip_addresses())
def test_what_is_open_is_global_for_the_standard_library_too(address: object) -> None:
    """A second opinion: where it is stricter than ours, ours must be as strict."""
    found = ip_address(str(address))
    if classify(found) == "public":
        inner = getattr(found, "ipv4_mapped", None) or found
        assert inner.is_global or str(found).startswith("64:ff9b::")
        assert not any((inner.is_private, inner.is_loopback, inner.is_link_local, inner.is_multicast))


def test_a_name_opens_private_places_and_plain_http_but_not_metadata() -> None:
    private = Private(["api.internal", "*.corp.example"])
    for address in ("10.0.0.1", "127.0.0.1", "169.254.7.7", "100.64.1.1", "fd00::5", "::1", "8.8.8.8"):
        assert judge("http", "api.internal", [address], private) == (address,)
        assert judge("http", "a.b.corp.example", [address], private) == (address,)
    for address in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255"):
        with pytest.raises(AddressRefused):
            judge("https", "api.internal", [address], private)
    with pytest.raises(AddressRefused):
        judge("https", "corp.example", ["10.0.0.1"], private)


def test_an_address_or_network_opens_itself_whatever_the_name() -> None:
    private = Private(["127.0.0.1", "10.0.0.0/8", "169.254.0.0/16", "[fd00::]/8", "::/0", "0.0.0.0/0"])
    assert judge("http", "localhost", ["127.0.0.1"], Private(["127.0.0.1"])) == ("127.0.0.1",)
    assert judge("http", "localhost", ["::1", "127.0.0.1"], Private(["127.0.0.1"])) == ("127.0.0.1",)
    assert judge("http", "x.example", ["::ffff:127.0.0.1"], Private(["127.0.0.1"]))
    assert judge("https", "x.example", ["10.1.1.1"], private)
    for address in ("169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::", "ff02::1"):
        with pytest.raises(AddressRefused):
            judge("https", "x.example", [address], private)


def test_a_metadata_address_opens_only_written_out() -> None:
    assert judge("http", "169.254.169.254", ["169.254.169.254"], Private(["169.254.169.254"]))
    assert judge("http", "x", ["fd00:ec2::254"], Private(["fd00:ec2::254"]))


def test_every_address_is_judged_by_itself() -> None:
    mixed = ["10.0.0.1", "8.8.8.8", "::1", "not an address", "fe80::1%eth0", "2606:4700::1"]
    assert judge("https", "x.example", mixed, Private([])) == ("8.8.8.8", "2606:4700::1")
    with pytest.raises(AddressRefused):
        judge("https", "x.example", [], Private([]))


def test_plain_http_is_for_listed_hosts_alone() -> None:
    with pytest.raises(AddressRefused, match="plain http"):
        judge("http", "x.example", ["8.8.8.8"], Private([]))
    assert judge("http", "x.example", ["8.8.8.8"], Private(["x.example"]))
    assert judge("http", "x.example", ["8.8.8.8"], Private(["8.8.8.8"]))


def test_pins_are_exact_or_below_a_domain() -> None:
    pins = Pins(["API.example.com", "*.slack.com", "[::1]", "127.0.0.1"])
    for host in ("api.example.com", "a.slack.com", "a.b.slack.com", "::1", "127.0.0.1"):
        assert host in pins
    for host in (
        "example.com",
        "x.api.example.com",
        "slack.com",
        "evilslack.com",
        "slack.com.evil.example",
        "127.0.0.2",
    ):
        assert host not in pins
