"""What this service answers, as OpenAPI 3.1 has it: the document that `GET /openapi.json` gives.

A route that is added anywhere is described in `agents`, `operators` or `people`, by its method and path; a test fails
until it is. The document holds the routes that this service has, by its configuration, and no name of anybody: it is
open to all.

https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from jit_auth import __version__
from jit_auth.web.openapi import agents, connections, operators, people
from jit_auth.web.openapi.schemas import SCHEMAS, SECURITY

OPERATIONS: Mapping[tuple[str, str], dict[str, Any]] = (
    agents.OPERATIONS | connections.OPERATIONS | operators.OPERATIONS | people.OPERATIONS
)
"""Every route that any configuration has, by method and path."""

_TAGS = {
    "agents": "What agents ask, by their token.",
    "operators": "What admins ask, by theirs.",
    "people": "Pages and links for people; what Slack and the calling application post.",
    "health": "Open to all.",
}
_ABOUT = (
    "Actions of agents, decided at the moment of execution. Errors are RFC 9457 problems with a stable `code`; an "
    "unknown member or query parameter is refused. In words: docs/http-api.md."
)


def document(routes: Collection[tuple[str, str]]) -> dict[str, Any]:
    """The document of a service that has these routes (method, path)."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), described in OPERATIONS.items():
        if (method, path) in routes:
            paths.setdefault(path, {})[method.lower()] = described
    used = {name for path in paths.values() for each in path.values() for need in each["security"] for name in need}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jit_auth",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": says} for name, says in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {name: scheme for name, scheme in SECURITY.items() if name in used},
        },
    }
