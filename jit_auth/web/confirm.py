"""`POST /connect/{ticket}/confirm`: the calling application says which of its users is in a browser that it was sent.

Attacks: the agent, which knows the ticket, confirms itself (the application's own secret is needed, compared in
constant time, and no agent's or operator's token is that); a browser posts here (it has no such header, and no cookie
counts).
"""

from __future__ import annotations

import hashlib
import hmac

from aiohttp import web

from jit_auth.engine.doors import ConfirmDoors
from jit_auth.engine.pages import Finished
from jit_auth.errors import BadRequest, Unauthenticated
from jit_auth.web.forms import no_unknown, read_post
from jit_auth.web.pages import Pages


class Confirm:
    """The handler. `secret`: of `[users] app_secret`."""

    def __init__(self, doors: ConfirmDoors, secret: str, pages: Pages) -> None:
        self._doors = doors
        self._secret = hashlib.sha256(secret.encode()).digest()
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        """Only where the application has to confirm."""
        return [web.post("/connect/{ticket}/confirm", self._pages.guarded(self.confirm, json=True))]

    async def confirm(self, request: web.Request) -> web.Response:
        """The answer that waits for the nonce counts, where the user is the ticket's."""
        self._authenticate(request)
        posted = await read_post(request)
        if posted.form:
            raise BadRequest("This takes JSON.", code="bad_content_type", hint="Send `content-type: application/json`.")
        no_unknown(posted.values, ("nonce", "user"))
        nonce, user = posted.values.get("nonce"), posted.values.get("user")
        if not isinstance(nonce, str) or not isinstance(user, str):
            raise BadRequest(
                "`nonce` and `user` are strings.", code="bad_json", hint='Send {"nonce": ..., "user": ...}.'
            )
        finished = await self._doors.consent_confirm(request.match_info["ticket"], nonce, user)
        return self._pages.json({"status": finished.kind, "return_url": self._return_url(finished)})

    def _authenticate(self, request: web.Request) -> None:
        headers = request.headers.getall("Authorization", [])
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        if not hmac.compare_digest(given, self._secret) or scheme.lower() != "bearer":
            raise Unauthenticated(
                "Only the application may confirm who a user is.",
                hint="Send `Authorization: Bearer` with `[users] app_secret`; an agent's token is none.",
                headers={"WWW-Authenticate": 'Bearer realm="confirm"'},
            )

    def _return_url(self, finished: Finished) -> str | None:
        """Where the application lets the browser go on: to the question that is open still; else back to where the
        call came from; else to the page that names what was connected, with its undo."""
        if finished.link is not None:
            return finished.link
        if finished.return_url is not None:
            return finished.return_url
        return f"{self._pages.public_url}/connect/{finished.undo}/undo" if finished.undo else None
