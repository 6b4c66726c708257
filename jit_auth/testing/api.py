"""The API behind the service, as a test plays it: what it answers, how it fails, and every request that reached it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlsplit

Json = Mapping[str, Any] | list[Any] | str | int | float | bool | None


@dataclass(frozen=True)
class Sent:
    """One request as it left the service, with its credential."""

    method: str
    url: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    raw: bytes = field(repr=False)
    """The whole request, byte for byte."""

    @property
    def path(self) -> str:
        """Of the URL, as it was written, without the query."""
        return urlsplit(self.url).path

    @property
    def json(self) -> Any:
        """The body's JSON. Raises ValueError where it is none."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What the API says. `json` is its body where `body` is None."""

    status: int = 200
    json: Json = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Sent], Answer | Json]
"""Plays the API: gives an Answer, or the JSON of a 200. It runs in a thread, never on a test's event loop."""

Trouble = Literal["lost", "unreachable"]


class Api:
    """Every host that actions name, but those on this machine: they are servers of the test's own, and are really
    called. Nothing ever leaves the machine. Threads may share it."""

    def __init__(self) -> None:
        self._requests: list[Sent] = []
        self._next: deque[Handler | Trouble] = deque()
        self._handler: Handler = _nothing
        self._lock = Lock()
        self.faults: list[Exception] = []
        """What handlers raised: the fixture raises the first of them when the test is over."""

    @property
    def requests(self) -> tuple[Sent, ...]:
        """All that actions have sent, oldest first; also those whose answer was lost. One that could not be connected
        is not among them."""
        return tuple(self._requests)

    def answer(self, what: Answer | Json | Handler) -> None:
        """From now on: an Answer, the JSON of a 200, or a function of the request."""
        self._handler = _handler(what)

    def answer_once(self, what: Answer | Json | Handler) -> None:
        """The same for the next request that nothing was said of; further ones queue behind."""
        self._next.append(_handler(what))

    def fail(self, status: int = 500, json: Json = None, *, times: int = 1) -> None:
        """The next requests are answered with an error."""
        self._next.extend([_handler(Answer(status, json))] * times)

    def lose_answer(self, *, times: int = 1) -> None:
        """The API takes the next requests and acts, and its answer never arrives. What may not be sent twice is
        `unknown` then; the rest is sent again."""
        self._next.extend(["lost"] * times)

    def unreachable(self, *, times: int = 1) -> None:
        """The next requests find nobody listening: they surely did not happen, and are tried again."""
        self._next.extend(["unreachable"] * times)

    # What the wire asks

    def turn(self) -> Handler | Trouble | None:
        """What becomes of the request that is about to leave; None: the usual."""
        with self._lock:
            return self._next.popleft() if self._next else None

    def note(self, sent: Sent) -> None:
        """It has left."""
        self._requests.append(sent)

    def handle(self, sent: Sent, handler: Handler | None) -> Answer:
        """The answer, in the calling thread. What a handler raises is kept, and is a 500 for the service."""
        try:
            return _answer((handler or self._handler)(sent))
        except Exception as fault:
            self.faults.append(fault)
            return Answer(500, {"error": "the test's handler raised"})


def _nothing(sent: Sent) -> Json:
    return {}


def _handler(what: Answer | Json | Handler) -> Handler:
    return what if callable(what) else lambda sent: what


def _answer(given: Answer | Json) -> Answer:
    return given if isinstance(given, Answer) else Answer(json=given)
