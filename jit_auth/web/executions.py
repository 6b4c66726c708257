"""What an agent may look at and do afterwards: its executions; and an operator's resolve."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from jit_auth.core.digest import parse_json
from jit_auth.core.times import from_rfc3339
from jit_auth.engine.face import Engine
from jit_auth.errors import BadRequest, Unprocessable
from jit_auth.model import Opened
from jit_auth.web.about import is_task_id
from jit_auth.web.agents import Bearers
from jit_auth.web.execute import Execute, read_body
from jit_auth.web.query import limit, only, parameters, seconds

STATES = ("paused", "released", "executing", "succeeded", "failed", "denied", "expired", "cancelled", "unknown")
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
        ]

    async def get(self, request: web.Request) -> web.Response:
        """One execution; `wait` stays while it is open."""
        agent = self._bearers.agent(request)
        query = parameters(request, ("wait",))
        stay = seconds(query.get("wait"))
        opened = await self._engine.own.wait(agent.name, request.match_info["id"], stay)
        # Its token may have been changed meanwhile, because a thief had it: nothing more is told (THREAT_MODEL 23).
        return _json(self._execute.document(self._bearers.again(agent), opened))

    async def list(self, request: web.Request) -> web.Response:
        """The agent's executions, newest first."""
        agent = self._bearers.agent(request)
        query = parameters(request, ("status", "user", "task", "updated_since", "limit", "cursor"))
        states = tuple(query["status"].split(",")) if "status" in query else ()
        for state in states:
            if state not in STATES:
                raise BadRequest(
                    f"There is no status {state[:40]!r}.", code="bad_query", hint=f"One of {', '.join(STATES)}."
                )
        user = self._engine.bundle.people.person(query["user"]) if "user" in query else None
        task = query.get("task")
        if task is not None and not is_task_id(task):
            raise BadRequest("`task` is no id of a task.", code="bad_query", hint="Give it as the calls do: task.id.")
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
            task=task,
            updated_since=since,
            limit=limit(query.get("limit")),
            cursor=query.get("cursor"),
        )
        items = [self._execute.document(agent, item) for item in page.items]
        return _json({"items": items, "next": page.next})

    async def cancel(self, request: web.Request) -> web.Response:
        """Withdraw a call that waits, for people or for its agent. An admin of role operator may too."""
        if self._bearers.administers(request):
            return await self._cancel_as_admin(request)
        agent = self._bearers.agent(request)
        parameters(request, ())
        await _no_body(request)
        opened = await self._engine.own.cancel(agent.name, request.match_info["id"])
        return _json(self._execute.document(agent, opened))

    async def _cancel_as_admin(self, request: web.Request) -> web.Response:
        self._bearers.admin(request, "operator")
        parameters(request, ())
        await _no_body(request)
        who = self._bearers.admin(request, "operator")  # a reload may have come while the body was waited for
        return self._told(await self._engine.own.cancel(None, request.match_info["id"], admin=who))

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
        return self._told(Opened(execution))

    def _told(self, opened: Opened) -> web.Response:
        """To an admin: as its agent has it, where there is one still."""
        execution = opened.execution
        agent = self._engine.bundle.agents.get(execution.agent)
        if agent is None:
            return _json({"id": execution.id, "status": execution.state})
        return _json(self._execute.document(agent, opened))


async def _no_body(request: web.Request) -> None:
    if await read_body(request) not in (b"", b"{}"):
        raise BadRequest("This takes no body.", code="unknown_field", hint="Leave the body out.")


def _invalid(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(f"{pointer[1:]} {message}.", members={"faults": [{"pointer": pointer, "message": message}]})


def _json(value: Any) -> web.Response:
    return web.Response(body=_encode(value), content_type="application/json")
