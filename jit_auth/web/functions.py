"""Functions of agents' own over HTTP: claim, heartbeat and complete (docs/http-api.md).

A claim is a secret, shown to whoever took the turn and to nobody after its first use: it stands in bodies, never in a
URL.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec
from aiohttp import web

from jit_auth.config.settings import Agent
from jit_auth.core.digest import parse_json
from jit_auth.core.times import rfc3339
from jit_auth.engine.functions import Functions, Turn
from jit_auth.errors import Conflict, Unprocessable
from jit_auth.web.agents import Bearers
from jit_auth.web.execute import Execute, key_of, read_body
from jit_auth.web.query import only, parameters

LARGEST_RESULT = 1 << 20
"""Bytes of a body that completes; what it says is kept as an upstream's answer would be."""
LONGEST_TEXT = 200
_OUTCOMES = ("succeeded", "failed")

_encode = msgspec.json.Encoder().encode


class FunctionRoutes:
    """The handlers."""

    def __init__(self, functions: Functions, bearers: Bearers, execute: Execute) -> None:
        self._functions = functions
        self._bearers = bearers
        self._execute = execute

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/executions/{id}/claim", self.claim),
            web.post("/executions/{id}/heartbeat", self.heartbeat),
            web.post("/executions/{id}/complete", self.complete),
        ]

    async def claim(self, request: web.Request) -> web.Response:
        """Take the turn: 200 with the claim; 403 where it is denied by now, 409 where it is not the agent's turn."""
        agent, body = await self._body(request, ("digest",))
        key = key_of(request)
        turn = await self._functions.claim(agent.name, request.match_info["id"], _text(body, "digest"), key)
        if turn.claim is None:
            return self._refused(agent, turn)
        document = self._execute.document(agent, turn.opened)
        return _json({**document, "claim": turn.claim, "claim_expires_at": rfc3339(turn.until)})

    async def heartbeat(self, request: web.Request) -> web.Response:
        """Still at it: the claim lasts as long again."""
        agent, body = await self._body(request, ("claim",))
        turn = await self._functions.heartbeat(agent.name, request.match_info["id"], _text(body, "claim"))
        document = self._execute.document(agent, turn.opened)
        return _json({**document, "claim_expires_at": rfc3339(turn.until)})

    async def complete(self, request: web.Request) -> web.Response:
        """What came of it."""
        agent, body = await self._body(request, ("claim", "outcome", "result"), LARGEST_RESULT)
        secret, outcome = _text(body, "claim"), body.get("outcome")
        if outcome not in _OUTCOMES:
            raise _invalid("/outcome", "is succeeded or failed")
        opened = await self._functions.complete(
            agent.name,
            request.match_info["id"],
            secret,
            cast(Literal["succeeded", "failed"], outcome),
            body.get("result"),
        )
        return _json(self._execute.document(agent, opened))

    async def _body(
        self, request: web.Request, known: tuple[str, ...], largest: int = 4096
    ) -> tuple[Agent, dict[str, Any]]:
        agent = self._bearers.agent(request)
        parameters(request, ())
        body = parse_json(await read_body(request, largest))
        only(body, known, "member")
        return self._bearers.again(agent), body  # a reload may have come while the body was waited for

    def _refused(self, agent: Agent, turn: Turn) -> web.Response:
        """It may not be run, or not now: as the execution itself says."""
        execution = turn.opened.execution
        if execution.state == "denied":
            return self._execute.response(agent, turn.opened)
        members = {"execution": self._execute.document(agent, turn.opened)}
        if execution.state in ("paused", "executing"):
            raise Conflict(
                "It is not this agent's turn.",
                code="not_released",
                hint="It is released when all that `waiting_for` lists is there.",
                members=members,
            )
        raise Conflict(
            f"The execution has {execution.state} already.",
            code="already_finished",
            hint="There is nothing left to claim.",
            members=members,
        )


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        raise _invalid(f"/{name}", f"is a string of 1 to {LONGEST_TEXT} characters")
    return value


def _invalid(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(f"{pointer[1:]} {message}.", members={"faults": [{"pointer": pointer, "message": message}]})


def _json(value: Any) -> web.Response:
    return web.Response(body=_encode(value), content_type="application/json")
