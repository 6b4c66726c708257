"""What the running task is about: its request, and the execution that it works on. For lines of the log, and spans."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from msgspec import Struct


class Here(Struct, frozen=True):
    """Ids of our own making; an agent's name is the operators' word."""

    request: str = ""
    execution: str = ""
    agent: str = ""
    trace: str = ""
    span: Any = None
    """The span under which further ones come; None where there are no traces."""


HERE: ContextVar[Here] = ContextVar("jit_auth_here", default=Here())  # noqa: B039 - frozen
"""Each task inherits its maker's and changes its own alone."""
