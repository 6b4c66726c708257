"""One TCP or TLS connection and the one exchange it carries at a time: writes given bytes, reads one answer.

Sources: RFC 9110 and RFC 9112 (framing, 1xx, connection reuse). Every doubt about where an answer ends closes the
connection: what follows could otherwise be read as the answer to the next request.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import NamedTuple

import httptools

from jit_auth.egress.body import Body, Unreadable, body_for
from jit_auth.errors import Lost
from jit_auth.model import Reply

HEADER_LIMIT = 65_536
"""Bytes of header sections in one answer, those of 1xx answers and trailers included."""


class Key(NamedTuple):
    """What a connection may be reused for. `host` is what its certificate was checked against."""

    scheme: str
    host: str
    port: int
    address: str
    ca: str = ""
    """The authorities (PEM) that could vouch for it beside the system's: who trusts fewer never gets it."""


class _Faulty(Exception):
    """Raised inside parser callbacks: the answer's framing is not to be trusted."""


class Connection(asyncio.Protocol):
    """Used by one exchange at a time. `free` is called when it may carry the next one."""

    def __init__(self, key: Key, free: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self.key = key
        self.idle_since = 0.0
        self.idle_limit = float("inf")
        """Seconds of idleness that the server announced (Keep-Alive: timeout=N)."""
        self.open = True
        self._free = free
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._eof = False
        self._answer: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Runs at `_until` of the exchange that set it, or earlier; one serves many exchanges."""
        self._until = 0.0
        # Of the current exchange:
        self._parser: httptools.HttpResponseParser
        self._bodiless = False
        self._limit = 0
        self._headers: list[tuple[str, str]] = []
        self._header_bytes = 0
        self._received = 0
        self._coding = ""
        self._framing = ""
        self._status = 0
        self._final = False  # the final answer's header section is complete
        self._complete = False
        self._beyond = False
        self._keep = False
        self._body: Body

    # What the client calls

    def exchange(self, data: bytes, *, bodiless: bool, limit: int, answer: asyncio.Future[Reply], until: float) -> None:
        """Write `data`, a whole request, and put its answer into `answer`: a Reply, or Lost.

        `bodiless`: the request is a HEAD. `limit`: most bytes of body after decompression; beyond, the reply is
        `truncated`. A body cut off after a 2xx status is `truncated` too: the call did happen. `until`: the loop's
        time at which an answer that is not whole is given up.
        """
        assert self._transport is not None  # noqa: S101  (create_connection returns after connection_made)
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._bodiless = bodiless
        self._limit = limit
        self._headers = []
        self._header_bytes = self._received = 0
        self._coding = self._framing = ""
        self._final = self._complete = self._beyond = False
        self._until = until
        if self._timer is None or self._timer.when() > until:
            self._watch(answer.get_loop())
        self._transport.write(data)

    def quiet(self) -> bool:
        """Has nothing arrived that the event loop has not read yet, an EOF above all? For an idle connection."""
        if self._transport is None:
            return False
        return not self._poll.poll(0)

    def give_up(self, why: str) -> None:
        """End a running exchange as cut off here (a timeout) and close. Nothing happens where none runs."""
        if self._answer is not None:
            self._cut(why)

    def abort(self) -> None:
        """Close at once; whoever waits for an answer has gone."""
        self.open = False
        self._answer = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle connection."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (what create_connection makes)
        self._transport = transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            # Nobody asked: an answer to nothing would become the answer to the next request.
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error.__context__, Unreadable):
                self._finish(truncated=True)
                return
            if not self._complete:
                self._cut("The answer is not well-formed HTTP.")
                return
            self._beyond = True
        if self._complete:
            if self._bodiless and not data.endswith(b"\r\n\r\n"):
                self._beyond = True
            self._finish(truncated=self._body.over)
        else:
            self._received += len(data)
            if self._final:
                # Chunk extensions and trailers are content too, for whoever wants to keep us busy.
                if self._body.over or self._received > 8 * self._limit + HEADER_LIMIT:
                    self._finish(truncated=True)
            elif self._received > HEADER_LIMIT:
                # A header line without end is never reported by the parser.
                self._cut("The answer's header is too large.")

    def eof_received(self) -> None:
        self._eof = True
        self.open = False
        if self._answer is None:
            return
        if self._final and self._framing == "close" and self._proven():
            self._finish()
        else:
            self._cut("The server closed the connection before the whole answer.")

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is not None:
            self._cut("The connection broke before the whole answer.")
        self.__dict__.pop("_parser", None)  # it refers back to us
        self._gone(self)

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            self._beyond = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > HEADER_LIMIT:
            raise _Faulty
        if self._final:
            return  # a trailer
        key = name.lower().decode("latin-1")
        text = value.decode("latin-1").strip()
        self._headers.append((key, text))
        if key == "transfer-encoding":
            if self._framing or text.lower() != "chunked":
                raise _Faulty
            self._framing = "chunked"
        elif key == "content-length":
            if self._framing:
                raise _Faulty
            self._framing = "length"
        elif key == "content-encoding":
            self._coding = f"{self._coding},{text}" if self._coding else text
        elif key == "keep-alive":
            self._announced(text)

    def on_headers_complete(self) -> None:
        if self._complete:
            # A second answer to one question changes nothing about the first.
            self._beyond = True
            return
        parser = self._parser
        status = self._status = parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101 or self._framing:
                raise _Faulty
            self._headers = []
            self._coding = ""
            return
        if status > 599:
            raise _Faulty
        self._final = True
        self._keep = parser.should_keep_alive()
        if self._bodiless or status in (204, 304):
            self._complete = self._bodiless  # for the two statuses the parser tells
            self._body = Body(0)
        else:
            self._body = body_for(self._coding, self._limit)
            if not self._framing:
                self._framing = "close"

    def on_body(self, piece: bytes) -> None:
        if self._complete:
            self._beyond = True
        elif not self._body.over:
            self._body.feed(piece)

    def on_chunk_header(self) -> None:
        if self._complete:
            self._beyond = True

    def on_message_complete(self) -> None:
        if self._final:
            self._complete = True

    # Ends of an exchange

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._until, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._answer is None:
            return
        if loop.time() < self._until:
            self._watch(loop)
        else:
            self._cut("No whole answer came in time.")

    def _proven(self) -> bool:
        """Did the server itself end the stream? Under TLS anybody on the way can send a FIN, and asyncio tells no
        difference; after a close_notify, and only then, reading gives an empty answer."""
        secure = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if secure is None:
            return True
        try:
            return bool(secure.read(1) == b"")
        except ssl.SSLError:
            return False

    def _announced(self, text: str) -> None:
        for part in text.split(","):
            name, _, value = part.strip().partition("=")
            if name.lower() == "timeout" and value.isascii() and value.isdigit():
                # A second for the way there: it may close while our next request travels.
                self.idle_limit = max(0.0, int(value[:6]) - 1.0)

    def _finish(self, truncated: bool = False) -> None:
        answer, self._answer = self._answer, None
        body = b""
        if not truncated:
            try:
                body = self._body.whole()
            except Unreadable:
                truncated = True
        if self._keep and self._complete and not (self._beyond or self._eof or truncated) and self.open:
            self._free(self)
        else:
            self.close() if self._complete or self._eof else self.abort()
        if answer is not None and not answer.done():
            answer.set_result(Reply(self._status, tuple(self._headers), body, truncated))

    def _cut(self, why: str) -> None:
        if self._final and 200 <= self._status < 300:
            self._finish(truncated=True)
            return
        answer = self._answer
        self.abort()
        if answer is not None and not answer.done():
            answer.set_exception(Lost(why))
