"""Who throws a switch, as it stands on record: an operator at a command, or a named admin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Author:
    """Who throws a switch, as it stands on record."""

    actor: str
    """`operator` (a command) or `admin:NAME`."""
    why: str = ""
    system: str = ""
    """The operating system's name of whoever ran the command."""

    def fact(self, do: str, **more: Any) -> dict[str, Any]:
        """One fact, with why and by whom."""
        found = {"do": do, **more}
        if self.why:
            found["why"] = self.why
        if self.system:
            found["as"] = self.system
        return found
