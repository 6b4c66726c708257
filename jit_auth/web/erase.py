"""DELETE /admin/users/{id}: erases a person (THREAT_MODEL 13).

Attacks: an agent, or an admin of a lower role, erases somebody to be rid of a record (role security; the record stays,
under a pseudonym); a typing mistake erases another one (an id that nobody has is 404, and nothing is made for it).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web

from jit_auth.core.digest import parse_json
from jit_auth.engine.author import Author
from jit_auth.engine.erasure import Erasures
from jit_auth.engine.report import document
from jit_auth.errors import Unprocessable
from jit_auth.web.admin import LONGEST_REASON
from jit_auth.web.agents import Bearers
from jit_auth.web.execute import read_body
from jit_auth.web.query import only, parameters

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class EraseRoute:
    """The handler."""

    erasures: Erasures
    bearers: Bearers

    def routes(self) -> list[web.RouteDef]:
        return [web.delete("/admin/users/{id}", self.erase)]

    async def erase(self, request: web.Request) -> web.Response:
        """Cut the person off, then destroy their key and id."""
        who = self.bearers.admin(request, "security")
        parameters(request, ())
        raw = await read_body(request)
        body = parse_json(raw) if raw else {}
        only(body, ("reason",), "member")
        reason = body.get("reason", "")
        if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
            message = f"says why, in at most {LONGEST_REASON} characters"
            raise Unprocessable(f"reason {message}.", members={"faults": [{"pointer": "/reason", "message": message}]})
        report = await self.erasures.user(request.match_info["id"], Author(who, reason.strip()))
        return web.Response(body=_encode({**document(report), "erased": True}), content_type="application/json")
