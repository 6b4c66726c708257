"""/admin: what operators do by HTTP: suspend, restore, revoke, halt, resume (THREAT_MODEL 35).

Attacks: an agent's token, or one of a lower role, administers (every route asks for its role before it reads a body);
an admin's token executes or decides (no route of those takes one); a typing mistake cuts the wrong one, or nothing
(unknown members and ids are refused).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from jit_auth.config.settings import Role
from jit_auth.core.digest import parse_json
from jit_auth.core.times import rfc3339
from jit_auth.engine.author import Author
from jit_auth.engine.current import Current
from jit_auth.engine.cuts import Cuts
from jit_auth.engine.halts import Halts
from jit_auth.engine.report import document
from jit_auth.errors import Unprocessable
from jit_auth.web.agents import Bearers
from jit_auth.web.execute import read_body
from jit_auth.web.query import only, parameters

LONGEST_REASON = 2_000
KINDS = ("agent", "user", "grant", "connector")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Administration:
    """The handlers."""

    cuts: Cuts
    halts: Halts
    current: Current
    bearers: Bearers

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/admin/agents/{id}/suspend", self.suspend),
            web.post("/admin/agents/{id}/restore", self.restore_agent),
            web.post("/admin/connectors/{id}/restore", self.restore_connector),
            web.post("/admin/revoke", self.revoke),
            web.post("/admin/halt", self.halt),
            web.post("/admin/resume", self.resume),
        ]

    async def suspend(self, request: web.Request) -> web.Response:
        """The agent does nothing until it is restored; what it has open ends."""
        author, _ = await self._begin(request, "operator")
        report = await self.cuts.suspend(request.match_info["id"], author)
        return _json({"agent": report.id, "suspended": True, "executions": report.executions})

    async def restore_agent(self, request: web.Request) -> web.Response:
        """Lift the suspension alone."""
        author, _ = await self._begin(request, "security")
        name = request.match_info["id"]
        await self.cuts.restore("agent", name, author)
        return _json({"agent": name, "suspended": False})

    async def restore_connector(self, request: web.Request) -> web.Response:
        """Lift the stop alone."""
        author, _ = await self._begin(request, "security")
        name = request.match_info["id"]
        await self.cuts.restore("connector", name, author)
        return _json({"connector": name, "stopped": False})

    async def revoke(self, request: web.Request) -> web.Response:
        """The kill switch: exactly one of agent, user, grant, connector."""
        author, body = await self._begin(request, "operator", *KINDS)
        given = [kind for kind in KINDS if kind in body]
        if len(given) != 1:
            raise _invalid("", f"names exactly one of {', '.join(KINDS)}")
        (kind,) = given
        name = body[kind]
        if not isinstance(name, str) or not 0 < len(name) <= 1_000:
            raise _invalid(f"/{kind}", "is an id")
        match kind:
            case "agent":
                report = await self.cuts.agent(name, author)
            case "user":
                report = await self.cuts.user(self.current.bundle.people.person(name), author)
            case "grant":
                report = await self.cuts.grant(name, author)
            case _:
                report = await self.cuts.connector(name, author)
        return _json(document(report))

    async def halt(self, request: web.Request) -> web.Response:
        """Nothing is sent anywhere until it is resumed."""
        author, _ = await self._begin(request, "operator")
        since = await self.halts.halt(author)
        await self.cuts.settle(())
        return _json({"halted": True, "since": rfc3339(since)})

    async def resume(self, request: web.Request) -> web.Response:
        """Go on."""
        author, _ = await self._begin(request, "operator")
        stood = await self.halts.resume(author)
        await self.cuts.settle(())
        return _json({"halted": False, "seconds": stood / 1000})

    async def _begin(self, request: web.Request, role: Role, *members: str) -> tuple[Author, dict[str, Any]]:
        """Who it is, and the body, each member of it known."""
        who = self.bearers.admin(request, role)
        parameters(request, ())
        raw = await read_body(request)
        who = self.bearers.admin(request, role)  # a reload may have come while the body was waited for
        body = parse_json(raw) if raw else {}
        only(body, (*members, "reason"), "member")
        reason = body.get("reason")
        if reason is None:
            return Author(who), body
        if not isinstance(reason, str) or not 0 < len(reason.strip()) <= LONGEST_REASON:
            raise _invalid("/reason", f"says why, in at most {LONGEST_REASON} characters")
        return Author(who, reason), body


def _invalid(pointer: str, message: str) -> Unprocessable:
    what = pointer[1:] or "The body"
    return Unprocessable(f"{what} {message}.", members={"faults": [{"pointer": pointer, "message": message}]})


def _json(value: Any) -> web.Response:
    return web.Response(body=_encode(value), content_type="application/json")
