"""The audit chain: each row's MAC covers the row and the MAC before it, per writer (THREAT_MODEL 12).

A writer is one process start. Its first row (seq 0) holds the newest heads of other writers that it saw, so that the
chains hold each other: a writer cannot disappear while one that knew it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from jit_auth.core.mac import Mac
from jit_auth.model import Millis

START = bytes(32)
"""What stands before the first row of a writer."""


class Link(NamedTuple):
    """One row of the record as the chain sees it: `body` is everything in it but its number, time and MAC."""

    writer: str
    seq: int
    at: Millis
    key: str
    """Id of the vault key that the MAC hangs on."""
    body: bytes
    mac: bytes


class Break(NamedTuple):
    """What is wrong with one place of the record."""

    writer: str
    seq: int
    why: str


class Heads(msgspec.Struct, frozen=True):
    """The first fact of a writer's first row: the newest heads that it saw, as (writer, seq, MAC in hexadecimal)."""

    do: str
    heads: list[tuple[str, int, str]]


_encode = msgspec.json.Encoder().encode
_FIRST = msgspec.json.Decoder(list[Heads])


def body(actor: str, person: str | None, agent: str | None, execution: str | None, what: str) -> bytes:
    """What a MAC covers of a row's content. Two rows that differ have different bodies: JSON keeps the parts apart."""
    return b"%b\n%b" % (_encode((actor, person, agent, execution)), what.encode())


def follow(mac: Mac, before: bytes, writer: str, seq: int, at: Millis, content: bytes) -> bytes:
    """The MAC of the row `seq` of `writer`, whose predecessor's MAC is `before` (START for the first)."""
    return mac.digest(b"%b%b\n%d\n%d\n%b" % (before, writer.encode(), seq, at, content))


def start(heads: Iterable[tuple[str, int, bytes]]) -> str:
    """`what` of a writer's first row."""
    seen = [(writer, seq, mac.hex()) for writer, seq, mac in heads]
    return msgspec.json.encode([Heads("writer", seen)]).decode()


def seen(what: str) -> list[tuple[str, int, bytes]] | None:
    """The heads that a first row commits to, or None if it is no such row."""
    try:
        first = _FIRST.decode(what)
        return [(writer, seq, bytes.fromhex(mac)) for writer, seq, mac in first[0].heads]
    except (msgspec.MsgspecError, ValueError, IndexError):
        return None


class Verifier:
    """Reads links in order of (writer, seq), some at a time, and says what is broken.

    `promised`: rows that must be there, with their MACs: the heads that first rows name. `mac_of`: the MAC under a
    vault key's id, None where that key is not here. A link that fails is reported once; the rest of its writer is
    judged from its stored MAC on, so that one altered row is one break.
    """

    def __init__(self, promised: Mapping[tuple[str, int], bytes], mac_of: Callable[[str], Mac | None]) -> None:
        self.writers = 0
        self._missing = dict(promised)
        self._mac_of = mac_of
        self._writer, self._before, self._due = "", START, 0

    def feed(self, links: Iterable[Link]) -> Iterator[Break]:
        """What is broken in the next links."""
        for link in links:
            if link.writer != self._writer:
                self._writer, self._before, self._due = link.writer, START, 0
                self.writers += 1
            if link.seq != self._due:
                yield Break(link.writer, self._due, f"rows {self._due} to {link.seq - 1} are missing")
            else:
                mac = self._mac_of(link.key)
                if mac is None:
                    yield Break(link.writer, link.seq, f"its key {link.key!r} is not in the ring")
                elif follow(mac, self._before, link.writer, link.seq, link.at, link.body) != link.mac:
                    yield Break(link.writer, link.seq, "the row or its place in the chain was altered")
            known = self._missing.pop((link.writer, link.seq), None)
            if known is not None and known != link.mac:
                yield Break(link.writer, link.seq, "another writer saw this row with another MAC")
            self._before, self._due = link.mac, link.seq + 1

    def end(self) -> Iterator[Break]:
        """What is missing, once all links were fed."""
        for writer, seq in self._missing:
            yield Break(writer, seq, "another writer saw this row; it is gone")
        self._missing.clear()


def verify(
    links: Iterable[Link], promised: Mapping[tuple[str, int], bytes], mac_of: Callable[[str], Mac | None]
) -> list[Break]:
    """What is broken in `links`, given in order of (writer, seq); see `Verifier`."""
    verifier = Verifier(promised, mac_of)
    return [*verifier.feed(links), *verifier.end()]
