"""The page of one link: it shows exactly what will be sent, and takes one vote (or says what became of a call)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from jit_auth.core.links import row_of
from jit_auth.engine.doors import Doors, SignedDoors
from jit_auth.engine.pages import ApprovalPage, Choice
from jit_auth.engine.proof import Visitor
from jit_auth.errors import NotFound
from jit_auth.web import rounds
from jit_auth.web.choices import choice
from jit_auth.web.forms import LARGEST_POST, Posted, read_post, refuse_foreign
from jit_auth.web.notice import Notices, is_ask
from jit_auth.web.outcome import Outcomes, answered
from jit_auth.web.pages import Pages
from jit_auth.web.signed import SignedRounds
from jit_auth.web.together import Together
from jit_auth.web.visits import Visits

if TYPE_CHECKING:  # imported where people sign in, by app
    from jit_auth.web.passkeys import Passkeys

GATHERED = "gth_"
"""Prefix of the row that a gathered message's link stands for."""


def routes(
    doors: Doors,
    pages: Pages,
    visits: Visits | None = None,
    people: SignedDoors | None = None,
    passkeys: Passkeys | None = None,
) -> list[web.RouteDef]:
    """`/approvals/{ticket}`, and beneath it `/all` and `/all/{ask}`, each by GET and POST; `/approvals` alone. `visits`
    None: nobody is signed in anywhere; `people`: the doors of those who are."""
    approvals = Approvals(doors, pages, visits, people, passkeys)
    together = Together(doors, pages, visits)
    one, many = "/approvals/{ticket}", "/approvals/{ticket}/all"
    single = many + "/{ask}"
    return [
        web.get("/approvals", pages.guarded(approvals.list)),
        web.get(one, pages.guarded(approvals.show)),
        web.post(one, pages.guarded(approvals.decide)),
        web.get(many, pages.guarded(together.show)),
        web.post(many, pages.guarded(together.decide)),
        web.get(single, pages.guarded(together.show_one)),
        web.post(single, pages.guarded(together.decide_one)),
    ]


class Approvals:
    """The two handlers of a link."""

    def __init__(
        self,
        doors: Doors,
        pages: Pages,
        visits: Visits | None,
        people: SignedDoors | None,
        passkeys: Passkeys | None,
    ) -> None:
        self._doors = doors
        self._pages = pages
        self._visits = visits
        self._together = Together(doors, pages, visits)
        self._outcomes = Outcomes(pages)
        self._notices = Notices(doors, pages)
        self._signed: SignedRounds | None = None
        if people is not None and visits is not None and visits.issuers:
            self._signed = SignedRounds(people, pages, visits, self._outcomes, passkeys)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """What waits for whoever is signed in; else how to get there."""
        if self._signed is None:
            return await self._notices.list(request)
        return await self._signed.list(request)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page. Decides nothing, however often it is fetched, and by whom."""
        named = request.match_info["ticket"]
        if is_ask(named):
            return await (self._signed.show if self._signed else self._notices.show)(request, named)
        ticket = rounds.ticket_of(named)
        if _gathered(ticket) or "all" in request.query:
            # Not the page itself: what stands on it has addresses beneath this one.
            return web.Response(status=303, headers={"Location": f"{ticket}/all", **self._pages.headers})
        signed = await self._visits.signed(request) if self._visits else None
        page = await self._page(ticket, signed.visitor if signed else None)
        if page.ask.kind == "outcome":
            return self._outcomes.shown(page, form_token=signed.form_token if signed else "")
        return rounds.shown(self._pages, page, form_token=signed.form_token if signed else "")

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """One vote. What was shown is hashed from what the page shows at this moment: the digest that a form carries
        holds it to what the person read."""
        named = request.match_info["ticket"]
        if is_ask(named):
            return await (self._signed.decide if self._signed else self._notices.show)(request, named)
        ticket = rounds.ticket_of(named)
        if _gathered(ticket):
            return await self._together.decide(request)
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request, LARGEST_POST)
        signed = await self._visits.posting(request, posted) if self._visits else None
        visitor = signed.visitor if signed else None

        def choose(page: ApprovalPage) -> Choice:
            return choice(posted, page, rounds.card_of(page).seen)

        try:
            voted = await self._doors.vote(ticket, choose, visitor)
        except NotFound:
            return await self._resolve(ticket, posted, visitor)
        if not posted.form:
            return self._pages.json(rounds.document(voted))
        return rounds.decided(self._pages, (voted,))

    async def _resolve(self, ticket: str, posted: Posted, visitor: Visitor | None) -> web.StreamResponse:
        """A link of another kind, or none: what became of a call, in its person's word."""
        page = await self._doors.outcome_page(ticket, visitor)
        found, note = answered(posted, page.ask.digest)
        execution = await self._doors.resolve(ticket, found, note, visitor)
        return self._outcomes.resolved(page, posted, found, execution)

    async def _page(self, ticket: str, visitor: Visitor | None) -> ApprovalPage:
        """What the link is about: a round of approval, or a call whose outcome is unknown."""
        try:
            return await self._doors.approval_page(ticket, visitor)
        except NotFound:
            return await self._doors.outcome_page(ticket, visitor)


def _gathered(ticket: str) -> bool:
    named = row_of(ticket)
    return named is not None and named[0].startswith(GATHERED)
