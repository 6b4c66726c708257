"""One call of a guarded function on its way to its run: asked, waited for, claimed; or found to have been run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from inspect import BoundArguments
from typing import TYPE_CHECKING, Any, NamedTuple

from jit_auth.client.errors import Refused
from jit_auth.client.model import Execution, Json
from jit_auth.client.operations import Operations, execution_in, new_key
from jit_auth.client.protocol import Answer, Pause, Steps

if TYPE_CHECKING:
    from jit_auth.client.guard import Guard

LONGEST_BEAT = 60.0
SHORTEST_BEAT = 0.05
DEFAULT_BEAT = 10.0
BREATH = 1.0
"""Seconds before a claim is tried again that was refused for a reason which may pass."""


class Wish(NamedTuple):
    """What a call asks for."""

    bound: BoundArguments
    params: Json
    user: str | None
    key: str


class Held(NamedTuple):
    """A claim: the agent's turn, taken by this process. `beat`: seconds between signs of life."""

    execution: Execution
    claim: str
    beat: float


class Turn:
    """`come` and `take`, in this order, until one of them gives something."""

    def __init__(self, guard: Guard, operations: Operations, wish: Wish, timeout: float | None) -> None:
        self._guard, self._operations, self.wish = guard, operations, wish
        self._end = None if timeout is None else time.monotonic() + timeout
        self._found: Execution | None = None
        self._taken = False
        """Somebody else has claimed it: it is theirs to end, never ours to run."""
        self._key = new_key()
        """Of this claim, for all its tries: the service gives the same claim again for it."""

    def come(self) -> Steps[Execution | None]:
        """The execution, where it has been run already; None once it is our turn. Raises what `unwrap` does."""
        found = self._found
        if found is None:
            found = yield from self._guard.asked(self.wish)
        if found.open and (self._taken or found.status != "released"):
            left = None if self._end is None else max(0.0, self._end - time.monotonic())
            found = yield from self._operations.wait(found, left, released=not self._taken)
        self._found = found
        if found.ok:
            return found
        if not found.open or self._taken or found.status != "released":
            raise found.failure()  # of an open one Paused: the time is over
        return None

    def take(self) -> Steps[Held | None]:
        """The claim; None where it was not given. Nothing but a claim lets the function run."""
        found = self._found
        assert found is not None  # noqa: S101 (come comes first)
        key = f"{self._key}-{os.getpid()}"  # a fork in the middle is two turns: only one of them may run
        try:
            told, answer = yield from self._operations.claim(found, key)
        except Refused as refusal:
            self._found = yield from self._refused(found, refusal)
            return None
        return Held(found, str(told.get("claim")), beat(told, answer))

    def _refused(self, found: Execution, refusal: Refused) -> Steps[Execution]:
        if (told := execution_in(refusal)) is not None:
            return Execution(told)
        if refusal.status != 409:
            raise refusal
        self._taken = refusal.code == "already_claimed"
        now = yield from self._operations.get(found)
        if not self._taken and now.status == "released" and now.digest == found.digest:
            yield Pause(BREATH)
        return now


def beat(told: Mapping[str, Any], answer: Answer) -> float:
    """A third of what is left of a claim, by the service's own clock; never longer than a minute."""
    from datetime import datetime
    from email.utils import parsedate_to_datetime

    try:
        ends = datetime.fromisoformat(str(told["claim_expires_at"]).replace("Z", "+00:00"))
        left = (ends - parsedate_to_datetime(answer.headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return DEFAULT_BEAT
    return min(max(left / 3, SHORTEST_BEAT), LONGEST_BEAT)
