"""Rounds of approval: what a copy shows now, and one atomic vote, by link or in a name that a channel vouches for.

Attacks: a mail scanner opens the link (reading decides nothing); a link is guessed, shared or replayed (the ticket is a
MAC over card, person and expiry; the vote's primary key makes it useless twice); a stale page approves something else
(the digest that the form carries is compared; a round stands for one digest for ever); two people decide at once (the
round's version serialises them); a vote comes at the last moment (judged by the database's clock); an approver writes
his own request (an edit drops all votes, and whoever edited decides nothing).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from msgspec.structs import replace

from jit_auth.core.ids import born
from jit_auth.core.links import genuine, row_of
from jit_auth.credentials import KINDS
from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.around import Around, Look
from jit_auth.engine.ballot import Ballot, Mark
from jit_auth.engine.circle import Circle
from jit_auth.engine.current import Current
from jit_auth.engine.judge import Judge, Judged
from jit_auth.engine.memory import Memory
from jit_auth.engine.pages import ApprovalPage, Choice, Choose, Voted
from jit_auth.engine.proof import Proof, Visitor
from jit_auth.engine.stale import MOST_STALE
from jit_auth.errors import Conflict, Forbidden, Gone, NotFound, Problem, Unavailable
from jit_auth.model import Ask, Card, Opened, Stale
from jit_auth.storage.store import Store

MOST_TOGETHER = 50
"""Rounds that are decided by one post."""


@dataclass(frozen=True)
class Approvals:
    """The approver's side of the engine."""

    store: Store
    memory: Memory
    current: Current
    judge: Judge
    dispatcher: Dispatcher
    ballot: Ballot
    proof: Proof
    environment: str
    ticket_key: bytes

    async def page(self, ticket: str, signed: Visitor | None = None) -> ApprovalPage:
        """What one copy of a round shows now; decides nothing. `signed`: who is signed in: the link has to be theirs.
        Raises NotFound, Gone, Conflict (superseded), Forbidden (`other_person`)."""
        card, ask, opened = await self._find(ticket)
        how = self.behind(card, signed)
        page = await self._page(
            card.person, ask, opened, card, await self._judged(opened), Look(self.store, card.person)
        )
        return await self.proven(page, how, card.via)

    async def page_as(self, person: str, ask_id: str, how: str = "slack") -> ApprovalPage:
        """The same for a person whom a channel, or a sign-in, has recognised. Whoever has signed in and has nothing to
        do with it is answered as if it did not exist."""
        ask, opened = await (self._round(ask_id) if how == "slack" else self._theirs(person, ask_id))
        page = await self._page(person, ask, opened, None, await self._judged(opened), Look(self.store, person))
        return await self.proven(page, how, "")

    def behind(self, card: Card, signed: Visitor | None) -> str:
        """What stands behind whoever opened a copy's link. Raises Forbidden."""
        if signed is not None and signed.person != card.person:
            raise Forbidden(
                "This link is for another person than the one who is signed in.",
                code="other_person",
                hint="Sign out first, or open the request under your own name. Nothing was decided.",
            )
        return "link" if signed is None else signed.how

    async def proven(self, page: ApprovalPage, how: str, via: str) -> ApprovalPage:
        """The page with what stands behind its person, and what is still needed for a decision."""
        bundle, decision = self.current.bundle, page.execution.decision
        short = await self.proof.short_of(bundle, how, via, page.person, page.action, decision)
        hides = how == "link" and not (self.proof.loopback or self.proof.open_links)
        return replace(page, how=how, short=short, hides=hides)

    async def notice(self, ask_id: str) -> ApprovalPage:
        """The round to whoever holds its address: for its environment, action and risk alone."""
        ask, opened = await self._round(ask_id)
        return await self._page("", ask, opened, None, await self._judged(opened), None)

    async def shown(self, card: Card, opened: Opened, ask: Ask) -> ApprovalPage | None:
        """What the worker shows; None where the action no longer exists. Never refuses what is over."""
        return await self._made(
            card.person, ask, opened, card, await self._judged(opened), Look(self.store, card.person)
        )

    async def vote(self, ticket: str, choose: Choose, signed: Visitor | None = None) -> Voted:
        """One vote of the person whose link it is: what is chosen on seeing the page as it is at this moment, without
        what is around it. Raises NotFound, Gone, Conflict, Forbidden: then nothing was decided."""
        for _ in range(MOST_STALE):
            card, ask, opened = await self._find(ticket)
            how = self.behind(card, signed)
            judged = await self._judged(opened)
            page = await self._page(card.person, ask, opened, card, judged, None)
            choice = replace(choose(await self.proven(page, how, card.via)), how=how, via=card.via)
            voted = await self._cast(await self._mark(card.person, ask, opened, judged, choice))
            if voted is not None:
                return voted
        raise _deciding()

    async def vote_as(self, person: str, ask_id: str, choice: Choice) -> Voted:
        """One vote of a person whom a channel has recognised."""
        for _ in range(MOST_STALE):
            ask, opened = await self._round(ask_id)
            voted = await self._cast(await self._mark(person, ask, opened, await self._judged(opened), choice))
            if voted is not None:
                return voted
        raise _deciding()

    async def _cast(self, mark: Mark) -> Voted | None:
        """The vote, made durable. None: something has moved, and nothing was decided."""
        if isinstance(await self.store.apply(await self.ballot.unit((mark,))), Stale):
            await self.memory.reread()
            return None
        return await self._voted(mark)

    async def open_rounds(self, ticket: str, signed: Visitor | None = None) -> tuple[ApprovalPage, ...]:
        """All open rounds that wait for the person whose link this is, oldest first."""
        link = await self._link(ticket)
        return await self.open_rounds_as(link.person, self.behind(link, signed), link.via)

    async def open_rounds_as(self, person: str, how: str, via: str = "") -> tuple[ApprovalPage, ...]:
        """The same for a person who is signed in."""
        pages: list[ApprovalPage] = []
        look = Look(self.store, person)
        for card in await self.store.circles.open_cards(person):
            found = None if card.role != "decide" else await self._opened(card)
            if found is None:
                continue
            ask, opened = found
            try:
                page = await self._page(person, ask, opened, card, await self._judged(opened), look)
                pages.append(await self.proven(page, how, via))
            except Problem:
                continue  # it ran out, or was asked anew, since
        mine = [page for page in pages if all(vote.person != person for vote in page.votes)]
        return tuple({page.ask.id: page for page in mine}.values())[:MOST_TOGETHER]

    async def vote_together(
        self, ticket: str, choices: Mapping[str, Choice], signed: Visitor | None = None
    ) -> tuple[Voted, ...]:
        """Several rounds at once: all or nothing. Raises Conflict (`stale`: which refused the whole, and why)."""
        link = await self._link(ticket)
        how = self.behind(link, signed)
        chosen = {ask: replace(choice, how=how, via=link.via) for ask, choice in choices.items()}
        return await self.vote_together_as(link.person, chosen)

    async def vote_together_as(self, person: str, choices: Mapping[str, Choice]) -> tuple[Voted, ...]:
        """The same for a person who is signed in."""
        for _ in range(MOST_STALE):
            marks: list[Mark] = []
            refused: list[dict[str, str]] = []
            for ask_id, choice in choices.items():
                try:
                    ask, opened = await self._theirs(person, ask_id)
                    marks.append(await self._mark(person, ask, opened, await self._judged(opened), choice))
                except Problem as problem:
                    refused.append({"id": ask_id, "code": problem.code, "detail": problem.message})
            if refused:
                raise Conflict(
                    "One of these requests can no longer be decided so. Nothing was decided.",
                    code="stale",
                    members={"stale": refused},
                    hint="Open the list again: it shows what still waits.",
                )
            if isinstance(await self.store.apply(await self.ballot.unit(tuple(marks))), Stale):
                await self.memory.reread()
                continue
            return tuple([await self._voted(mark) for mark in marks])
        raise _deciding()

    async def _link(self, ticket: str) -> Card:
        """The copy whose link it is: of a question, open or not, or of a gathered message. Raises NotFound, Gone."""
        card = await self.card(ticket)
        if self.store.now() >= self.memory.belief.until(card.expires, born(card.id) or 0):
            raise Gone("This link has run out.", code="expired")
        return card

    async def card(self, ticket: str) -> Card:
        """The card that a ticket stands for. One answer for every way in which it is none."""
        named = row_of(ticket)
        return self._genuine(await self.store.card(named[0]) if named is not None else None, ticket)

    async def concerned(self, person: str, ask: Ask, opened: Opened) -> bool:
        """Whether a round is anything of this person's: they may decide it, did, or were told of it."""
        if self.gone(person):
            return False
        voted = any(vote.ask == ask.id and vote.person == person for vote in opened.votes)
        if voted or person in Circle(self.current.bundle).voters(opened.execution, ask):
            return True
        return any(card.ask == ask.id and card.person == person for card in await self.store.cards(ask.execution))

    def gone(self, person: str) -> bool:
        """Whether a person has left, or was stopped: nothing that they hold opens anything."""
        return person in self.current.bundle.left or ("user", person) in self.memory.belief.stops

    async def asked_of(self, card: Card) -> tuple[Ask, Opened]:
        """The question of a card. Raises NotFound."""
        found = await self._opened(card)
        if found is None:
            raise _no_link()
        return found

    async def _find(self, ticket: str) -> tuple[Card, Ask, Opened]:
        named = row_of(ticket)
        card, opened = await self.store.copied(named[0]) if named is not None else (None, None)
        card = self._genuine(card, ticket)
        ask = next((a for a in opened.asks if a.id == card.ask), None) if opened is not None else None
        if opened is None or ask is None or ask.kind != "approval":
            raise _no_link()
        return card, ask, opened

    def _genuine(self, card: Card | None, ticket: str) -> Card:
        good = card is not None and genuine(self.ticket_key, "approval", card.id, card.person, card.expires, ticket)
        if card is None or not good or self.gone(card.person):
            raise _no_link()
        return card

    async def _opened(self, card: Card) -> tuple[Ask, Opened] | None:
        opened = await self.store.opened(card.execution)
        ask = next((a for a in opened.asks if a.id == card.ask), None) if opened is not None else None
        return None if opened is None or ask is None else (ask, opened)

    async def _round(self, ask_id: str) -> tuple[Ask, Opened]:
        ask = await self.store.ask(ask_id)
        opened = await self.store.opened(ask.execution) if ask is not None and ask.kind == "approval" else None
        found = next((a for a in opened.asks if a.id == ask_id), None) if opened is not None else None
        if opened is None or found is None:
            raise NotFound("There is no such request.", hint="It may belong to another service.")
        return found, opened

    async def _theirs(self, person: str, ask_id: str) -> tuple[Ask, Opened]:
        """The same, where it is anything of this person's. Raises NotFound, in the very words for what is not there."""
        try:
            ask, opened = await self._round(ask_id)
        except NotFound:
            raise nothing_here(person) from None
        if not await self.concerned(person, ask, opened):
            raise nothing_here(person)
        return ask, opened

    async def _judged(self, opened: Opened) -> Judged:
        return await self.judge.judge(opened.execution, opened.asks, opened.votes)

    async def _page(
        self, person: str, ask: Ask, opened: Opened, card: Card | None, judged: Judged, look: Look | None
    ) -> ApprovalPage:
        """`look` None: nobody is to read what is around it."""
        self.still(ask, opened)
        if judged.operation is not None and ask.state == "open" and judged.view.digest != ask.digest:
            # The request is built anew: what is shown would not be what this digest, and so this link, stands for.
            self.dispatcher.spawn(self.dispatcher.advance(opened.execution.id))
            _superseded()
        page = await self._made(person, ask, opened, card, judged, look)
        if page is None:
            raise Gone("This action no longer exists.", code="expired")
        return page

    async def _made(
        self, person: str, ask: Ask, opened: Opened, card: Card | None, judged: Judged, look: Look | None
    ) -> ApprovalPage | None:
        operation, execution = judged.operation, opened.execution
        removed = "params" in execution.gone  # what is built of nothing is not what was sent
        if operation is None or (judged.request is None and operation.build is not None and not removed):
            return None
        kind = KINDS[operation.provider.kind]
        around = Around() if look is None else await look.around(execution, ask)
        return ApprovalPage(
            environment=self.environment,
            person=person,
            card=card,
            ask=ask,
            execution=execution,
            action=operation.action,
            connector_name=operation.connector.name,
            provider_name=operation.provider_name,
            request=None if removed else judged.request,
            connects=kind.connects and operation.build is not None,
            places=tuple(kind.adds(operation.provider)) if operation.build is not None else (),
            votes=tuple(sorted((v for v in opened.votes if v.ask == ask.id), key=lambda vote: vote.at)),
            eligible=tuple(sorted(Circle(judged.bundle).voters(execution, ask))),
            recent=around.recent,
            asked=around.asked,
            denied=around.denied,
            waiting=around.waiting,
            rounds=sum(one.kind == "approval" for one in opened.asks),
            steps_up=self.proof.steps_up(operation.action, judged.view.decision),
            now=self.store.now(),
        )

    def still(self, ask: Ask, opened: Opened) -> None:
        """Raises Gone or Conflict where the round is no longer to be seen or decided."""
        execution = opened.execution
        if ask.state == "superseded":
            _superseded()
        if execution.state == "cancelled":
            raise Gone("The agent withdrew this request.", code="cancelled")
        waits = execution.state == "paused"
        ends = self.memory.belief.until(ask.expires, ask.created)
        if ask.state == "expired" or (self.store.now() >= ends and (ask.state == "open" or waits)):
            raise Gone("This request ran out before it was decided.", code="expired")

    async def _mark(self, person: str, ask: Ask, opened: Opened, judged: Judged, choice: Choice) -> Mark:
        self.still(ask, opened)
        if "params" in opened.execution.gone:
            raise Gone("What was asked here was removed: there is nothing to decide.", code="expired")
        if judged.operation is not None:
            # To deny takes no passkey: it starts nothing.
            check = self.proof.check if choice.verdict == "approve" else self.proof.signed
            await check(judged.bundle, choice.how, choice.via, person, judged.operation.action, judged.view.decision)
        return self.ballot.mark(person, ask, opened, judged, choice)

    async def _voted(self, mark: Mark) -> Voted:
        execution_id, opened = mark.opened.execution.id, mark.opened
        if mark.edits is not None or mark.vote is None or mark.choice.verdict == "deny":
            await self.dispatcher.advance(execution_id)
            opened = await self.store.opened(execution_id) or opened
        else:
            # It waits still, for others or for its turn: nothing that this person would be told is read again.
            known, epoch = mark.after(mark.vote), mark.judged.at.epoch
            self.dispatcher.spawn(self.dispatcher.advance(execution_id, known=known, epoch=epoch))
            await asyncio.sleep(0)  # what was decided is on its way before anybody is told (docs/design/0002)
            opened = replace(opened, votes=(*opened.votes, mark.vote))
        operation = self.current.bundle.operation(opened.execution.action)
        if operation is None:
            raise Gone("This action no longer exists.", code="expired")
        return Voted(
            environment=self.environment,
            person=mark.person,
            verdict=mark.choice.verdict,
            ask=mark.new_ask,
            execution=opened.execution,
            action=operation.action,
            votes=tuple(v for v in opened.votes if v.ask == mark.ask.id),
            edited=mark.edits is not None,
            now=self.store.now(),
        )


def _no_link() -> NotFound:
    return NotFound("There is no such link.", hint="Links are personal and complete: copy the whole of it.")


def nothing_here(person: str) -> NotFound:
    """What a person is told who is signed in, and whom nothing here concerns, whether it exists or not."""
    return NotFound(
        f"There is nothing here for {person}.",
        hint=f"If you should decide here, ask an operator to list {person} in [people], or in the rules.",
    )


def _deciding() -> Unavailable:
    return Unavailable("Others are deciding this very moment.", hint="Try again.")


def _superseded() -> NoReturn:
    raise Conflict(
        "This request was asked again in another form.",
        code="superseded",
        hint="Open the newer request; this one decides nothing any more.",
    )
