"""An agent's side of jit_auth in one file of standard library: copy it, or read it as the protocol in 100 lines.

Ask with `execute`, then `follow` until the execution has ended: while it is `paused`, `waiting_for` says who has to do
what. Nothing is lost when this process dies in between: the execution goes on by itself, and asking again with the same
idempotency key (or `GET /executions/{id}`) finds it.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

Execution = dict[str, Any]
OPEN = ("paused", "executing")


class Refused(Exception):
    """The call was not even admitted: a problem (RFC 9457) with a stable `code`, a sentence and a hint."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{problem.get('code')}: {problem.get('detail') or problem.get('title')}")
        self.problem = problem


class JitAuth:
    """A client of the service at `url` for the agent that `token` belongs to."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token

    def execute(
        self, action: str, *, user: str, params: Mapping[str, Any], key: str, reason: str = "", **more: Any
    ) -> Execution:
        """Ask for one action in a user's name. The same `key` and body again give the same execution.

        `more` are other members of the body: task, metadata, account.
        """
        body = {"action": action, "user": user, "params": params} | ({"reason": reason} if reason else {}) | more
        return self._call("POST", "/execute", body, {"Idempotency-Key": key})

    def get(self, id: str, wait: int = 0) -> Execution:
        """An execution as it is now; `wait` (seconds, at most 60) lets the service hold the answer until it moves."""
        return self._call("GET", f"/executions/{urllib.parse.quote(id)}?wait={wait}")

    def follow(self, execution: Execution, tell: Callable[[Execution], None], timeout: float = 3600) -> Execution:
        """Wait for the end, however long people take. `tell` is called at every change, first for what is asked now."""
        give_up = time.monotonic() + timeout
        told = None
        while execution["status"] in OPEN and time.monotonic() < give_up:
            if execution["updated_at"] != told:
                told = execution["updated_at"]
                tell(execution)
            execution = self.get(execution["id"], wait=25)
        return execution

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Execution:
        request = urllib.request.Request(  # noqa: S310 (the URL is the operator's own)
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
        )
        for pause in (1, 2, 4, 8, 0):
            try:
                with urllib.request.urlopen(request, timeout=90) as reply:  # noqa: S310 (as above)
                    return dict(json.load(reply))
            except urllib.error.HTTPError as error:
                problem = json.load(error)
                if error.code == 403 and "execution" in problem:  # admitted and denied: that is an end, not a fault
                    return dict(problem["execution"])
                if error.code not in (429, 503) or not pause:
                    raise Refused(problem) from None
                pause = int(error.headers.get("Retry-After") or pause)
            except urllib.error.URLError:
                if not pause:  # away for good; until then try again: the idempotency key makes that harmless
                    raise
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")
