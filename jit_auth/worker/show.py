"""Cards made true: each due copy is shown as its question is now. The state is delivered, not the steps.

A copy is claimed before it is shown, so that of two replicas one shows it; a process that dies in between leaves a
claim that runs out, and the channel finds what was posted by the card's id. What a channel cannot deliver goes to the
next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from jit_auth.channels import Channel, Port
from jit_auth.channels.card import Card as Shown
from jit_auth.channels.card import build, build_consent, build_link
from jit_auth.core.links import ticket
from jit_auth.core.reach import SHARED
from jit_auth.engine.approvals import Approvals
from jit_auth.engine.consents import Consents
from jit_auth.engine.current import Current
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import Later, Never, NotFound, StorageError
from jit_auth.model import Ask, Audit, Card, Change, Insert, Millis, Op, Opened, Stale, Unit
from jit_auth.storage.store import Store
from jit_auth.worker.gather import Gathers

log = logging.getLogger(__name__)

FIRST_PAUSE: Millis = 1_000
LONGEST_PAUSE: Millis = 60_000
CLAIM: Millis = 60_000
"""How long a process may take to show one copy before another one does."""
HERE: Millis = 10_000
"""How long a line of the terminal waits for the process that made its request."""
MAYBE = "maybe"
"""The `ref` of a copy that may have been posted, by an attempt whose answer was lost or whose process died: the channel
looks for it, and it goes into no gathered message, or its buttons would stay."""
AT_ONCE = 8
"""Copies shown at a time: a channel that is slow must not hold up the others."""


@dataclass(frozen=True)
class Shows:
    """Shows due cards through the open channels."""

    store: Store
    approvals: Approvals
    consents: Consents
    gathers: Gathers
    ports: Mapping[str, Port]
    channels: Mapping[str, Channel]
    current: Current
    public_url: str
    ticket_key: bytes

    async def turn(self) -> int:
        """Show what is due; gives how many cards were made true. Raises StorageError."""
        limit = asyncio.Semaphore(AT_ONCE)
        rows = await self.store.cards_due()
        turns = await self._turns(rows)

        async def one(row: Card) -> bool:
            async with turns.get((row.person, row.via), nullcontext()) if self._begins(row) else nullcontext(), limit:
                return await self._tried(row)

        results = await asyncio.gather(*(one(row) for row in rows), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return sum(result is True for result in results)

    async def _turns(self, rows: Sequence[Card]) -> dict[tuple[str, str], asyncio.Lock]:
        """Whom all that is due would ask too often: they are asked one after the other, so that each is counted."""
        asked = Counter((row.person, row.via) for row in rows if self._begins(row))
        return {
            who: asyncio.Lock() for who, times in asked.items() if times > 1 and await self.gathers.left(*who) < times
        }

    def _begins(self, row: Card) -> bool:
        """Whether this copy would ask a person by a message that is new."""
        return row.role == "decide" and row.ref is None and not self.current.bundle.reach.everyone(row.via)

    async def _tried(self, row: Card) -> bool:
        try:
            return await self._show(row)
        except StorageError:
            raise
        except Exception:
            # One card that cannot be shown keeps nobody else waiting.
            log.exception("the card %s cannot be shown", row.id)
            await self._put(row, {"due": self.store.now() + LONGEST_PAUSE, "tries": row.tries + 1}, "failed")
            return False

    async def _show(self, row: Card) -> bool:
        port = self.ports.get(row.via)
        if port is None:
            return await self._put(row, {"due": None}, "no_channel")
        local = self.current.bundle.reach.everyone(row.via)
        now = self.store.now()
        if local and row.process != self.store.process and row.ref is None and now < (row.due or 0) + HERE:
            return False  # the process that made the request prints its lines, unless it is gone
        brief = self.channels[row.via].brief
        if brief and row.ref is not None:
            return await self._put(row, {"due": None}, "kept")
        made = await (self._bare(row) if brief else self._made(row))
        if made is None:
            return await self._put(row, {"due": None}, "over")
        card, version = made
        if self._begins(row):
            if not card.open and card.fresh:
                return await self._put(row, {"due": None, "shown": version}, "over")  # never begin with what is over
            surely_new = card.fresh or row.tries > 0  # else a process may have died while it posted
            if card.open and surely_new and await self.gathers.left(row.person, row.via) <= 0:
                return await self._gather(row)
        if not local:
            claim: dict[str, Any] = {"process": self.store.process, "due": now + CLAIM}
            if not await self._put(row, claim, "showing"):
                return False
            row = replace(row, version=row.version + 1, **claim)
        try:
            ref = await port.show(card, row.ref)
        except Later as later:
            pause = later.after if later.after is not None else min(LONGEST_PAUSE, FIRST_PAUSE << min(row.tries, 10))
            log.warning("%s: %s; tried again", row.via, later.message)
            to: dict[str, Any] = {"due": self.store.now() + pause, "tries": row.tries + 1}
            if row.ref is None and not local and (later.maybe or not (card.fresh or row.tries)):
                to["ref"] = MAYBE
            await self._put(row, to, "later")
            return False
        except Never as never:
            await self._instead(row, never)
            return False
        shown = self.store.now() if row.role == "gather" else version
        return await self._shown(row, ref, shown)

    async def _shown(self, row: Card, ref: str, shown: int) -> bool:
        """Record it. What changed meanwhile is shown next, in what was posted: it must not be posted again."""
        if await self._put(row, {"ref": ref, "shown": shown, "due": None, "tries": 0}, "shown"):
            return True
        for _ in range(MOST_STALE):
            now = await self.store.card(row.id)
            to = {"ref": ref, "shown": shown, "due": self.store.now(), "tries": 0}
            if now is None or await self._put(now, to, "shown"):
                return False
        return False

    async def _bare(self, row: Card) -> tuple[Shown, int] | None:
        """The same, where a link is all that is displayed: nothing of the call is read for it."""
        ask = await self.store.ask(row.ask)
        return None if ask is None else (build_link(self.approvals.environment, row, ask, self._link(row)), ask.version)

    async def _made(self, row: Card) -> tuple[Shown, int] | None:
        """What the copy is to display, and the version that it displays then."""
        if row.role == "gather":
            return await self.gathers.card(row, self._link(row)), 0
        if row.ref == self.gathers.REF:
            return None  # it stands in a gathered message, which holds links alone
        if row.role == "consent" and not row.execution:
            return await self._connection(row)
        opened = await self.store.opened(row.execution)
        ask = next((ask for ask in opened.asks if ask.id == row.ask), None) if opened is not None else None
        if opened is None or ask is None:
            return None
        version = opened.execution.version
        if ask.kind == "consent":
            asked = await self._consent(row, ask)
            return None if asked is None else (asked, version)
        approval = await self.approvals.shown(row, opened, ask)
        return None if approval is None else (build(approval, card=row, url=self._link(row)), version)

    async def _connection(self, row: Card) -> tuple[Shown, int] | None:
        """A consent that is asked for before any call: its own row is what the copy shows."""
        ask = await self.store.ask(row.ask)
        asked = await self._consent(row, ask) if ask is not None else None
        return None if ask is None or asked is None else (asked, ask.version)

    async def _consent(self, row: Card, ask: Ask) -> Shown | None:
        try:
            page = await self.consents.shown(ask)
        except NotFound:
            return None
        return build_consent(page, row, self.consents.link(ask))

    def _link(self, row: Card) -> str:
        """A person's own link; in a place that many see, an address that decides nothing (THREAT_MODEL 11)."""
        if row.person.startswith(SHARED):
            return f"{self.public_url}/approvals/{row.ask}" if row.ask else f"{self.public_url}/approvals"
        return f"{self.public_url}/approvals/{ticket(self.ticket_key, 'approval', row.id, row.person, row.expires)}"

    async def _gather(self, row: Card) -> bool:
        """This person has been asked often enough in this hour: it goes into one message with others."""
        ops = await self.gathers.ops(row)
        return await self._put(row, {"ref": self.gathers.REF, "due": None}, "gathered", ops)

    async def _instead(self, row: Card, never: Never) -> None:
        """The channel refuses this person for good: the next one is used, and operators are told."""
        opened = await self.store.opened(row.execution) if row.execution else None
        cards = await self.store.cards(row.execution) if row.execution else ()
        failed = {card.via for card in cards if card.person == row.person}
        via = (*self._via(opened), "terminal")
        other = self.current.bundle.reach.instead(row.person, via, failed | {row.via})
        log.error(
            "%s will never reach a person asked by %s: %s%s", row.via, row.ask, never.message,
            f"; {other} is used" if other else "; no other channel is left",
        )  # fmt: skip
        ops: list[Op] = []
        if other is not None:
            new = Card(
                id=self.gathers.make_id("crd"), role=row.role, ask=row.ask, execution=row.execution,
                person=row.person, via=other, due=self.store.now(), expires=row.expires, process=self.store.process,
            )  # fmt: skip
            ops.append(Insert(new))
        await self._put(row, {"due": None, "tries": row.tries + 1}, "refused", ops, why=never.code)

    def _via(self, opened: Opened | None) -> tuple[str, ...]:
        return opened.execution.decision.via if opened is not None else self.current.bundle.reach.names

    async def _put(self, row: Card, to: dict[str, Any], did: str, ops: list[Op] | None = None, **more: str) -> bool:
        """Record what the copy shows. A card that became due again meanwhile stays due."""
        fact = {"do": "card", "card": row.id, "ask": row.ask, "via": row.via, "did": did, **more}
        audit = Audit(actor="engine", what=(fact,), execution=row.execution or None)
        return not isinstance(await self.store.apply(Unit(None, (Change(row, to), *(ops or ())), audit)), Stale)
