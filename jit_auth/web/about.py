"""What a call says of what it is part of: its task, and metadata that the agent wants to be told again.

Attacks: a title that poses as ours, or hides something (it is shown neutralised, and as the agent's words; an id has no
character that people cannot see); metadata as a store for anything (2 KiB, sealed, removed with the parameters).
"""

from __future__ import annotations

from typing import Any

from jit_auth.core.digest import canonical
from jit_auth.errors import Problem, Unprocessable
from jit_auth.model import Task

LONGEST_ID = 128
LONGEST_TITLE = 200
LARGEST_METADATA = 2_048
"""Bytes of its canonical form (RFC 8785)."""


def task_of(body: dict[str, Any]) -> Task | None:
    """The member `task` of a call. Raises Unprocessable."""
    given = body.get("task")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _wrong("/task", 'is an object, {"id", "title"}')
    for name in given:
        if name not in ("id", "title"):
            raise _wrong(f"/task/{_escaped(name)}", "is unknown: a task has an id and a title")
    title = given.get("title")
    if title is not None and not (isinstance(title, str) and len(title) <= LONGEST_TITLE and title.strip()):
        raise _wrong("/task/title", f"is a string of 1 to {LONGEST_TITLE} characters")
    if not is_task_id(given.get("id")):
        raise _wrong("/task/id", f"is a string of 1 to {LONGEST_ID} visible characters")
    return Task(given["id"], title)


def is_task_id(given: Any) -> bool:
    """Whether this can be a task's id. Ids are compared letter by letter."""
    return isinstance(given, str) and 0 < len(given) <= LONGEST_ID and given.isprintable() and given.strip() == given


def metadata_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """The member `metadata` of a call; None where it says nothing. Raises Unprocessable."""
    given = body.get("metadata")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _wrong("/metadata", "is an object")
    if len(canonical(given)) > LARGEST_METADATA:
        raise _wrong("/metadata", f"is larger than {LARGEST_METADATA} bytes")
    return given or None


def _escaped(name: str) -> str:
    """A name as part of a JSON pointer (RFC 6901)."""
    return name[:80].replace("~", "~0").replace("/", "~1")


def _wrong(pointer: str, message: str) -> Problem:
    return Unprocessable(
        f"{pointer[1:].replace('/', '.')} {message}.",
        code="invalid_params",
        hint="Correct the members that `faults` names.",
        members={"faults": [{"pointer": pointer, "message": message}]},
    )
