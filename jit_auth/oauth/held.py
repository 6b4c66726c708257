"""Answers that wait until the calling application has said whose browser gave them (`[users] verify = "app"`).

A held answer is a flow of its own, found by the MAC of a nonce that only the browser was sent; a provider's code waits
in it, sealed and unspent. Attacks (THREAT_MODEL 15): the nonce used as a `state`, or a state as a nonce (each has its
own key); a nonce twice, or late (the row is marked done by compare-and-set; five minutes); a stolen database (it holds
neither nonce nor code in the clear).
"""

from __future__ import annotations

import re
import secrets
from typing import Literal

from msgspec.structs import replace

from jit_auth.core.mac import Mac
from jit_auth.model import Ask, Audit, Flow, Insert, Millis, Unit
from jit_auth.storage.store import Store

LIFETIME: Millis = 300_000
"""How long the application has."""

_NONCE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Held:
    """Keeps held answers. `mac` is keyed for nonces alone."""

    def __init__(self, store: Store, mac: Mac) -> None:
        self._store = store
        self._mac = mac

    def nonce(self) -> str:
        """A new one, for one browser."""
        return secrets.token_urlsafe(32)

    def of(self, flow: Flow, code: str, nonce: str) -> Flow:
        """The row that keeps a provider's code until the nonce comes back."""
        until = self._store.now() + LIFETIME
        return replace(
            flow, id=self._id(nonce), version=1, cookie="", done=False, until=until, answer="code", code=code
        )

    async def hold(self, ask: Ask, answer: Literal["allow", "refuse"], epoch: int) -> str:
        """Keep an answer that needs no trip to the provider; gives its nonce. Raises StorageError."""
        nonce = self.nonce()
        flow = Flow(
            id=self._id(nonce),
            ask=ask.id,
            user=ask.user or "",
            provider=ask.provider or "",
            cookie="",
            verifier="",
            nonce="",
            scopes=(),
            epoch=epoch,
            until=self._store.now() + LIFETIME,
            answer=answer,
        )
        fact = {"do": "connect.held", "ask": ask.id, "provider": ask.provider, "answer": answer}
        # Nobody has shown yet to be the user: this is on record as ours.
        audit = Audit(actor="engine", what=(fact,), user=ask.user, agent=ask.agent, execution=ask.execution or None)
        await self._store.apply(Unit(None, (Insert(flow),), audit))
        return nonce

    async def find(self, nonce: str) -> Flow | None:
        """The answer that waits for this nonce, whatever has become of it."""
        return await self._store.flow(self._id(nonce)) if _NONCE.fullmatch(nonce) else None

    def _id(self, nonce: str) -> str:
        return self._mac.hex(b"nonce\n" + nonce.encode())
