"""`/connect/{ticket}/code`: whoever opened a consent link has a code mailed to its user, and types it here.

Attacks: another site posts the digits, or signs this browser in as somebody else (the post has to come from a page of
ours, and the code's cookie is this browser's own); a scanner's GET mails something or uses a try (only posts do); a
code for a question that a code proves nothing for (the engine says anew what is needed, each time).
"""

from __future__ import annotations

import hashlib

from aiohttp import web

from jit_auth.core.links import row_of
from jit_auth.engine.doors import Doors
from jit_auth.engine.pages import ConsentPage
from jit_auth.errors import BadRequest, CodeRefused, Forbidden, NotFound, Problem, TooMany, Unavailable
from jit_auth.signin.codes import LIFETIME, Codes
from jit_auth.signin.sessions import Signed
from jit_auth.web.forms import Posted, no_unknown, read_post, refuse_foreign
from jit_auth.web.pages import Pages, wants_json
from jit_auth.web.visits import Visits


class CodePages:
    """The handlers."""

    def __init__(self, doors: Doors, codes: Codes, visits: Visits, pages: Pages) -> None:
        self._doors = doors
        self._codes = codes
        self._visits = visits
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        """Only where codes are mailed."""
        path = "/connect/{ticket}/code"
        return [web.get(path, self._pages.guarded(self.show)), web.post(path, self._pages.guarded(self.answer))]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Where the code is typed. Changes nothing."""
        page = await self._page(request, await self._visits.signed(request))
        return self._back(request) if page is None else await self._shown(request, page)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """With a `code`: take it; without: mail one."""
        refuse_foreign(request, self._pages.origin)
        if not self._visits.ours(request):
            raise Forbidden("This was not sent from our page.", code="foreign_origin", hint="Use the page's buttons.")
        posted = await read_post(request)
        no_unknown(posted.values, ("code",))
        signed = await self._visits.signed(request)
        page = await self._page(request, signed)
        if page is None:
            return self._back(request)
        try:
            if "code" in posted.values:
                return await self._enter(request, page, posted, signed)
            return await self._mail(request, page)
        except (CodeRefused, TooMany, Unavailable) as trouble:
            if wants_json(request):
                raise
            return await self._shown(request, page, trouble)

    async def _mail(self, request: web.Request, page: ConsentPage) -> web.Response:
        cookie = await self._codes.send(page.ask, page.provider_name, request.cookies.get(self._name(page)))
        response = self._to(request.path)
        response.set_cookie(
            self._name(page),
            cookie,
            max_age=LIFETIME // 1000,
            path=self._path(request),
            secure=self._pages.secure,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def _enter(
        self, request: web.Request, page: ConsentPage, posted: Posted, signed: Signed | None
    ) -> web.Response:
        text = posted.values["code"]
        if not isinstance(text, str):
            raise BadRequest("`code` is the six digits as a string.", code="bad_form", hint="This was no try.")
        await self._codes.enter(page.ask, request.cookies.get(self._name(page)), text)
        session = await self._visits.sessions.open(page.ask.user or "", "code", "", signed)
        response = self._back(request)
        self._visits.enter(response, session)
        response.del_cookie(
            self._name(page), path=self._path(request), secure=self._pages.secure, httponly=True, samesite="Lax"
        )
        return response

    async def _page(self, request: web.Request, signed: Signed | None) -> ConsentPage | None:
        """The question, where a code is what it needs; None where it needs nothing more from this browser."""
        ticket = request.match_info["ticket"]
        if row_of(ticket) is None:
            raise NotFound("There is no such link.", hint="Use the whole link that you were given.")
        page = await self._doors.consent_page(ticket, signed.visitor if signed else None)
        if page.needs == "nothing":
            return None
        if page.needs != "code":
            raise Forbidden(
                "A mailed code proves nothing here: an agent may be able to read your mail.",
                code="sign_in_required",
                hint="Open the link itself: its page says how you can show that it is you. Nothing was changed.",
            )
        return page

    async def _shown(self, request: web.Request, page: ConsentPage, trouble: Problem | None = None) -> web.Response:
        waits = await self._codes.waits(page.ask, request.cookies.get(self._name(page)))
        return self._pages.html(
            "code.html",
            status=200 if trouble is None else trouble.status,
            page=page,
            waits=waits,
            trouble=trouble,
            back=self._question(request),
        )

    def _back(self, request: web.Request) -> web.Response:
        return self._to(self._question(request))

    def _to(self, path: str) -> web.Response:
        return web.Response(status=303, headers={"Location": path, **self._pages.headers})

    def _question(self, request: web.Request) -> str:
        return request.path.removesuffix("/code")

    def _name(self, page: ConsentPage) -> str:
        # One per question: two of them in one browser do not take each other's code.
        tail = hashlib.sha256(page.ask.id.encode()).hexdigest()[:16]
        return f"{'__Host-' if self._pages.secure else ''}jat_code_{tail}"

    def _path(self, request: web.Request) -> str:
        return "/" if self._pages.secure else self._question(request)
