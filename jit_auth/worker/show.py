"""Cards made true: each due copy is shown as its execution is now. The state is delivered, not the steps."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from jit_auth.channels import Port
from jit_auth.channels.card import build
from jit_auth.core.links import ticket
from jit_auth.credentials import KINDS
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.judge import Judge
from jit_auth.errors import StorageError
from jit_auth.model import Audit, Card, Change, Millis, Stale, Unit
from jit_auth.storage.store import Store

log = logging.getLogger(__name__)

AGAIN: Millis = 60_000
"""When a card that could not be shown is tried again."""


@dataclass(frozen=True)
class Shows:
    """Shows due cards through the open channels."""

    store: Store
    judge: Judge
    bundle: Bundle
    ports: dict[str, Port]
    environment: str
    public_url: str
    ticket_key: bytes
    now: Callable[[], int]

    async def turn(self) -> int:
        """Show what is due; gives how many cards were made true."""
        shown = 0
        for card in await self.store.cards_due():
            try:
                shown += await self._show(card)
            except StorageError:
                raise
            except Exception:
                # One card that cannot be shown keeps nobody else waiting.
                log.exception("the card %s cannot be shown", card.id)
                await self._put(card, {"due": self.now() + AGAIN})
        return shown

    async def _show(self, row: Card) -> bool:
        port = self.ports.get(row.via)
        opened = await self.store.opened(row.execution)
        ask = next((ask for ask in opened.asks if ask.id == row.ask), None) if opened is not None else None
        if opened is None or ask is None or port is None:
            return await self._put(row, {"due": None})
        execution = opened.execution
        judged = await self.judge.judge(execution, opened.asks, opened.votes)
        if judged.operation is None or judged.request is None:
            return await self._put(row, {"due": None})
        operation = judged.operation
        mark = ticket(self.ticket_key, "approval", row.id, row.person, row.expires)
        card = build(
            environment=self.environment,
            card=row,
            ask=ask,
            execution=execution,
            action=operation.action,
            connector_name=operation.connector.name,
            provider_name=operation.provider_name,
            request=judged.request,
            connects=KINDS[operation.provider.kind].connects,
            votes=[vote for vote in opened.votes if vote.ask == ask.id],
            url=f"{self.public_url}/approvals/{mark}",
        )
        ref = await port.show(card, row.ref)
        return await self._put(row, {"ref": ref, "shown": execution.version, "due": None})

    async def _put(self, row: Card, to: dict[str, object]) -> bool:
        """Record what the copy shows. A card that became due again meanwhile stays due."""
        fact = {"do": "card", "card": row.id, "ask": row.ask, "via": row.via, "shown": to.get("shown")}
        audit = Audit(actor="engine", what=(fact,), execution=row.execution)
        return not isinstance(await self.store.apply(Unit(None, (Change(row, to),), audit)), Stale)
