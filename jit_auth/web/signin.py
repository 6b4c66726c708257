"""`/signin`, the issuer's way back, and `/signout`.

Attacks: login CSRF (the round trip's cookie is this browser's own, and the way back demands it); session fixation (a
session is new at every sign-in); an open redirect (`to` is a path of ours, judged when the trip began); a prefetch that
spends the code; a stranger who learns what exists (the page is the same whatever `to` names).
"""

from __future__ import annotations

import hashlib

from aiohttp import web

from jit_auth.core.text import visible
from jit_auth.errors import Forbidden, NotFound, SignInAway, SignInRefused
from jit_auth.model import Audit, Unit
from jit_auth.signin.linking import Linking
from jit_auth.signin.oidc import Begun, Oidc
from jit_auth.signin.trip import local
from jit_auth.web.forms import no_unknown, once, prefetched, read_post, refuse_foreign
from jit_auth.web.pages import Pages
from jit_auth.web.visits import Visits

CALLBACK = "/signin/callback"


class SignIn:
    """The handlers."""

    def __init__(self, oidc: Oidc, linking: Linking, visits: Visits, pages: Pages) -> None:
        self._oidc = oidc
        self._linking = linking
        self._visits = visits
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        """Only where there is an issuer."""
        return [
            web.get("/signin", self._pages.guarded(self.begin), allow_head=False),
            web.get(CALLBACK + "/{issuer}", self._pages.guarded(self.back), allow_head=False),
            web.post("/signout", self._pages.guarded(self.out)),
        ]

    async def begin(self, request: web.Request) -> web.StreamResponse:
        """With one issuer off to it at once, with several the choice. `fresh`: prove yourself there once more."""
        to = local(request.query.get("to", ""))
        name, fresh = request.query.get("issuer"), "fresh" in request.query
        if name is None and len(self._visits.issuers) == 1 and not prefetched(request):
            (name,) = self._visits.issuers
        if name is None:
            signed = await self._visits.signed(request)
            return self._pages.html("signin.html", issuers=self._visits.issuers, to=to, fresh=fresh, signed=signed)
        try:
            begun = await self._oidc.begin(name, to=to, fresh=fresh)
        except SignInAway as away:
            return await self._away(request, name, away, to, fresh=fresh)
        return self._leaving(name, begun)

    async def back(self, request: web.Request) -> web.StreamResponse:
        """The issuer sent the browser back: who it is becomes a session, or a page that says why not."""
        name = request.match_info["issuer"]
        if prefetched(request):
            raise Forbidden("This page cannot be fetched ahead of time.", code="prefetch", hint="Open it yourself.")
        if name not in self._visits.issuers:
            raise NotFound("There is no such issuer.")
        once([pair for pair in request.query.items() if pair[0] in ("state", "code", "iss", "error")])
        cookie = self._cookie(name)
        try:
            landed = await self._oidc.finish(name, request.query, request.cookies.get(cookie))
            person = await self._linking.person(landed.identity)
        except SignInRefused as refused:
            await self._on_record(name, refused)
            raise
        except SignInAway as away:
            return await self._away(request, name, away, local(away.members.get("to", "")), fresh=False)
        session = await self._visits.sessions.open(person, "oidc", name, await self._visits.signed(request))
        response = web.Response(status=303, headers={"Location": landed.to, **self._pages.headers})
        self._visits.enter(response, session)
        response.del_cookie(cookie, path=self._path, secure=self._pages.secure, httponly=True, samesite="Lax")
        return response

    async def out(self, request: web.Request) -> web.StreamResponse:
        """End the session of this browser; with `everywhere=yes` all of this person's."""
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request)
        signed = await self._visits.must(request, posted)
        no_unknown(posted.values, ("everywhere",))
        everywhere = posted.values.get("everywhere") == "yes"
        if everywhere:
            await self._visits.sessions.close_all(signed.person)
        else:
            await self._visits.sessions.close(signed)
        response = self._pages.html("signedout.html", everywhere=everywhere)
        self._visits.leave(response)
        return response

    async def _away(
        self, request: web.Request, name: str, away: SignInAway, to: str, *, fresh: bool
    ) -> web.StreamResponse:
        # The person's place is kept: the page knows where they were going, and tries again.
        return self._pages.html(
            "signin.html",
            status=away.status,
            issuers=(name,),
            to=to,
            fresh=fresh,
            signed=await self._visits.signed(request),
            trouble=away,
        )

    def _leaving(self, name: str, begun: Begun) -> web.Response:
        response = web.Response(status=303, headers={"Location": begun.url, **self._pages.headers})
        response.set_cookie(
            self._cookie(name),
            begun.cookie,
            max_age=begun.lifetime // 1000,
            path=self._path,
            secure=self._pages.secure,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def _on_record(self, issuer: str, refused: SignInRefused) -> None:
        fact = {"do": "signin.refused", "issuer": visible(issuer, one_line=True), "code": refused.code}
        await self._linking.store.apply(Unit(None, (), Audit(actor="engine", what=(fact,))))

    def _cookie(self, issuer: str) -> str:
        tail = hashlib.sha256(issuer.encode()).hexdigest()[:16]
        return f"{'__Host-' if self._pages.secure else ''}jat_signin_{tail}"

    @property
    def _path(self) -> str:
        return "/" if self._pages.secure else CALLBACK
