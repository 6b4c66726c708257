"""Outbox rows in memory, compared and set as the store does it."""

from __future__ import annotations

from typing import Any

import msgspec

from jit_auth.model import Applied, Change, Delete, Insert, Millis, Outbox, Stale, Unit
from jit_auth.storage.clock import Clock


class Shelf:
    def __init__(self) -> None:
        self.clock = Clock()
        self.kept: dict[str, Outbox] = {}
        self.facts: list[dict[str, Any]] = []

    def now(self) -> Millis:
        return self.clock()

    async def outbox_due(self, limit: int = 100) -> tuple[Outbox, ...]:
        due = [row for row in self.kept.values() if row.due <= self.now()]
        return tuple(sorted(due, key=lambda row: (row.due, row.id))[:limit])

    async def apply(self, unit: Unit) -> Applied | Stale:
        for op in unit.ops:
            if isinstance(op, (Change, Delete)):
                assert isinstance(op.was, Outbox)
                kept = self.kept.get(op.was.id)
                if kept is None or kept.version != op.was.version:
                    return Stale("version", 1)
        for op in unit.ops:
            match op:
                case Insert(Outbox() as row):
                    self.kept[row.id] = row
                case Change(Outbox() as was, to):
                    self.kept[was.id] = msgspec.structs.replace(was, version=was.version + 1, **to)
                case Delete(Outbox() as was):
                    del self.kept[was.id]
        self.facts += unit.audit.what
        return Applied(1, self.now())
