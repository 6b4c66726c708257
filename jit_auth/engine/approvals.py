"""Approvals by link: what the page shows, and one atomic vote.

Attacks: a mail scanner opens the link (reading decides nothing); a link is guessed, shared or replayed (the ticket is a
MAC over card, person and expiry; the vote's primary key makes it useless twice); a stale page approves something else
(the digest that the form carries is compared); two people decide at once (the round's version serialises them); a
vote comes at the last moment (judged by the database's clock).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn

import msgspec

from jit_auth.core.links import genuine, row_of
from jit_auth.core.quorum import eligible, enough
from jit_auth.core.times import rfc3339
from jit_auth.credentials import KINDS
from jit_auth.engine.advance import MOST_STALE, Dispatcher
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.judge import Judge, Judged
from jit_auth.engine.memory import Memory
from jit_auth.engine.pages import ApprovalPage, Voted
from jit_auth.errors import Conflict, Forbidden, Gone, NotFound, Unavailable
from jit_auth.model import (
    Ask,
    At,
    Audit,
    Card,
    Change,
    Execution,
    Insert,
    Op,
    Opened,
    Stale,
    Touch,
    Unit,
    Verdict,
    Vote,
    Who,
)
from jit_auth.storage.store import Store


@dataclass(frozen=True)
class Approvals:
    """The approver's side of the engine."""

    store: Store
    memory: Memory
    bundle: Bundle
    judge: Judge
    dispatcher: Dispatcher
    environment: str
    ticket_key: bytes

    async def page(self, ticket: str) -> ApprovalPage:
        """What one copy of a round shows now; decides nothing. Raises NotFound, Gone, Conflict (superseded)."""
        card, ask, opened = await self._find(ticket)
        judged = await self._judged(opened)
        self._still(ask, opened.execution)
        operation = judged.operation
        if operation is None or judged.request is None:
            raise Gone("This action no longer exists.", code="expired")
        if ask.state == "open" and judged.view.digest != ask.digest:
            # The request is built anew: what is shown would not be what this digest, and so this link, stands for.
            self.dispatcher.spawn(self.dispatcher.advance(opened.execution.id))
            self._superseded()
        return ApprovalPage(
            environment=self.environment,
            person=card.person,
            card=card,
            ask=ask,
            execution=opened.execution,
            action=operation.action,
            connector_name=operation.connector.name,
            provider_name=operation.provider_name,
            request=judged.request,
            connects=KINDS[operation.provider.kind].connects,
            places=tuple(KINDS[operation.provider.kind].adds(operation.provider)),
            votes=tuple(sorted((v for v in opened.votes if v.ask == ask.id), key=lambda vote: vote.at)),
            now=self.store.now(),
        )

    async def vote(
        self, ticket: str, verdict: Verdict, *, digest: str | None, feedback: str | None, how: str, seen: str
    ) -> Voted:
        """One vote of the person whose link it is. Raises NotFound, Gone, Conflict: then nothing was decided."""
        for _ in range(MOST_STALE):
            card, ask, opened = await self._find(ticket)
            self._votable(card, ask, opened, digest)
            if ("user", card.person) in self.memory.belief.stops:
                raise Forbidden("You were stopped by an operator.", code="not_eligible", hint="Nothing was decided.")
            vote = Vote(
                ask=ask.id,
                person=card.person,
                verdict=verdict,
                digest=ask.digest,
                seen=seen,
                how=how,
                feedback=feedback,
                at=self.store.now(),
            )
            new_ask = self._counted(ask, opened, vote)
            unit = self._unit(ask, new_ask, opened.execution, vote)
            if isinstance(await self.store.apply(unit), Stale):
                await self.memory.reread()
                continue
            return await self._voted(card, new_ask, vote, opened)
        raise Unavailable("Others are deciding this very moment.", hint="Try again.")

    async def _voted(self, card: Card, ask: Ask, vote: Vote, before: Opened) -> Voted:
        execution_id = ask.execution
        if vote.verdict == "deny":
            await self.dispatcher.advance(execution_id)
        else:
            self.dispatcher.spawn(self.dispatcher.advance(execution_id))
        opened = await self.store.opened(execution_id) or before
        operation = self.bundle.operation(opened.execution.action)
        if operation is None:
            raise Gone("This action no longer exists.", code="expired")
        return Voted(
            environment=self.environment,
            person=card.person,
            verdict=vote.verdict,
            ask=ask,
            execution=opened.execution,
            action=operation.action,
            votes=tuple(v for v in opened.votes if v.ask == ask.id),
            now=self.store.now(),
        )

    async def _find(self, ticket: str) -> tuple[Card, Ask, Opened]:
        """The card that a ticket stands for. One answer for every way in which it is none."""
        named = row_of(ticket)
        card = await self.store.card(named[0]) if named is not None and named[0].startswith("crd_") else None
        if card is None or not genuine(self.ticket_key, "approval", card.id, card.person, card.expires, ticket):
            raise NotFound("There is no such link.", hint="Links are personal and complete: copy the whole of it.")
        opened = await self.store.opened(card.execution)
        ask = next((a for a in opened.asks if a.id == card.ask), None) if opened is not None else None
        if opened is None or ask is None:
            raise NotFound("There is no such link.")
        return card, ask, opened

    async def _judged(self, opened: Opened) -> Judged:
        return await self.judge.judge(opened.execution, opened.asks, opened.votes)

    def _still(self, ask: Ask, execution: Execution) -> None:
        """Raises Gone or Conflict where the round is no longer to be seen or decided."""
        if ask.state == "superseded":
            self._superseded()
        if execution.state == "cancelled":
            raise Gone("The agent withdrew this request.", code="cancelled")
        waits = execution.state == "paused"
        if ask.state == "expired" or (self.store.now() >= ask.expires and (ask.state == "open" or waits)):
            raise Gone("This request ran out before it was decided.", code="expired")

    def _superseded(self) -> NoReturn:
        raise Conflict(
            "This request was asked again in another form.",
            code="superseded",
            hint="Open the newer request; this one decides nothing any more.",
        )

    def _votable(self, card: Card, ask: Ask, opened: Opened, digest: str | None) -> None:
        self._still(ask, opened.execution)
        votes = [vote for vote in opened.votes if vote.ask == ask.id]
        if ask.state != "open" or any(vote.person == card.person for vote in votes):
            decided = [{"by": v.person, "decision": v.verdict, "at": rfc3339(v.at)} for v in votes]
            raise Conflict(
                "This request was decided already.",
                code="already_decided",
                members={"decided": decided},
                hint="A decision is final; the agent can ask again.",
            )
        if digest is not None and digest != ask.digest:
            raise Conflict(
                "The page showed something else than what would be sent.",
                code="digest_mismatch",
                hint="Open the link again and read it once more. Nothing was decided.",
            )
        if not any(card.person in eligible(want, opened.execution) for want in ask.wants):
            raise Forbidden("You are not among those who may decide this.", code="not_eligible")

    def _counted(self, ask: Ask, opened: Opened, vote: Vote) -> Ask:
        """The round as this vote leaves it."""
        state: Literal["denied", "met", "open"] = "denied"
        if vote.verdict == "approve":
            yes = {v.person for v in opened.votes if v.ask == ask.id and v.verdict == "approve"} | {vote.person}
            who = [eligible(want, opened.execution) for want in ask.wants]
            state = "met" if enough(ask.wants, who, yes) else "open"
        return msgspec.structs.replace(ask, state=state, version=ask.version + 1)

    def _unit(self, ask: Ask, new: Ask, execution: Execution, vote: Vote) -> Unit:
        belief = self.memory.belief
        at = At(belief.epoch, self.bundle.hash, (("user", vote.person),), not_after=ask.expires)
        to = {"due": vote.at, "updated": vote.at} | ({"met": vote.at} if new.state == "met" else {})
        ops: tuple[Op, ...] = (
            Insert(vote),
            Change(ask, {"state": new.state}),
            Change(execution, to),
            Touch(ask.id, vote.at),
        )
        fact = {
            "do": "vote",
            "ask": ask.id,
            "verdict": vote.verdict,
            "digest": ask.digest,
            "seen": vote.seen,
            "how": vote.how,
            "by": Who(vote.person),
        }
        audit = Audit(
            actor=f"person:{vote.person}",
            what=(fact,),
            user=execution.user,
            agent=execution.chain[0],
            execution=execution.id,
        )
        return Unit(at, ops, audit)
