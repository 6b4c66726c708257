"""The page of one link: it shows exactly what will be sent, and takes one vote (or says what became of a call)."""

from __future__ import annotations

from aiohttp import web

from jit_auth.core.links import row_of
from jit_auth.engine.pages import ApprovalPage, Doors
from jit_auth.errors import NotFound
from jit_auth.web import rounds
from jit_auth.web.choices import choice
from jit_auth.web.forms import LARGEST_POST, read_post, refuse_foreign
from jit_auth.web.notice import Notices, is_ask
from jit_auth.web.outcome import Outcomes
from jit_auth.web.pages import Pages
from jit_auth.web.together import Together

GATHERED = "gth_"
"""Prefix of the row that a gathered message's link stands for."""


def routes(doors: Doors, pages: Pages) -> list[web.RouteDef]:
    """`/approvals/{ticket}`, and beneath it `/all` and `/all/{ask}`, each by GET and POST; `/approvals` alone."""
    approvals, together, notices = Approvals(doors, pages), Together(doors, pages), Notices(doors, pages)
    one, many = "/approvals/{ticket}", "/approvals/{ticket}/all"
    single = many + "/{ask}"
    return [
        web.get("/approvals", pages.guarded(notices.list)),
        web.get(one, pages.guarded(approvals.show)),
        web.post(one, pages.guarded(approvals.decide)),
        web.get(many, pages.guarded(together.show)),
        web.post(many, pages.guarded(together.decide)),
        web.get(single, pages.guarded(together.show_one)),
        web.post(single, pages.guarded(together.decide_one)),
    ]


class Approvals:
    """The two handlers of a link."""

    def __init__(self, doors: Doors, pages: Pages) -> None:
        self._doors = doors
        self._pages = pages
        self._together = Together(doors, pages)
        self._outcomes = Outcomes(doors, pages)
        self._notices = Notices(doors, pages)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page. Decides nothing, however often it is fetched, and by whom."""
        named = request.match_info["ticket"]
        if is_ask(named):
            return await self._notices.show(request, named)
        ticket = rounds.ticket_of(named)
        if _gathered(ticket) or "all" in request.query:
            # Not the page itself: what stands on it has addresses beneath this one.
            return web.Response(status=303, headers={"Location": f"{ticket}/all", **self._pages.headers})
        page = await self._page(ticket)
        if page.ask.kind == "outcome":
            return self._outcomes.shown(page)
        return rounds.shown(self._pages, page)

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """One vote. What was shown is hashed from what the page shows at this moment: the digest that a form carries
        holds it to what the person read."""
        named = request.match_info["ticket"]
        if is_ask(named):
            return await self._notices.show(request, named)
        ticket = rounds.ticket_of(named)
        if _gathered(ticket):
            return await self._together.decide(request)
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request, LARGEST_POST)
        page = await self._page(ticket)
        if page.ask.kind == "outcome":
            return await self._outcomes.decide(ticket, page, posted)
        voted = await self._doors.vote(ticket, choice(posted, page, rounds.card_of(page).seen))
        if not posted.form:
            return self._pages.json(rounds.document(voted))
        return rounds.decided(self._pages, (voted,))

    async def _page(self, ticket: str) -> ApprovalPage:
        """What the link is about: a round of approval, or a call whose outcome is unknown."""
        try:
            page = await self._doors.approval_page(ticket)
        except NotFound:
            return await self._doors.outcome_page(ticket)
        return await self._doors.outcome_page(ticket) if page.ask.kind == "outcome" else page


def _gathered(ticket: str) -> bool:
    named = row_of(ticket)
    return named is not None and named[0].startswith(GATHERED)
