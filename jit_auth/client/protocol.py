"""How the service is spoken to, without any I/O: what is sent, what is repeated, what answers mean.

An operation is a generator of `Call`s and `Pause`s: whoever drives it (blocking or not) sends each call and hands back
its `Answer`, or throws `Lost` into it. So both clients say and understand exactly the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, NamedTuple, TypeVar

from jit_auth.client.errors import Refused, Unreachable

T = TypeVar("T")
LONGEST_PAUSE_ASKED = 86_400.0
QUIET = 2.0
"""Seconds that a call is tried again without a word in the log."""


class Call(NamedTuple):
    """One HTTP request. `hold`: seconds that the service may take beyond the usual before it answers."""

    method: str
    target: str
    body: bytes | None = None
    key: str | None = None
    hold: float = 0.0
    again: bool = True
    """May be sent again without doing anything twice: it has a key, or changes nothing by being repeated."""


class Pause(NamedTuple):
    """Wait that many seconds."""

    seconds: float


class Answer(NamedTuple):
    """One HTTP answer; its headers are found by names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(Exception):
    """No whole answer came. The text says why, without addresses or secrets."""


Steps = Generator[Call | Pause, Any, T]


async def driven(steps: Steps[T], send: Callable[[Call], Awaitable[Answer]]) -> T:
    """What an operation gives in the end, on an event loop. `send` makes one request, once, or raises Lost."""
    try:
        wanted = next(steps)
        while True:
            if isinstance(wanted, Pause):
                import asyncio  # whoever gets here has it loaded; a blocking client does not need it

                await asyncio.sleep(wanted.seconds)
                wanted = steps.send(None)
                continue
            try:
                answer = await send(wanted)
            except Lost as lost:
                wanted = steps.throw(lost)
            else:
                wanted = steps.send(answer)
    except StopIteration as done:
        value: T = done.value
        return value


class Repeats(NamedTuple):
    """How long a call is tried again (429, 503, a lost connection), and with which pauses, growing twofold. Seconds."""

    seconds: float = 60.0
    first: float = 0.25
    longest: float = 8.0


class Speaker:
    """Sends calls, again where that is harmless, and reads what is answered."""

    def __init__(self, url: str, repeats: Repeats) -> None:
        self.url = url
        self._repeats = repeats

    def ask(self, call: Call, *, repeated: list[bool] | None = None) -> Steps[Answer]:
        """The answer of a call. Raises Unreachable. `repeated` gets an entry for each try that may have arrived."""
        began = time.monotonic()
        end = began + self._repeats.seconds
        pause = self._repeats.first
        quiet = True
        while True:
            answer: Answer | None = None
            try:
                answer = yield call
            except Lost as lost:
                why = str(lost)
                if repeated is not None:
                    repeated.append(True)
            if answer is not None and (answer.status not in (429, 503) or not call.again):
                return answer
            asked = retry_after(answer) if answer is not None else None
            wait = asked if asked is not None else pause * (0.5 + os.urandom(1)[0] / 512)
            if not call.again or time.monotonic() + wait > end:
                if answer is not None:
                    return answer
                path = call.target.partition("?")[0]
                raise Unreachable(
                    f"jit_auth does not answer at {self.url}{path}: {why}.", url=self.url + path
                ) from None
            pause = min(pause * 2, self._repeats.longest)
            if quiet and time.monotonic() + wait > began + QUIET:
                quiet = False
                self._tell(f"answered {answer.status}" if answer is not None else why, end)
            yield Pause(wait)

    def _tell(self, why: str, end: float) -> None:
        """A log line for whoever watches a program that says nothing while it tries again."""
        import logging

        logging.getLogger("jit_auth.client").warning(
            "jit_auth does not answer at %s: %s; trying again for %.0f s", self.url, why, end - time.monotonic()
        )

    def read(self, answer: Answer) -> Any:
        """The JSON of an answer that is no error. Raises Refused, Unreachable (`not_jit_auth`)."""
        if 200 <= answer.status < 300:
            try:
                return json.loads(answer.body.decode()) if answer.body else None
            except (ValueError, RecursionError):
                raise self.foreign(answer) from None
        raise self.refusal(answer)

    def refusal(self, answer: Answer) -> Refused:
        """The problem of an error answer; also of one that a proxy in between made."""
        if 300 <= answer.status < 400:
            return Refused(
                f"{self.url} redirects; the token is not taken elsewhere.",
                code="redirected",
                hint="Set JIT_AUTH_URL to the address that is redirected to.",
                status=answer.status,
            )
        try:
            document: Any = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not isinstance(document.get("code"), str):
            return Refused(
                f"{self.url} answered {answer.status}.",
                code=f"http_{answer.status}",
                hint="It may come from a proxy in front of the service.",
                status=answer.status,
                retry_after=retry_after(answer),
            )
        faults = document.get("faults")
        return Refused(
            str(document.get("detail") or document.get("title") or ""),
            code=document["code"],
            hint=str(document.get("hint") or ""),
            status=answer.status,
            faults=[fault for fault in faults if isinstance(fault, dict)] if isinstance(faults, list) else (),
            retry_after=retry_after(answer),
            members=document,
        )

    def foreign(self, answer: Answer) -> Unreachable:
        """What answered is something else."""
        return Unreachable(
            f"What answers at {self.url} is no jit_auth: {answer.status}, {answer.headers.get('content-type')}.",
            code="not_jit_auth",
            url=self.url,
        )


def retry_after(answer: Answer) -> float | None:
    """Seconds (RFC 9110: a number or a date), None where there are none or they are senseless."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text) if len(text) < 10 else LONGEST_PAUSE_ASKED + 1
    elif text:
        from email.utils import parsedate_to_datetime  # here: hardly anybody sends a date

        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    else:
        return None
    return max(0.0, seconds) if seconds <= LONGEST_PAUSE_ASKED else None
