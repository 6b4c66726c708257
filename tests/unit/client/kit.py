"""Executions as the service answers them."""

from __future__ import annotations

from typing import Any

from jit_auth.client import Execution

LINK = "http://127.0.0.1:8080/connect/tkt_secret"
RAW: dict[str, Any] = {
    "id": "exe_1", "action": "mailhub.send_message", "user": "alice@example.com", "agent": "mailbot",
    "chain": ["mailbot"], "account": None, "summary": "Send to x@y.example: hi", "params": {"subject": "hi"},
    "edited_by": None, "reason": None, "task": None, "metadata": {}, "status": "paused", "digest": "sha256:00",
    "labels": [],
    "decision": {"effect": "require_approval", "rules": ["send"], "reasons": ["Mails leave"], "policy": "sha256:11"},
    "waiting_for": [
        {"kind": "consent", "provider": "mailhub", "missing_scopes": ["mail.send"], "new_agent": False, "url": LINK,
         "expires_at": "2026-01-05T12:00:00Z"},
        {"kind": "approval", "id": "apr_1", "from": ["user:ana@example.com"], "need": 2,
         "approved_by": ["bo@example.com"], "expires_at": "2026-01-05T12:00:00Z"},
    ],
    "result": None, "error": None, "created_at": "2026-01-05T11:00:00Z", "updated_at": "2026-01-05T11:00:01Z",
    "expires_at": "2026-01-06T11:00:00Z",
}  # fmt: skip


def execution(**members: Any) -> Execution:
    return Execution({**RAW, **members})


def ended(status: str, code: str = "", **members: Any) -> Execution:
    error = {"code": code, "message": "So it is.", "hint": "Look.", "by": None, "feedback": None} if code else None
    return execution(**{"status": status, "waiting_for": [], "error": error, **members})
