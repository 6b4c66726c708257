"""The audit chain: each row's MAC covers the row and the MAC before it, per writer (THREAT_MODEL 12).

A writer is one process start. Its first row (seq 0) holds the newest heads of other writers that it saw, so that the
chains hold each other: a writer cannot disappear while one that knew it stands.

A vault key that is rotated away is closed: a row under a newer key holds the digest of where each of its writers ends.
Whoever has the old key may still make MACs, but neither new rows nor other old ones (THREAT_MODEL 29).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

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


class Rotated(msgspec.Struct, frozen=True):
    """The fact of a rotation: which keys ended, each with the digest of where its writers do."""

    do: Literal["keys.rotated"]
    key: str
    closed: dict[str, str]


class Shortened(msgspec.Struct, frozen=True):
    """The fact of retention: where chains begin since (writer: the last row that went, with its MAC; -1 for none), and
    where retired keys end since. A writer up to `through` that is not named went whole."""

    do: Literal["audit.cut"]
    through: str
    starts: dict[str, tuple[int, str]]
    closed: dict[str, str]

    def left_out(self, writer: str, seq: int) -> bool:
        """Whether retention took this row."""
        start = self.starts.get(writer)
        return writer <= self.through if start is None else seq <= start[0]


class Heads(msgspec.Struct, frozen=True):
    """The first fact of a writer's first row: the newest heads that it saw, as (writer, seq, MAC in hexadecimal)."""

    do: str
    heads: list[tuple[str, int, str]]


_encode = msgspec.json.Encoder().encode
_ROTATED = b'{"do":"keys.rotated",'
_CUT = b'{"do":"audit.cut",'
_SHORTENING = msgspec.json.Decoder(tuple[Shortened])
_ROTATION = msgspec.json.Decoder(list[Rotated])
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


def shortened(what: bytes) -> Shortened | None:
    """What a row says of retention; None for any other row."""
    try:
        return _SHORTENING.decode(what)[0]
    except (msgspec.MsgspecError, ValueError):
        return None


def _follows(mac: Mac, before: str, link: Link) -> bool:
    """Whether a row follows one whose MAC is `before` ("" for the beginning)."""
    try:
        known = bytes.fromhex(before) if before else START
    except ValueError:
        return False
    return follow(mac, known, link.writer, link.seq, link.at, link.body) == link.mac


def closings(what: bytes) -> list[tuple[str, str]]:
    """The keys that a row ends, each with its digest; none for any other row."""
    try:
        return [pair for fact in _ROTATION.decode(what) for pair in fact.closed.items()]
    except (msgspec.MsgspecError, ValueError):
        return []


