"""A function of the agent's own that runs when the service has released it, once, and is on record there.

It is a cooperative guard: the process holds whatever the function uses, and nothing but this decorator keeps it from
using it. What it gives is a decision on exactly these arguments, people's approval, one run, and a record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from inspect import BoundArguments
from typing import Any
from weakref import WeakValueDictionary

from jit_auth.client.errors import GuardRefused, JitAuthError, Refused, Unreachable
from jit_auth.client.model import Execution, Json
from jit_auth.client.operations import Operations, new_key
from jit_auth.client.protocol import Steps
from jit_auth.client.signature import Signature
from jit_auth.client.turn import SHORTEST_BEAT, Held, Turn, Wish, beat

UNRECORDED = "jit_auth.unrecorded"
"""The one member of a result that stands for a value which is no JSON, or too large."""

Source = str | Callable[..., str | None] | None

_guards: WeakValueDictionary[str, Guard] = WeakValueDictionary()
"""The guards of this process by action. Weak: a function that is gone guards nothing."""


class Guard:
    """One guarded function; its operations are driven by the wrapper (guarded)."""

    def __init__(
        self,
        operations: Operations,
        action: str,
        function: Callable[..., Any],
        user: Source,
        key: Source,
        timeout: float | None,
        body: Mapping[str, Any],
    ) -> None:
        self._operations = operations
        self._action = action
        self._signature = Signature(function, action)
        self._user, self._key, self._timeout, self._body = user, key, timeout, body
        self._function = f"{function.__module__}.{function.__qualname__}"
        self._checked = False
        self._register()

    def wish(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Wish:
        """What a call asks for. Raises TypeError, GuardRefused."""
        bound = self._signature.arguments(args, kwargs)
        key = _said(self._key, bound)
        return Wish(bound, self._signature.params(bound), _said(self._user, bound), new_key() if key is None else key)

    def turn(self, wish: Wish) -> Turn:
        """The way of one call to its run."""
        return Turn(self, self._operations, wish, self._timeout)

    def asked(self, wish: Wish) -> Steps[Execution]:
        """The execution of a call; of an earlier one with the same key, the same. Raises GuardRefused, Refused."""
        if not self._checked:
            self._signature.check((yield from self._operations.action(self._action)))
            self._checked = True
        return (yield from self._operations.execute(self._action, wish.user, wish.params, wish.key, self._body))

    def approved(self, wish: Wish, execution: Execution) -> BoundArguments:
        """What the function is called with: what was approved."""
        return self._signature.approved(wish.bound, wish.params, execution.params or {})

    def value(self, execution: Execution) -> Any:
        """What the run on record gave. Raises GuardRefused (`unrecorded`)."""
        body = execution.unwrap()
        if "result" in (execution.raw.get("removed") or ()):
            raise GuardRefused(
                f"{self._action} has run already ({execution.id}); its value was removed after its time.",
                code="unrecorded",
                hint="[retention] says for how long values are kept. Use another key to run it again.",
            )
        if isinstance(body, dict) and list(body) == [UNRECORDED]:
            raise GuardRefused(
                f"{self._action} has run already ({execution.id}); its value was of type {body[UNRECORDED]}, which is "
                "not kept.",
                code="unrecorded",
                hint="Let the function return a JSON value, or use another key to run it again.",
            )
        return body

    def beat(self, held: Held) -> Steps[float | None]:
        """One sign of life; seconds until the next, None where the claim is no longer good (the function runs on)."""
        try:
            told, answer = yield from self._operations.heartbeat(held.execution.id, held.claim)
        except Refused as refusal:
            return held.beat if refusal.status >= 500 or refusal.status == 429 else None
        except Unreachable:
            return SHORTEST_BEAT
        return beat(told, answer)

    def succeeded(self, held: Held, value: Any) -> Steps[None]:
        """Put the value on record, or its type, where it is no JSON or too large."""
        try:
            kept = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            kept = _unrecorded(value)
        try:
            yield from self._operations.complete(held.execution.id, held.claim, "succeeded", kept)
        except Refused as refusal:
            if refusal.status not in (400, 413, 422):
                raise
            yield from self._operations.complete(held.execution.id, held.claim, "succeeded", _unrecorded(value))

    def failed(self, held: Held, fault: BaseException) -> Steps[None]:
        """Put on record that the function raised: the type alone, for the text may hold anything."""
        yield from self._operations.complete(held.execution.id, held.claim, "failed", {"raised": _type(fault)})

    def unheard(self, held: Held, fault: JitAuthError) -> None:
        """The function has run and the service could not be told: a log line, and the caller gets what it gave."""
        import logging

        logging.getLogger("jit_auth.client").warning(
            "%s (%s) has run, and its outcome could not be recorded: %s", self._action, held.execution.id, fault
        )

    def _register(self) -> None:
        """Refuse a second guard of one action; the same function loaded anew takes the place of the old one."""
        name = self._action if "." in self._action else self._action.replace("__", ".", 1)
        if (other := self._rival(name)) is not None:
            del other
            import gc

            gc.collect()  # what nobody refers to any more may be kept by a cycle alone
        if (other := self._rival(name)) is not None:
            place = other._signature.place
            del other  # which a traceback would keep alive
            raise GuardRefused(
                f"{name} is guarded twice: at {place} and at {self._signature.place}.",
                code="guarded_twice",
                hint="One action is one function: give the other one an action of its own.",
            )
        _guards[name] = self

    def _rival(self, name: str) -> Guard | None:
        other = _guards.get(name)
        same = other is not None and (self._function, self._signature.place) == (
            other._function,
            other._signature.place,
        )
        return None if same else other


def _said(source: Source, bound: BoundArguments) -> str | None:
    return source(*bound.args, **bound.kwargs) if callable(source) else source


def _unrecorded(value: Any) -> Json:
    return {UNRECORDED: _type(value)}


def _type(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
