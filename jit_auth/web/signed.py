"""`/approvals/apr_...` and `/approvals/unk_...` for whoever is signed in: the page of a link, under their own name.

Attacks: a stranger who signs in and tries ids (whoever has nothing to do with a request is answered as if there were
none, and so is every id that never was); a form that another site posts (its token is the session's own).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from msgspec.structs import replace

from jit_auth.engine.doors import SignedDoors
from jit_auth.engine.pages import ApprovalPage
from jit_auth.errors import Unauthenticated
from jit_auth.signin.sessions import Signed
from jit_auth.web import rounds
from jit_auth.web.choices import choice
from jit_auth.web.forms import LARGEST_POST, read_post, refuse_foreign
from jit_auth.web.outcome import Outcomes, answered
from jit_auth.web.pages import Pages, wants_json
from jit_auth.web.visits import Visits

if TYPE_CHECKING:  # imported where people sign in, by app
    from jit_auth.web.passkeys import Passkeys


class SignedRounds:
    """Shows and decides questions by their ids."""

    def __init__(
        self, doors: SignedDoors, pages: Pages, visits: Visits, outcomes: Outcomes, passkeys: Passkeys | None
    ) -> None:
        self._doors = doors
        self._pages = pages
        self._visits = visits
        self._outcomes = outcomes
        self._passkeys = passkeys

    async def list(self, request: web.Request) -> web.StreamResponse:
        """All that waits stands on the person's own page."""
        if await self._visits.signed(request) is None:
            return self._first(request, "/me")
        return web.Response(status=303, headers={"Location": "/me", **self._pages.headers})

    async def show(self, request: web.Request, ask: str) -> web.StreamResponse:
        """The question. Decides nothing. Raises NotFound."""
        signed = await self._visits.signed(request)
        if signed is None:
            return self._first(request, f"/approvals/{ask}")
        page = await self._page(signed, ask)
        if page.ask.kind == "outcome":
            return self._outcomes.shown(page, form_token=signed.form_token)
        return rounds.shown(self._pages, page, form_token=signed.form_token)

    async def decide(self, request: web.Request, ask: str) -> web.StreamResponse:
        """One vote, or the person's word about a lost outcome. Raises Forbidden, NotFound, Conflict, Gone."""
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request, LARGEST_POST)
        signed = await self._visits.must(request, posted)
        page = await self._page(signed, ask)
        how = signed.visitor.how
        if page.ask.kind == "outcome":
            found, note = answered(posted, page.ask.digest)
            execution = await self._doors.resolve_as(signed.person, ask, found, note, how)
            return self._outcomes.resolved(page, posted, found, execution)
        named, answer = posted.values.pop("challenge", None), posted.values.pop("passkey", None)
        made = replace(choice(posted, page, rounds.card_of(page).seen), how=how)
        if answer is not None and self._passkeys is not None:
            made = await self._passkeys.proven(page, made, named, answer)
        voted = await self._doors.vote_as(signed.person, ask, made)
        if not posted.form:
            return self._pages.json(rounds.document(voted))
        return rounds.decided(self._pages, (voted,))

    async def _page(self, signed: Signed, ask: str) -> ApprovalPage:
        if ask.startswith("unk_"):
            return await self._doors.outcome_as(signed.person, ask, signed.visitor.how)
        return await self._doors.round_as(signed.person, ask, signed.visitor.how)

    def _first(self, request: web.Request, path: str) -> web.Response:
        """Off to the sign-in, whether there is anything at that address or not."""
        if wants_json(request):
            raise Unauthenticated(
                "This is for people who are signed in.",
                hint="Open the address in a browser and sign in there.",
                headers={"WWW-Authenticate": 'Session realm="approvals"'},
            )
        return self._visits.to_sign_in(path)
