"""Who is signed in at the browser of a request, and whether a post is really theirs (THREAT_MODEL 38).

Attacks: another site posts with this browser's cookie (`Origin` has to be ours, and the form carries a token that only
a page of this session has); a cookie planted beside ours (`__Host-` under https: of this host, unseen by scripts).
"""

from __future__ import annotations

import hmac
from urllib.parse import quote

from aiohttp import web

from jit_auth.errors import Forbidden
from jit_auth.signin.sessions import LONGEST, Sessions, Signed
from jit_auth.web.forms import Posted, origin_of
from jit_auth.web.pages import Pages

TOKEN = "form_token"
"""The field of every form that rests on a session."""


class Visits:
    """Reads and sets session cookies. `issuers`: names of those that people can sign in at."""

    def __init__(self, sessions: Sessions, pages: Pages, issuers: tuple[str, ...]) -> None:
        self.sessions = sessions
        self.issuers = issuers
        self._pages = pages
        self._name = "__Host-jat_session" if pages.secure else "jat_session"

    async def signed(self, request: web.Request) -> Signed | None:
        """Who is signed in here, if anybody."""
        return await self.sessions.find(request.cookies.get(self._name))

    async def posting(self, request: web.Request, posted: Posted) -> Signed | None:
        """Who posts: the person who is signed in, where the post shows that it comes from a page of that session; else
        nobody, so that only what the address itself allows is done. Takes the token out of the values."""
        token = posted.values.pop(TOKEN, None)
        signed = await self.signed(request)
        if signed is None or not isinstance(token, str) or not self.ours(request):
            return None
        return signed if hmac.compare_digest(token.encode(), signed.form_token.encode()) else None

    async def must(self, request: web.Request, posted: Posted) -> Signed:
        """The same where nobody else may. Raises Forbidden (`bad_form_token`)."""
        signed = await self.posting(request, posted)
        if signed is None:
            raise Forbidden(
                "This form is not one of your present session.",
                code="bad_form_token",
                hint="Open the page again, sign in where it asks you to, and use the buttons on it. Nothing was done.",
            )
        return signed

    def enter(self, response: web.StreamResponse, cookie: str) -> None:
        """Give the browser its session."""
        response.set_cookie(
            self._name,
            cookie,
            max_age=LONGEST // 1000,
            path="/",
            secure=self._pages.secure,
            httponly=True,
            samesite="Lax",
        )

    def leave(self, response: web.StreamResponse) -> None:
        """Take it away again."""
        response.del_cookie(self._name, path="/", secure=self._pages.secure, httponly=True, samesite="Lax")

    def to_sign_in(self, path: str) -> web.Response:
        """Off to the sign-in, and from there back to `path` (one of ours)."""
        headers = {"Location": f"/signin?to={quote(path, safe='/')}", **self._pages.headers}
        return web.Response(status=303, headers=headers)

    def ours(self, request: web.Request) -> bool:
        """Whether a page of ours sent this browser's post."""
        # What rests on a cookie needs the Origin itself: an absent one is what some other site could manage.
        origins = request.headers.getall("Origin", [])
        return bool(origins) and all(origin_of(origin) == self._pages.origin for origin in origins)
