"""What an agent may look at and do afterwards: its executions and actions; and an operator's resolve."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from jit_auth.catalog.formats import describe
from jit_auth.core.digest import parse_json
from jit_auth.core.times import from_rfc3339
from jit_auth.engine.face import Engine
from jit_auth.errors import BadRequest, NotFound, Unprocessable
from jit_auth.model import Opened
from jit_auth.web.agents import Bearers
from jit_auth.web.execute import Execute, read_body
from jit_auth.web.query import limit, only, parameters, seconds

STATES = ("paused", "executing", "succeeded", "failed", "denied", "expired", "cancelled", "unknown")
LONGEST_NOTE = 2_000

_encode = msgspec.json.Encoder().encode


class Executions:
    """The handlers."""

    def __init__(self, engine: Engine, bearers: Bearers, execute: Execute) -> None:
        self._engine = engine
        self._bearers = bearers
        self._execute = execute

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/executions", self.list, allow_head=False),
            web.get("/executions/{id}", self.get, allow_head=False),
            web.post("/executions/{id}/cancel", self.cancel),
            web.post("/executions/{id}/resolve", self.resolve),
            web.get("/actions", self.actions, allow_head=False),
            web.get("/actions/{name}", self.action, allow_head=False),
        ]

    async def get(self, request: web.Request) -> web.Response:
        """One execution; `wait` stays while it is open."""
        agent = self._bearers.agent(request)
        query = parameters(request, ("wait",))
        stay = seconds(query.get("wait"))
        opened = await self._engine.own.wait(agent.name, request.match_info["id"], stay)
        return _json(self._execute.document(agent, opened))

    async def list(self, request: web.Request) -> web.Response:
        """The agent's executions, newest first."""
        agent = self._bearers.agent(request)
        query = parameters(request, ("status", "user", "updated_since", "limit", "cursor"))
        states = tuple(query["status"].split(",")) if "status" in query else ()
        for state in states:
            if state not in STATES:
                raise BadRequest(
                    f"There is no status {state[:40]!r}.", code="bad_query", hint=f"One of {', '.join(STATES)}."
                )
        user = self._engine.bundle.people.person(query["user"]) if "user" in query else None
        since = None
        if "updated_since" in query:
            try:
                since = from_rfc3339(query["updated_since"])
            except ValueError:
                raise BadRequest(
                    "`updated_since` is an RFC 3339 time.", code="bad_query", hint="For example 2026-01-05T12:00:00Z."
                ) from None
        page = await self._engine.own.list(
            agent.name,
            states=states,
            user=user,
            updated_since=since,
            limit=limit(query.get("limit")),
            cursor=query.get("cursor"),
        )
        items = [self._execute.document(agent, item) for item in page.items]
        return _json({"items": items, "next": page.next})

    async def cancel(self, request: web.Request) -> web.Response:
        """Withdraw a paused call."""
        agent = self._bearers.agent(request)
        parameters(request, ())
        await _no_body(request)
        opened = await self._engine.own.cancel(agent.name, request.match_info["id"])
        return _json(self._execute.document(agent, opened))

    async def resolve(self, request: web.Request) -> web.Response:
        """An operator says what became of a call of unknown outcome. An agent's token is not enough."""
        who = self._bearers.admin(request, "operator")
        parameters(request, ())
        body = parse_json(await read_body(request))
        who = self._bearers.admin(request, "operator")  # a reload may have come while the body was waited for
        only(body, ("outcome", "note"), "member")
        outcome, note = body.get("outcome"), body.get("note")
        if outcome not in ("succeeded", "failed"):
            raise _invalid("/outcome", "is succeeded or failed")
        if not isinstance(note, str) or not 0 < len(note.strip()) <= LONGEST_NOTE:
            raise _invalid("/note", f"says how this was found out, in at most {LONGEST_NOTE} characters")
        execution = await self._engine.outcomes.by_admin(request.match_info["id"], outcome, note, who)
        agent = self._engine.bundle.agents.get(execution.agent)
        if agent is None:
            return _json({"id": execution.id, "status": execution.state})
        return _json(self._execute.document(agent, Opened(execution)))

    async def actions(self, request: web.Request) -> web.Response:
        """The actions this agent may use, by name."""
        agent = self._bearers.agent(request)
        query = parameters(request, ("limit", "cursor"))
        size = limit(query.get("limit"))
        after = query.get("cursor", "")
        names = sorted(name for name in self._engine.bundle.allowed[agent.name] if name > after)
        found = [self._describe(name) for name in names[:size]]
        return _json({"items": found, "next": names[size - 1] if len(names) > size else None})

    async def action(self, request: web.Request) -> web.Response:
        """One action this agent may use."""
        agent = self._bearers.agent(request)
        parameters(request, ())
        name = request.match_info["name"]
        if name not in self._engine.bundle.allowed[agent.name]:
            raise NotFound(
                f"This agent has no action {name[:200]!r}.", code="unknown_action", hint="GET /actions lists them."
            )
        return _json(self._describe(name))

    def _describe(self, name: str) -> dict[str, Any]:
        operation = self._engine.bundle.operation(name)
        if operation is None:
            raise NotFound(f"There is no action {name!r}.", code="unknown_action")
        return describe(operation)


async def _no_body(request: web.Request) -> None:
    if await read_body(request) not in (b"", b"{}"):
        raise BadRequest("This takes no body.", code="unknown_field", hint="Leave the body out.")


def _invalid(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(f"{pointer[1:]} {message}.", members={"faults": [{"pointer": pointer, "message": message}]})


def _json(value: Any) -> web.Response:
    return web.Response(body=_encode(value), content_type="application/json")
