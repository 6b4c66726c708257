"""Actions as agents are told of them: GET /actions."""

from __future__ import annotations

from typing import Any

from jit_auth.catalog.load import Operation
from jit_auth.catalog.validate import composed


def describe(operation: Operation) -> dict[str, Any]:
    """One action as JSON: what it does, what it needs, the JSON Schema of its parameters."""
    action = operation.action
    return {
        "name": action.name,
        "title": action.title,
        "summary": action.summary,
        "connector": action.connector,
        "provider": action.provider,
        "risk": action.risk,
        "effect": action.effect,
        "run": action.run,
        "exposes": list(action.exposes),
        "scopes": list(action.scopes),
        "any_scopes": list(action.any_scopes),
        "params": composed(action.params),
    }
