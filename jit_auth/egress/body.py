"""Collects one response body: counts it after decompression, and stops at the limit (THREAT_MODEL 36: gzip bombs)."""

from __future__ import annotations

import zlib

_MEMBERS = 32
"""gzip members in one body (RFC 1952 2.2): each one copies what is left, which makes many of them square work."""


class Unreadable(Exception):
    """The body is not what its Content-Encoding says, or that coding was not offered."""


class Body:
    """A body as it arrives. `over` once more than `limit` bytes were in it; nothing beyond the limit is kept."""

    __slots__ = ("_data", "_limit", "over")

    def __init__(self, limit: int) -> None:
        self._data = bytearray()
        self._limit = limit
        self.over = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece as it came off the wire."""
        self._data += piece
        if len(self._data) > self._limit:
            self.over = True
            self._data.clear()

    def whole(self) -> bytes:
        """The complete body; Unreadable where its compressed form is broken or ends too early."""
        return bytes(self._data)


class Inflated(Body):
    """The same for gzip and deflate (RFC 9110 8.4.1; deflate also raw, as some servers send it)."""

    __slots__ = ("_gzip", "_inflate", "_members", "_raw", "_start")

    def __init__(self, limit: int, coding: str) -> None:
        super().__init__(limit)
        self._gzip = coding == "gzip"
        self._start = b""
        self._raw = 0
        self._members = 1
        self._inflate = zlib.decompressobj(31) if self._gzip else None

    def feed(self, piece: bytes) -> None:
        self._raw += len(piece)
        # A megabyte of empty blocks is no megabyte of content, but nothing good either.
        if self.over or self._raw > self._limit + 65_536:
            self.over = True
            return
        try:
            self._feed(piece)
        except zlib.error as error:
            raise Unreadable("The body is not compressed as its header says.") from error

    def _feed(self, piece: bytes) -> None:
        if self._inflate is None:
            piece = self._start + piece
            if len(piece) < 2:
                self._start = piece
                return
            # RFC 1950: the first two bytes, read as a number, are a multiple of 31.
            wrapped = piece[0] & 0x0F == 8 and (piece[0] << 8 | piece[1]) % 31 == 0
            self._inflate = zlib.decompressobj(15 if wrapped else -15)
        while piece:
            room = self._limit - len(self._data) + 1
            super().feed(self._inflate.decompress(piece, room))
            if self.over or not self._inflate.eof:
                return
            piece = self._inflate.unused_data.lstrip(b"\0")
            if piece:
                self._members += 1
                if not self._gzip or self._members > _MEMBERS:
                    raise Unreadable("Something follows the compressed body.")
                self._inflate = zlib.decompressobj(31)

    def whole(self) -> bytes:
        if self._raw and (self._inflate is None or not self._inflate.eof):
            raise Unreadable("The compressed body ends too early.")
        return super().whole()


class Refused(Body):
    """A body in a coding nobody offered: its length is counted, its content can be neither shown nor scrubbed."""

    __slots__ = ()

    def whole(self) -> bytes:
        raise Unreadable("The body has a Content-Encoding that was not offered.")


def body_for(coding: str, limit: int) -> Body:
    """The collector for a Content-Encoding header's value ("" where there is none)."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return Body(limit)
    if coding in ("gzip", "x-gzip"):
        return Inflated(limit, "gzip")
    if coding == "deflate":
        return Inflated(limit, "deflate")
    return Refused(limit)
