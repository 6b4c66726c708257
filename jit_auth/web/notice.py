"""`/approvals/apr_...`, and `/approvals`: the addresses that stand in shared places. They tell next to nothing, and
decide nothing.

Attack: a link posted in a channel is everybody's link (THREAT_MODEL 11): this one names environment, action and risk,
and how to get a link of one's own.
"""

from __future__ import annotations

import re

from aiohttp import web

from jit_auth.channels.card import Card, build
from jit_auth.channels.cut import detailed
from jit_auth.engine.doors import Doors
from jit_auth.errors import Unauthenticated
from jit_auth.web.pages import Pages, wants_json

_ASK = re.compile(r"(apr|unk)_[0-9a-z]{1,64}")
_HEADERS = {"WWW-Authenticate": 'PersonalLink realm="approvals"'}
"""A 401 names its challenge (RFC 9110, 11.6.1). No browser knows this scheme, so none asks for a password."""


def is_ask(text: str) -> bool:
    """Whether a path names a question rather than being somebody's link."""
    return _ASK.fullmatch(text) is not None


class Notices:
    """Answers whoever holds the address of a question, or of all: 401, whatever the method."""

    def __init__(self, doors: Doors, pages: Pages) -> None:
        self._doors = doors
        self._pages = pages

    async def show(self, request: web.Request, ask: str) -> web.Response:
        """Environment, action, risk. Raises NotFound."""
        card = detailed(build(await self._doors.notice(ask)), "none")
        return self._answer(request, card, ask)

    async def list(self, request: web.Request) -> web.Response:
        """The address of what waits, without saying what does."""
        return self._answer(request, None, "ID")

    def _answer(self, request: web.Request, card: Card | None, ask: str) -> web.Response:
        if wants_json(request):
            told = {} if card is None else {"action": card.action, "risk": card.risk}
            raise Unauthenticated(
                "This address is nobody's link: it decides nothing.",
                hint="Open the link that was sent to you; `jit-auth approvals link ID --as PERSON` prints one.",
                members={"environment": self._pages.environment, **told},
                headers=_HEADERS,
            )
        response = self._pages.html("notice.html", status=401, card=card, ask=ask)
        response.headers.update(_HEADERS)
        return response
