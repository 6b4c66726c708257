"""The answer of a dry run: an execution as it would be, without whatever only comes to be with one."""

from __future__ import annotations

from typing import Any

from jit_auth.config.settings import Agent
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.preview import Preview
from jit_auth.model import Opened
from jit_auth.web.answer import answer

_NOT_YET = dict.fromkeys(("id", "status", "created_at", "updated_at", "expires_at"))
_ONLY_OF_A_REAL_ONE = ("id", "url")


def preview(seen: Preview, bundle: Bundle, agent: Agent) -> dict[str, Any]:
    """`id` and `status` null; `waiting_for` without ids and links: nobody was asked anything."""
    document = answer(Opened(seen.execution, seen.asks), bundle, agent, lambda ask: "")
    waiting = [
        {name: value for name, value in item.items() if name not in _ONLY_OF_A_REAL_ONE}
        for item in document["waiting_for"]
    ]
    return {**document, **_NOT_YET, "waiting_for": waiting}
