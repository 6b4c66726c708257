"""What a kill switch has cut: as a value, and as the JSON of its answers."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Report(Struct, frozen=True):
    """What was cut. `executions` were open, and end as denied (`revoked`)."""

    kind: str
    id: str
    grants: int = 0
    consents: int = 0
    sessions: int = 0
    executions: int = 0
    passes: int = 0
    revoked: int = 0
    """Grants whose tokens the provider has confirmed as revoked."""
    pending: int = 0
    """Grants whose provider is still to be asked: the outbox goes on for a day."""
    unrevocable: tuple[str, ...] = ()
    """Providers that take nothing back: what remains is ended there by hand."""


def document(report: Report) -> dict[str, Any]:
    """What was cut, as JSON says it: the answer of `POST /admin/revoke` and of `revoke --json`."""
    cut = {name: getattr(report, name) for name in ("grants", "consents", "sessions", "executions", "passes")}
    return {
        report.kind: report.id,
        "cut": cut,
        "revoked": report.revoked,
        "pending": report.pending,
        "unrevocable": report.unrevocable,
    }
