"""MailHub's mail API: list messages with `mail.read`, send and delete with `mail.send`. It keeps what was sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from examples.mailhub.provider import Access, bearer

INBOX = (
    {"id": "m1", "from": "carol@example.net", "subject": "Meet on Tuesday?", "text": "Is Tuesday at ten fine for you?"},
    {"id": "m2", "from": "billing@example.org", "subject": "Your invoice", "text": "Nothing to do, it is paid."},
)


@dataclass
class MailApi:
    """A mailbox per account. `introspect` says what an access token is good for (here: by asking the provider)."""

    introspect: Callable[[str], Access | None]
    sent: list[dict[str, object]] = field(default_factory=list)
    inbox: list[dict[str, str]] = field(default_factory=lambda: list(INBOX))

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/v1/messages", self._list),
                web.post("/v1/messages", self._send),
                web.delete("/v1/messages/{id}", self._delete),
            ]
        )
        return app

    async def _list(self, request: web.Request) -> web.Response:
        self._allowed(request, "mail.read")
        limit = int(request.query.get("limit", "10"))
        return web.json_response({"messages": self.inbox[:limit]})

    async def _send(self, request: web.Request) -> web.Response:
        access = self._allowed(request, "mail.send")
        message = await request.json()
        stored = {"id": f"s{len(self.sent) + 1}", "from": access.account.email, **message}
        self.sent.append(stored)
        return web.json_response({"id": stored["id"], "accepted": message["to"]}, status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self._allowed(request, "mail.send")
        return web.Response(status=204)

    def _allowed(self, request: web.Request, scope: str) -> Access:
        """Who calls; answers 401 or 403 as RFC 6750 3.1 says."""
        access = self.introspect(bearer(request))
        if access is None:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Bearer realm="MailHub", error="invalid_token"'})
        if scope not in access.scopes:
            challenge = f'Bearer realm="MailHub", error="insufficient_scope", scope="{scope}"'
            raise web.HTTPForbidden(headers={"WWW-Authenticate": challenge})
        return access
