"""Calls of unknown outcome: an operator, or one of the people named for it, finds out what became of them. Final.

Attack: an agent (or whoever it can talk to) has its own lost call resolved as failed, to make it again: requesters are
never asked, an admin credential or a person's own link is needed, and resolving starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jit_auth.core.ids import is_id
from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.approvals import Approvals, nothing_here
from jit_auth.engine.circle import Circle
from jit_auth.engine.pages import ApprovalPage
from jit_auth.engine.proof import Visitor
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import Conflict, Forbidden, NotFound, Unavailable
from jit_auth.model import Ask, Audit, Card, Change, Committed, Execution, Op, Opened, Stale, Touch, Trouble, Unit, Who
from jit_auth.storage.store import Store


@dataclass(frozen=True)
class Outcomes:
    """Resolving, by whichever way."""

    store: Store
    dispatcher: Dispatcher
    approvals: Approvals

    async def page(self, ticket: str, signed: Visitor | None = None) -> ApprovalPage:
        """What was sent, and what is known. Changes nothing. Raises NotFound, Gone, Forbidden."""
        card, ask, opened = await self._find(ticket)
        how = self.approvals.behind(card, signed)
        page = await self.approvals.shown(card, opened, ask)
        if page is None:
            raise NotFound("This action no longer exists.", hint="An operator can still resolve the call.")
        return await self.approvals.proven(page, how, card.via)

    async def by_link(self, ticket: str, outcome: str, note: str, signed: Visitor | None = None) -> Execution:
        """The answer of the person whose link it is."""
        card, ask, _ = await self._find(ticket)
        how = self.approvals.behind(card, signed)
        return await self.by_person(card.person, ask.id, outcome, note, how, card.via)

    async def by_person(self, person: str, ask_id: str, outcome: str, note: str, how: str, via: str = "") -> Execution:
        """The answer of a person whom a channel, or a sign-in, has recognised. Raises NotFound, Forbidden, Conflict."""
        ask = await self.store.ask(ask_id)
        opened = await self.store.opened(ask.execution) if ask is not None and ask.kind == "outcome" else None
        if ask is None or opened is None:
            raise NotFound("There is no such request.")
        bundle = self.approvals.current.bundle
        if person not in Circle(bundle).voters(opened.execution, ask):
            raise Forbidden(
                "You are not among those who may answer this.", code="not_eligible", hint="Nothing was changed."
            )
        operation = bundle.operation(opened.execution.action)
        if operation is not None:
            await self.approvals.proof.signed(bundle, how, via, person, operation.action, opened.execution.decision)
        fact = {"by": Who(person), "how": how}
        return await self._resolve(ask.execution, outcome, note, f"person:{person}", "approver", fact)

    async def page_as(self, person: str, ask_id: str, how: str) -> ApprovalPage:
        """The question to a person who is signed in. Raises NotFound, as if there were none, for others."""
        ask = await self.store.ask(ask_id)
        opened = await self.store.opened(ask.execution) if ask is not None and ask.kind == "outcome" else None
        if ask is None or opened is None or not await self.approvals.concerned(person, ask, opened):
            raise nothing_here(person)
        cards = await self.store.cards(ask.execution)
        card = next((card for card in cards if card.ask == ask.id and card.person == person), None)
        shown = card or Card(
            id="", role="resolve", ask=ask.id, execution=ask.execution, person=person, via="page", expires=ask.expires
        )
        page = await self.approvals.shown(shown, opened, ask)
        if page is None:
            raise nothing_here(person)
        return await self.approvals.proven(page, how, "")

    async def by_admin(self, execution_id: str, outcome: str, note: str, who: str) -> Execution:
        """An operator's answer; `who` is `admin:NAME`. Raises NotFound, Conflict (`not_unknown`)."""
        if not is_id(execution_id, "exe"):
            raise NotFound("There is no such execution.")
        return await self._resolve(execution_id, outcome, note, who, "admin", {})

    async def _find(self, ticket: str) -> tuple[Any, Ask, Opened]:
        card = await self.approvals.card(ticket)
        ask, opened = await self.approvals.asked_of(card)
        if ask.kind != "outcome":
            raise NotFound("There is no such link.", hint="Links are personal and complete: copy the whole of it.")
        return card, ask, opened

    async def _resolve(
        self, execution_id: str, outcome: str, note: str, who: str, role: str, fact: dict[str, Any]
    ) -> Execution:
        for _ in range(MOST_STALE):
            opened = await self.store.opened(execution_id)
            if opened is None:
                raise NotFound("There is no such execution.")
            execution = opened.execution
            if execution.state != "unknown":
                raise Conflict(
                    f"The execution is {execution.state}: there is nothing to resolve.",
                    code="not_unknown",
                    hint="Only a call of unknown outcome is resolved, once.",
                )
            now = self.store.now()
            error = _failed(note, role) if outcome == "failed" else None
            ops: list[Op] = [Change(execution, {"state": outcome, "updated": now, "error": error})]
            ops += [Change(ask, {"state": "met"}) for ask in opened.asks if ask.state == "open"]
            ops += [Touch(ask.id, now) for ask in opened.asks]
            facts = ({"do": "resolve", "outcome": outcome, "note": Committed(note), **fact},)
            audit = Audit(actor=who, what=facts, user=execution.user, agent=execution.chain[0], execution=execution.id)
            if not isinstance(await self.store.apply(Unit(None, tuple(ops), audit)), Stale):
                self.dispatcher.tell(execution)
                return await self.store.execution(execution_id) or execution
        raise Unavailable("Others are changing this execution.", hint="Try again.")


def _failed(note: str, role: str) -> Trouble:
    return Trouble(
        "resolved_failed",
        "A person found out that the call did not happen.",
        "Make it again if it is still wanted.",
        by=role,
        feedback=note,
    )
