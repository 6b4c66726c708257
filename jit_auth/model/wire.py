"""What leaves and what comes back: requests, replies, and how a call without a reply was lost (all frozen)."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class Place(Struct, frozen=True):
    """A place of a request that a credential fills: a header (lower case) or a query parameter."""

    where: Literal["header", "query"]
    name: str


class Request(Struct, frozen=True):
    """The bytes as they leave, without the credential. `url` is absolute and encoded; nobody normalises it again."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Reply(Struct, frozen=True):
    """A whole answer of a server (`truncated`: its body was cut off or over the limit). Header names are lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool = False

    def header(self, name: str) -> str | None:
        """First value of a header (lower-case name), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Result(Struct, frozen=True):
    """A reply reduced and scrubbed for agents: allow-listed headers, parsed body, no secrets."""

    status: int | None
    """None: what an agent says of a function of its own."""
    headers: dict[str, str]
    body: Any
    truncated: bool = False


class Missed(Struct, frozen=True):
    """No reply. `left`: bytes were written, so nobody knows whether the call happened."""

    left: bool
    code: str
    message: str
