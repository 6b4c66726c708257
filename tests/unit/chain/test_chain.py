"""The chain as a property: any record that differs from the one written is broken somewhere (THREAT_MODEL 12)."""

from __future__ import annotations

import hmac
import os
from itertools import chain as flatten

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jit_auth.core import chain
from jit_auth.core.chain import Link
from jit_auth.core.mac import Mac

KEY = os.urandom(32)
MAC = Mac(KEY)
WRITERS = ("prc_1", "prc_2", "prc_3")


def made(counts: list[int]) -> tuple[list[Link], dict[tuple[str, int], bytes]]:
    """Chains of so many rows; each first row commits to the heads before it."""
    links: list[Link] = []
    promised: dict[tuple[str, int], bytes] = {}
    heads: list[tuple[str, int, bytes]] = []
    for writer, count in zip(WRITERS, counts, strict=True):
        before = chain.START
        for seq in range(count):
            what = chain.start(heads) if seq == 0 else f'[{{"do":"x","n":{seq}}}]'
            promised |= {(name, number): mac for name, number, mac in chain.seen(what) or ()}
            body = chain.body("engine", None, "bot", f"exe_{seq}", what)
            before = chain.follow(MAC, before, writer, seq, 1_000 + seq, body)
            links.append(Link(writer, seq, 1_000 + seq, "k", body, before))
        heads.append((writer, count - 1, before))
    return links, promised


COUNTS = st.lists(st.integers(1, 6), min_size=3, max_size=3)


@given(COUNTS)
def test_what_was_written_verifies(counts: list[int]) -> None:
    links, promised = made(counts)
    assert chain.verify(links, promised, lambda _: MAC) == []


@given(COUNTS, st.data())
def test_one_change_anywhere_is_found(counts: list[int], data: st.DataObject) -> None:
    links, promised = made(counts)
    at = data.draw(st.integers(0, len(links) - 1))
    link = links[at]
    change = data.draw(st.sampled_from(["at", "body", "mac", "key", "remove", "twice", "swap"]))
    match change:
        case "at":
            links[at] = link._replace(at=link.at + 1)
        case "body":
            spot = data.draw(st.integers(0, len(link.body) - 1))
            links[at] = link._replace(body=link.body[:spot] + bytes((link.body[spot] ^ 1,)) + link.body[spot + 1 :])
        case "mac":
            links[at] = link._replace(mac=bytes(32))
        case "key":
            links[at] = link._replace(key="gone")
        case "remove":
            del links[at]
            if at == len(links) or links[at].writer != link.writer:
                promised[link.writer, link.seq] = link.mac  # a cut tail shows where another writer saw it
        case "twice":
            links.insert(at, link)
        case "swap":
            other = links[(at + 1) % len(links)]
            links[at] = link._replace(body=other.body, at=other.at + 5)
    assert chain.verify(links, promised, lambda key: MAC if key == "k" else None) != []


def test_an_altered_row_is_one_break_and_names_its_place() -> None:
    links, promised = made([3, 3, 3])
    links[4] = links[4]._replace(body=b"other")
    (broken,) = chain.verify(links, promised, lambda _: MAC)
    assert (broken.writer, broken.seq) == ("prc_2", 1)


def test_another_key_verifies_nothing() -> None:
    links, promised = made([2, 2, 2])
    assert len(chain.verify(links, promised, lambda _: Mac(os.urandom(32)))) == 6


def test_a_vanished_writer_is_missed() -> None:
    links, promised = made([2, 3, 1])
    rest = [link for link in links if link.writer != "prc_2"]
    assert [(one.writer, one.seq) for one in chain.verify(rest, promised, lambda _: MAC)] == [("prc_2", 2)]


@given(st.lists(st.tuples(*[st.none() | st.text(max_size=4)] * 4, st.text(max_size=6)), min_size=2, max_size=2))
def test_two_rows_that_differ_have_different_bodies(rows: list[tuple[str, str, str, str, str]]) -> None:
    one, two = rows
    assert (chain.body(*one) == chain.body(*two)) == (one == two)


def test_a_first_row_that_is_none_promises_nothing() -> None:
    for what in ("[]", "{}", "x", '[{"do":"writer"}]', '[{"do":"writer","heads":[["a",1,"zz"]]}]'):
        assert chain.seen(what) is None
    assert chain.seen(chain.start([("w", 3, b"\1" * 32)])) == [("w", 3, b"\1" * 32)]


@given(st.binary(min_size=16, max_size=64), st.binary(max_size=300))
def test_the_mac_is_hmac_sha256(key: bytes, data: bytes) -> None:
    mac = Mac(key)
    assert mac.digest(data) == hmac.digest(key, data, "sha256")
    assert mac.hex(data) == hmac.digest(key, data, "sha256").hex()
    assert mac.genuine(data, mac.digest(data))
    assert not mac.genuine(data + b"x", mac.digest(data))
    assert key.hex() not in repr(mac)


@pytest.mark.parametrize("size", [0, 15, 65])
def test_a_mac_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16 to 64"):
        Mac(bytes(size))


def test_links_of_many_parts_are_fed_in_parts() -> None:
    links, promised = made([6, 6, 6])
    verifier = chain.Verifier(promised, lambda _: MAC)
    found = list(flatten.from_iterable(list(verifier.feed(links[at : at + 4])) for at in range(0, len(links), 4)))
    assert [*found, *verifier.end()] == []
    assert verifier.writers == 3
