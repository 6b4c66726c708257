"""What is owed to servers outside, by kind: tokens to revoke at their provider (RFC 7009), events to deliver."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from jit_auth.egress import Egress
from jit_auth.engine.current import Current
from jit_auth.errors import StorageError
from jit_auth.model import Audit, Change, Delete, Millis, Op, Outbox, Unit
from jit_auth.oauth.owed import revocable
from jit_auth.oauth.revoke import revoke
from jit_auth.storage.store import Store
from jit_auth.worker.hooks import Hooks

log = logging.getLogger(__name__)

FIRST_PAUSE: Millis = 1_000
LONGEST_PAUSE: Millis = 3_600_000


@dataclass(frozen=True)
class Owed:
    """Works the outbox off: tried again, doubling, until `until`. Events are delivered beside it, by `hooks`."""

    store: Store
    egress: Egress
    current: Current
    hooks: Hooks

    async def turn(self) -> int:
        """Try what is due; gives how many tokens were done with."""
        done = 0
        rows = await self.store.outbox_due()
        if any(row.kind == "event" for row in rows):
            self.hooks.start()
        for row in rows:
            if row.kind != "revoke":
                continue
            try:
                done += await self._revoke(row)
            except StorageError:
                raise
            except Exception:
                # One token that cannot be opened keeps the others from nothing.
                log.exception("%s cannot be revoked", row.id)
                await self._put(row, Change(row, {"due": self.store.now() + LONGEST_PAUSE}), "token.revoke_failed")
        return done

    async def _revoke(self, row: Outbox) -> bool:
        provider = self.current.bundle.catalog.providers.get(row.provider)
        gone = False
        if provider is not None and revocable(provider):
            gone = await revoke(self.egress, provider, await self.store.reveal(row))
        now = self.store.now()
        op: Op
        if gone or provider is None or not revocable(provider) or now >= row.until:
            op, did = Delete(row), "token.revoked" if gone else "token.not_revoked"
        else:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE << min(row.tries, 12))
            op, did = Change(row, {"due": now + pause, "tries": row.tries + 1}), "token.revoke_failed"
        await self._put(row, op, did)
        return isinstance(op, Delete)

    async def _put(self, row: Outbox, op: Op, did: str) -> None:
        fact = {"do": did, "provider": row.provider}
        await self.store.apply(Unit(None, (op,), Audit(actor="engine", what=(fact,), user=row.user)))