class Verifier:
    """Reads links in order of (writer, seq), some at a time, and says what is broken.

    `promised`: rows that must be there, with their MACs: the heads that first rows name. `mac_of`: the MAC under a
    vault key's id, None where that key is not here. `retired`: keys that rotations have closed. A link that fails is
    reported once; the rest of its writer is judged from its stored MAC on, so that one altered row is one break.
    """

    def __init__(
        self,
        promised: Mapping[tuple[str, int], bytes],
        mac_of: Callable[[str], Mac | None],
        retired: Collection[str] = (),
    ) -> None:
        self.writers = 0
        self._missing = dict(promised)
        self._mac_of = mac_of
        self._retired = retired
        self._last: Link | None = None
        self._key = ""
        self._ends: dict[str, Ends] = {}
        self._closed: dict[str, tuple[Millis, Break, str]] = {}
        self._seen: set[str] = set()
        self._begun: list[Link] = []
        """First rows that are there of chains whose beginning is not: who took it is known at the end."""
        self._cut: tuple[Millis, Shortened] | None = None

    def feed(self, links: Iterable[Link]) -> Iterator[Break]:
        """What is broken in the next links."""
        for link in links:
            last = self._last
            if last is None or link.writer != last.writer:
                self._end_of_writer()
                self.writers += 1
                before, due, self._key = START, 0, link.key
                self._seen.add(link.writer)
                if link.seq > 0:
                    due = link.seq
                    self._begun.append(link)
            else:
                before, due = last.mac, last.seq + 1
            mac = self._mac_of(link.key)
            if link.seq != due:
                yield Break(link.writer, due, f"rows {due} to {link.seq - 1} are missing")
            elif mac is None:
                yield Break(link.writer, link.seq, f"its key {link.key!r} is not in the ring")
            elif self._begun and link is self._begun[-1]:
                said = shortened(link.body.partition(b"\n")[2]) if _CUT in link.body else None
                if said is not None and _follows(mac, said.starts.get(link.writer, (0, "-"))[1], link):
                    self._note(link)
            elif link.key != self._key or follow(mac, before, link.writer, link.seq, link.at, link.body) != link.mac:
                yield Break(link.writer, link.seq, "the row or its place in the chain was altered")
            elif _ROTATED in link.body or _CUT in link.body:
                self._note(link)
            known = self._missing.pop((link.writer, link.seq), None)
            if known is not None and known != link.mac:
                yield Break(link.writer, link.seq, "another writer saw this row with another MAC")
            self._last = link

    def end(self) -> Iterator[Break]:
        """What is missing, once all links were fed."""
        self._end_of_writer()
        self._last = None
        cut = None if self._cut is None else self._cut[1]
        yield from self._beginnings(cut)
        for writer, seq in self._missing:
            if cut is None or not cut.left_out(writer, seq):
                yield Break(writer, seq, "another writer saw this row; it is gone")
        self._missing.clear()
        for key in sorted({*self._retired, *self._closed} & self._ends.keys()):
            closed = self._closed.get(key)
            if closed is None:
                yield Break(self._ends[key].writer, 0, f"the key {key!r} was retired, and no row says where it ended")
            elif closed[2] != self._ends[key].digest():
                yield closed[1]

    def ends(self) -> dict[str, str]:
        """By key: the digest of where its writers end, once all links were fed."""
        return {key: ends.digest() for key, ends in self._ends.items()}

    def _note(self, link: Link) -> None:
        """Where a rotation says that keys ended. The newest word counts; no key speaks for its own end."""
        what = link.body.partition(b"\n")[2]
        cut = shortened(what)
        if cut is not None and (self._cut is None or self._cut[0] <= link.at):
            self._cut = (link.at, cut)
        for key, digest in closings(what) if cut is None else cut.closed.items():
            known = self._closed.get(key)
            if key != link.key and (known is None or known[0] <= link.at):
                why = f"rows under the key {key!r}, which was retired here, were added, altered or cut off"
                self._closed[key] = (link.at, Break(link.writer, link.seq, why), digest)

    def _beginnings(self, cut: Shortened | None) -> Iterator[Break]:
        """Whether chains begin where retention says that they do."""
        for link in self._begun:
            mac, start = self._mac_of(link.key), None if cut is None else cut.starts.get(link.writer)
            if start is None or start[0] != link.seq - 1:
                yield Break(link.writer, 0, f"rows 0 to {link.seq - 1} are missing")
            elif mac is not None and not _follows(mac, start[1], link):
                yield Break(link.writer, link.seq, "the row or its place in the chain was altered")
        for writer, (seq, _) in cut.starts.items() if cut is not None else ():
            if writer not in self._seen:
                yield Break(writer, seq + 1, "rows that retention left are missing")

    def _end_of_writer(self) -> None:
        if self._last is not None:
            last = self._last
            self._ends.setdefault(self._key, Ends(last.writer)).add(last.writer, last.seq, last.mac)


class Ends:
    """Where the writers under one key end, as one digest. A chain is all its rows: its last MAC stands for them."""

    __slots__ = ("_hash", "writer")

    def __init__(self, writer: str) -> None:
        self.writer = writer
        self._hash = hashlib.sha256()

    def add(self, writer: str, seq: int, mac: bytes) -> None:
        """The last row of the next writer, in order."""
        self._hash.update(_encode((writer, seq, mac.hex())) + b"\n")

    def digest(self) -> str:
        """Of those that were added, as 64 hexadecimal digits."""
        return self._hash.hexdigest()


def verify(
    links: Iterable[Link], promised: Mapping[tuple[str, int], bytes], mac_of: Callable[[str], Mac | None]
) -> list[Break]:
    """What is broken in `links`, given in order of (writer, seq); see `Verifier`."""
    verifier = Verifier(promised, mac_of)
    return [*verifier.feed(links), *verifier.end()]
