"""`/connect/{ticket}/undo`: the form of the last page that takes back what was just allowed.

Attacks: a scanner's GET undoes something (only the post does); another site posts (its Origin is foreign).
"""

from __future__ import annotations

from aiohttp import web

from jit_auth.core.links import row_of
from jit_auth.engine.doors import UndoDoors
from jit_auth.engine.pages import UndoPage
from jit_auth.errors import NotFound
from jit_auth.web.connect import link_shown
from jit_auth.web.forms import no_unknown, read_post, refuse_foreign
from jit_auth.web.pages import Pages


class UndoForm:
    """The handlers."""

    def __init__(self, doors: UndoDoors, pages: Pages) -> None:
        self._doors = doors
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        path = "/connect/{ticket}/undo"
        return [web.get(path, self._pages.guarded(self.show)), web.post(path, self._pages.guarded(self.undo))]

    async def show(self, request: web.Request) -> web.Response:
        """What was connected, and the button. Changes nothing."""
        return self._page(await self._doors.undo_page(_ticket(request)))

    async def undo(self, request: web.Request) -> web.Response:
        """Undo it, once."""
        refuse_foreign(request, self._pages.origin)
        no_unknown((await read_post(request)).values, ())
        return self._page(await self._doors.undo(_ticket(request)))

    def _page(self, page: UndoPage) -> web.Response:
        return self._pages.html("undo.html", page=page, manage_url=link_shown(page.manage_url))


def _ticket(request: web.Request) -> str:
    ticket = request.match_info["ticket"]
    if row_of(ticket) is None:
        raise NotFound("There is no such link.", hint="Use the whole link that you were given.")
    return ticket
