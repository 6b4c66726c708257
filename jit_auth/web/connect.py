"""The consent page and the way back from the provider: what a user connects, for which agent, with which scopes.

A `GET` changes nothing. The `POST` binds one OAuth round trip to this browser by a cookie and answers a
page that goes on by `Refresh`, never a 3xx: browsers apply `form-action` to every redirect behind a form post.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web
from msgspec import Struct

from jit_auth.channels.card import outcome, wanted
from jit_auth.channels.words import CONNECTION
from jit_auth.core.links import row_of
from jit_auth.core.text import agent_says, host_shown
from jit_auth.engine.doors import Doors
from jit_auth.engine.pages import Finished, Leaving, Onward
from jit_auth.errors import BadRequest, Forbidden, NotFound
from jit_auth.web.forms import no_unknown, once, prefetched, read_post, refuse_foreign
from jit_auth.web.pages import Pages
from jit_auth.web.visits import Visits

COOKIE = "jat_flow"
CALLBACK = "/oauth/callback"

# What a Refresh header can hold without being read in two ways: a URL as it is written on the wire (RFC 3986).
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+")


class Scope(Struct, frozen=True):
    """A scope as people read it: in the words of the connector, and as the provider calls it."""

    name: str
    title: str


def routes(doors: Doors, pages: Pages, visits: Visits | None = None) -> list[web.RouteDef]:
    """`GET` and `POST /connect/{ticket}`, `GET /oauth/callback/{provider}` (never by HEAD: it would spend the code)."""
    connect = Connect(doors, pages, visits)
    return [
        web.get("/connect/{ticket}", pages.guarded(connect.show)),
        web.post("/connect/{ticket}", pages.guarded(connect.answer)),
        web.get(CALLBACK + "/{provider}", pages.guarded(connect.back), allow_head=False),
    ]


class Connect:
    """The three handlers."""

    def __init__(self, doors: Doors, pages: Pages, visits: Visits | None) -> None:
        self._doors = doors
        self._pages = pages
        self._visits = visits

    async def show(self, request: web.Request) -> web.Response:
        """Who asks for what. Changes nothing."""
        signed = await self._visits.signed(request) if self._visits else None
        page = await self._doors.consent_page(_ticket(request), signed.visitor if signed else None)
        return self._pages.html(
            "connect.html",
            page=page,
            says=None if page.execution is None else agent_says(page.execution),
            agent=page.ask.agent,
            summary=wanted(page),
            host=host_shown(page.provider_host),
            app_host=host_shown(page.app_host),
            new=scopes(page.new, page.scope_titles),
            held=scopes(page.held, page.scope_titles),
            manage_url=link_shown(page.manage_url),
            form_token=signed.form_token if signed else "",
            path=request.path,
        )

    async def answer(self, request: web.Request) -> web.Response:
        """Yes (the default: the page's main button) or, with `decision=refuse`, no."""
        ticket = _ticket(request)
        refuse_foreign(request, self._pages.origin)
        posted = await read_post(request)
        signed = await self._visits.posting(request, posted) if self._visits else None
        visitor, values = signed.visitor if signed else None, posted.values
        no_unknown(values, ("decision",))
        decision = values.get("decision", "allow")
        if decision not in ("allow", "refuse"):
            raise BadRequest("An answer is `allow` or `refuse`.", code="bad_decision", hint="Nothing was changed.")
        if decision == "refuse":
            begun: Leaving | Finished | Onward = await self._doors.consent_refuse(ticket, visitor)
        else:
            begun = await self._doors.consent_begin(ticket, visitor)
        if isinstance(begun, Onward):
            return self._going(begun.url, begun.host)
        return self._leaving(begun) if isinstance(begun, Leaving) else self._finished(begun)

    async def back(self, request: web.Request) -> web.StreamResponse:
        """The provider sent the browser back: the engine judges query and cookie, and exchanges the code."""
        if prefetched(request):
            # An answer that is no 2xx is thrown away, so that the person's own click arrives here again.
            raise Forbidden("This page cannot be fetched ahead of time.", code="prefetch", hint="Open it yourself.")
        query = once(list(request.query.items()))
        name = self._cookie_name(query.get("state", ""))
        finished = await self._doors.consent_finish(request.match_info["provider"], query, request.cookies.get(name))
        onward = None if isinstance(finished, Onward) else link_shown(finished.return_url)
        if isinstance(finished, Onward):
            # No form of ours stands behind this navigation: a redirect will do.
            response = web.Response(status=303, headers={"Location": finished.url, **self._pages.headers})
        elif finished.kind == "connected" and onward is not None:
            response = self._pages.html("finished.html", status=303, **self._words(finished))
            response.headers["Location"] = onward
        else:
            response = self._finished(finished)
        response.del_cookie(name, path=self._cookie_path, secure=self._pages.secure, httponly=True, samesite="Lax")
        return response

    def _leaving(self, leaving: Leaving) -> web.Response:
        response = self._going(leaving.url, urlsplit(leaving.url).netloc, leaving.provider_name)
        state = parse_qs(urlsplit(leaving.url).query).get("state", [""])[0]
        response.set_cookie(
            self._cookie_name(state),
            leaving.cookie,
            max_age=leaving.lifetime // 1000,
            path=self._cookie_path,
            secure=self._pages.secure,
            httponly=True,
            samesite="Lax",
        )
        return response

    def _going(self, url: str, host: str, provider: str = "") -> web.Response:
        """A page that goes on to the provider, or to the calling application."""
        if not _URL.fullmatch(url):
            raise ValueError("a URL that a browser is sent to holds a character that no URL may hold")
        response = self._pages.html("leaving.html", url=url, host=host_shown(host), provider=provider)
        response.headers["Refresh"] = f"0; url={url}"
        return response

    def _finished(self, finished: Finished) -> web.Response:
        return self._pages.html("finished.html", **self._words(finished))

    def _words(self, finished: Finished) -> dict[str, Any]:
        return {
            "end": finished,
            "granted": scopes(finished.granted, finished.scope_titles),
            "missing": scopes(finished.missing, finished.scope_titles),
            "outcome": _outcome(finished),
            "return_url": link_shown(finished.return_url),
            "manage_url": link_shown(finished.manage_url),
            "undo": f"/connect/{finished.undo}/undo" if finished.undo else "",
        }

    def _cookie_name(self, state: str) -> str:
        # A name per round trip: two consent pages in one browser do not take each other's cookie. The name says
        # nothing: state is no secret to this browser, and what binds is the value.
        tail = hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"{'__Host-' if self._pages.secure else ''}{COOKIE}_{tail}"

    @property
    def _cookie_path(self) -> str:
        return "/" if self._pages.secure else CALLBACK


def scopes(names: tuple[str, ...], titles: Mapping[str, str]) -> tuple[Scope, ...]:
    """Scopes in plain words where the connector has some."""
    return tuple(Scope(name, titles.get(name, "")) for name in names)


def link_shown(url: str | None) -> str | None:
    """A URL that may stand in a header or a link: http or https, as on the wire; anything else is left out."""
    return url if url is not None and _URL.fullmatch(url) else None


def _outcome(finished: Finished) -> str:
    """What becomes of the call that waited; without one, that nothing happens yet."""
    if finished.execution is not None:
        return outcome(finished.execution, finished.provider_name)
    return CONNECTION["met" if finished.kind == "connected" else "denied"]


def _ticket(request: web.Request) -> str:
    ticket = request.match_info["ticket"]
    if row_of(ticket) is None:
        raise NotFound("There is no such link.", hint="Use the whole link that you were given.")
    return ticket
