"""Answers against the OpenAPI document: a status that is not described, or a body that is not as described, fails."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import jsonschema_rs

from jit_auth.web.openapi.document import OPERATIONS, document

SKIPPED = frozenset({405, 500})
"""What no route answers: there is none by that method, or a test made a handler fail."""
NOWHERE = "There is nothing here."
"""Told where a configuration has no such route."""


def conforms(method: str, path: str, status: int, media: str, body: Any) -> None:
    """Raises AssertionError for an answer that the document does not describe. `body`: JSON, or text."""
    operation = _operation(method, path.partition("?")[0])
    if operation is None or status in SKIPPED or (isinstance(body, dict) and body.get("detail") == NOWHERE):
        return
    responses = OPERATIONS[operation]["responses"]
    place = f"{method} {path}: {status} {media}"
    assert str(status) in responses, f"{place} is not described"
    content = responses[str(status)].get("content", {})
    media = media.partition(";")[0]
    if not content:
        assert not body, f"{place} is described without a body"
        return
    assert media in content, f"{place} is not described"
    if media.endswith("json"):
        faults = [f"{list(error.instance_path)}: {error.message}" for error in _judge(operation, status, media)(body)]
        assert faults == [], f"{place}\n" + "\n".join(faults)


@cache
def _judge(operation: tuple[str, str], status: int, media: str) -> Any:
    schema = OPERATIONS[operation]["responses"][str(status)]["content"][media]["schema"]
    whole = {**schema, "components": document(())["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True).iter_errors


@cache
def _operation(method: str, path: str) -> tuple[str, str] | None:
    """The operation at a path: the one with the fewest names in it."""
    fitting = [
        (described, template)
        for described, template in OPERATIONS
        if described == method and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path)
    ]
    return min(fitting, key=lambda each: each[1].count("{"), default=None)
