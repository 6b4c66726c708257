"""Every operation of both clients: which calls it makes, and what their answers are worth."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict
from urllib.parse import quote, urlencode

from jit_auth.client.errors import Refused
from jit_auth.client.model import Execution, Json, Preview
from jit_auth.client.protocol import Answer, Call, Pause, Speaker, Steps

LONGEST_WAIT = 60
"""Seconds for which the service holds one answer."""
LONGEST_KEY = 255
AT_ONCE = 0.5
QUIET = 1.0

_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Body(TypedDict, total=False):
    """Further members of a call (docs/http-api.md)."""

    account: str | None
    reason: str | None
    task: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    expires_in: int
    callback_url: str | None
    return_url: str | None


class Operations:
    """As generators: see protocol."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def execute(
        self, action: str, user: str | None, params: Mapping[str, Any] | None, key: str | None, body: Mapping[str, Any]
    ) -> Steps[Execution]:
        """One key for all tries of this call, so that none of them can become a second execution."""
        if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
            raise ValueError(f"An idempotency key has 1 to {LONGEST_KEY} visible ASCII characters.")
        told = _call(action, user, params, body)
        answer = yield from self._speaker.ask(Call("POST", "/execute", told, key or new_key()))
        return self._execution(answer)

    def preview(
        self, action: str, user: str | None, params: Mapping[str, Any] | None, body: Mapping[str, Any]
    ) -> Steps[Preview]:
        told = _call(action, user, params, {**body, "dry_run": True})
        answer = yield from self._speaker.ask(Call("POST", "/execute", told))
        return Preview(self._described(answer))

    def get(self, id: str | Execution, hold: int = 0) -> Steps[Execution]:
        query = f"?wait={hold}" if hold else ""
        answer = yield from self._speaker.ask(Call("GET", f"{_path(id)}{query}", hold=hold))
        return self._execution(answer)

    def wait(self, id: str | Execution, timeout: float | None, *, released: bool = True) -> Steps[Execution]:
        """Until it has ended or (`released`) is the agent's turn, or as it is when the time is over."""
        if isinstance(id, Execution) and not id.open:
            return id
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            began = time.monotonic()
            left = LONGEST_WAIT if end is None else max(0.0, end - began)
            hold = int(min(left, LONGEST_WAIT))
            found = yield from self.get(id, hold)
            if not found.open or (released and found.status == "released"):
                return found
            now = time.monotonic()
            if end is not None and now >= end:
                return found
            if now - began < AT_ONCE:  # it was not held: not again at once, whatever the reason
                pause = QUIET if end is None else min(QUIET, end - now)
                yield Pause(max(0.0, pause))

    def page(self, filters: Mapping[str, Any]) -> Steps[tuple[tuple[Execution, ...], str | None]]:
        items, after = yield from self._page("/executions", filters)
        return tuple(Execution(item) for item in items), after

    def cancel(self, id: str | Execution) -> Steps[Execution]:
        """Asked twice it answers the same, so it needs no key."""
        answer = yield from self._speaker.ask(Call("POST", f"{_path(id)}/cancel"))
        return self._execution(answer)

    def actions(self, format: str | None, q: str | None) -> Steps[list[Json]]:
        filters = {"format": format, "q": q}
        if format in (None, "json"):
            return (yield from self._whole("/actions", filters))
        answer = yield from self._speaker.ask(Call("GET", _target("/actions", filters)))
        found = self._speaker.read(answer)
        if not isinstance(found, list):
            raise self._speaker.foreign(answer)
        return found

    def action(self, name: str) -> Steps[Json]:
        answer = yield from self._speaker.ask(Call("GET", f"/actions/{_segment(name)}"))
        return self._object(answer)

    def connect(
        self, user: str, actions: Sequence[str], account: str | None, another: bool, return_url: str | None
    ) -> Steps[Json]:
        """Makes something new and has no key: sent once."""
        more = {"account": account, "another_account": another or None, "return_url": return_url}
        given = {name: value for name, value in more.items() if value is not None}
        body = {"user": user, "actions": list(actions), **given}
        answer = yield from self._speaker.ask(Call("POST", "/connections", _encoded(body), again=False))
        return self._object(answer)

    def connections(self, user: str) -> Steps[list[Json]]:
        return (yield from self._whole("/connections", {"user": user}))

    def disconnect(self, id: str) -> Steps[Json]:
        """What a lost try has already ended is not missed."""
        tried: list[bool] = []
        answer = yield from self._speaker.ask(Call("DELETE", f"/connections/{_segment(id)}"), repeated=tried)
        if answer.status == 404 and tried:
            return {"id": id}
        return self._object(answer)

    def claim(self, execution: Execution, key: str) -> Steps[tuple[Json, Answer]]:
        """Take the agent's turn. All tries with one key are answered with one claim, and no others: the key is of one
        call in one process."""
        body = _encoded({"digest": execution.digest})
        answer = yield from self._speaker.ask(Call("POST", f"{_path(execution)}/claim", body, key))
        return self._object(answer), answer

    def heartbeat(self, id: str, claim: str) -> Steps[tuple[Json, Answer]]:
        answer = yield from self._speaker.ask(Call("POST", f"{_path(id)}/heartbeat", _encoded({"claim": claim})))
        return self._object(answer), answer

    def complete(self, id: str, claim: str, outcome: str, result: Any) -> Steps[None]:
        """The claim makes repeats harmless."""
        body = {"claim": claim, "outcome": outcome, "result": result}
        answer = yield from self._speaker.ask(Call("POST", f"{_path(id)}/complete", _encoded(body)))
        self._speaker.read(answer)

    def _whole(self, path: str, filters: Mapping[str, Any]) -> Steps[list[Json]]:
        found: list[Json] = []
        after: str | None = None
        while True:
            items, after = yield from self._page(path, {**filters, "cursor": after})
            found += items
            if after is None:
                return found

    def _page(self, path: str, filters: Mapping[str, Any]) -> Steps[tuple[list[Json], str | None]]:
        answer = yield from self._speaker.ask(Call("GET", _target(path, filters)))
        told = self._object(answer)
        items, after = told.get("items"), told.get("next")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self._speaker.foreign(answer)
        return items, after if isinstance(after, str) else None

    def _execution(self, answer: Answer) -> Execution:
        told = self._described(answer)
        if not isinstance(told.get("id"), str) or not isinstance(told.get("status"), str):
            raise self._speaker.foreign(answer)
        return Execution(told)

    def _described(self, answer: Answer) -> Json:
        """Of a denial too: that is an end, no fault."""
        if answer.status == 403:
            refusal = self._speaker.refusal(answer)
            if (denied := execution_in(refusal)) is None:
                raise refusal
            return denied
        return self._object(answer)

    def _object(self, answer: Answer) -> Json:
        told = self._speaker.read(answer)
        if not isinstance(told, dict):
            raise self._speaker.foreign(answer)
        return told


def execution_in(refusal: Refused) -> Json | None:
    """The execution that a problem carries."""
    found = refusal.members.get("execution")
    return found if isinstance(found, dict) else None


def new_key() -> str:
    """An idempotency key that nobody else makes."""
    return os.urandom(16).hex()


def _call(action: str, user: str | None, params: Mapping[str, Any] | None, body: Mapping[str, Any]) -> bytes:
    told: Json = {"action": action, "params": params if params is not None else {}, **body}
    if user is not None:
        told["user"] = user
    return _encoded(told)


def _encoded(body: Mapping[str, Any]) -> bytes:
    return _json(body).encode()


def _target(path: str, filters: Mapping[str, Any]) -> str:
    told = {}
    for member, value in filters.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, list | tuple | set | frozenset):
            value = ",".join(map(str, value))
        told[member] = str(value)
    return f"{path}?{urlencode(told)}" if told else path


def _path(id: str | Execution) -> str:
    return f"/executions/{_segment(id.id if isinstance(id, Execution) else id)}"


def _segment(text: str) -> str:
    if text in ("", ".", ".."):  # these would name another place
        raise ValueError(f"{text!r} is no id")
    return quote(text, safe="")
