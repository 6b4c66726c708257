"""POST /execute: read the call strictly, hand it to the engine, answer the execution as it is."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from jit_auth.catalog.tools import full_name, own_params
from jit_auth.config.settings import Agent
from jit_auth.core.callback import LONGEST, callback
from jit_auth.core.digest import canonical, parse_json
from jit_auth.engine.face import Engine
from jit_auth.engine.submit import DAY, Call
from jit_auth.errors import BadRequest, Problem, TooLarge, Unauthenticated, Unprocessable
from jit_auth.model import OPEN, Execution, Opened
from jit_auth.web import problem
from jit_auth.web.about import metadata_of, task_of
from jit_auth.web.agents import Bearers
from jit_auth.web.answer import answer
from jit_auth.web.foreseen import preview
from jit_auth.web.query import only, parameters, prefer

LARGEST_BODY = 65_536
LONGEST_KEY = 255
LONGEST_REASON = 2_000
KNOWN = (
    "action", "user", "params", "account", "reason", "task", "metadata", "expires_in", "callback_url", "return_url",
    "dry_run",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode


class Execute:
    """The handler, with the shape of every answer about one execution."""

    def __init__(self, engine: Engine, bearers: Bearers) -> None:
        self._engine = engine
        self._bearers = bearers

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/execute", self.execute)]

    async def execute(self, request: web.Request) -> web.Response:
        """Admit a call. Answers 200, 202 or 403 with the execution, or a problem where there is none."""
        agent = self._bearers.agent(request)
        try:
            return await self._answer(agent, request)
        except Problem as refusal:
            if refusal.status < 429:  # what was not admitted is on record too, but not what is only to come later
                await self._engine.refused(agent.name, refusal)
            raise

    async def _answer(self, agent: Agent, request: web.Request) -> web.Response:
        if request.query_string:
            parameters(request, ())
        body = await read_body(request)
        await asyncio.sleep(0)  # calls that came together go together (docs/design/0002)
        agent = self._bearers.again(agent)
        call = self.call(agent, parse_json(body), key_of(request))
        seconds = prefer(request) if "Prefer" in request.headers else None
        if call.dry_run:
            seen = await self._engine.previews.preview(call)
            return web.Response(
                body=_encode(preview(seen, self._engine.bundle, agent)), content_type="application/json"
            )
        if seconds is None:
            admitted = await self._engine.submit(call)
            execution, joined = admitted.execution, admitted.joined
            if execution.state == "executing":
                # An outage is being retried, or a repeated key meets a call under way: at most the action's timeout.
                operation = self._engine.bundle.operation(execution.action)
                patience = (operation.action.timeout if operation is not None else 30_000) / 1000
                opened = await self._engine.own.wait(agent.name, execution.id, patience, paused=False)
            elif execution.state == "paused" and not admitted.asks:
                opened = await self._engine.own.get(agent.name, execution.id)
            else:
                opened = Opened(execution, admitted.asks)
        else:
            opened, joined = await self._engine.submit_and_leave(call, seconds)
        return self.response(self._still(agent, opened), opened, joined=joined)

    def _still(self, agent: Agent, opened: Opened) -> Agent:
        """The agent, where its token is one after the call, or the wait, too. Raises Unauthenticated: a token is
        changed because a thief has it, and is told no result (THREAT_MODEL 23); but that it is admitted, or it is made
        twice."""
        if self._bearers.knows(agent):
            return self._bearers.again(agent)
        raise Unauthenticated(
            "The token was changed while the call was waited for.",
            hint=f"The call was admitted: {opened.execution.id}. Ask for it by the new token; do not make it again.",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def call(self, agent: Agent, body: dict[str, Any], key: str | None) -> Call:
        """The call that a body describes. Raises BadRequest, Unprocessable."""
        only(body, KNOWN, "member")
        action = body.get("action")
        if not isinstance(action, str):
            raise _missing("/action", "names the action, for example mailhub.send_message")
        user = body.get("user")
        if user is not None and not isinstance(user, str):
            raise _missing("/user", "is an id, a string")
        params = body.get("params", {})
        if not isinstance(params, dict):
            raise _missing("/params", "is an object")
        if "." not in action:
            body = self._by_tool_name(agent, body, action, params)
            action, params = body["action"], body.get("params", params)
        expires_in = body.get("expires_in", DAY // 1000)
        if isinstance(expires_in, bool) or not isinstance(expires_in, int):
            raise _missing("/expires_in", "is a whole number of seconds from 60 to 1209600")
        dry_run = body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            raise _missing("/dry_run", "is true or false")
        return Call(
            agent=agent,
            action=action,
            user=self._engine.bundle.people.person(user) if user is not None else None,
            params=params,
            account=_text(body, "account", 254),
            reason=_text(body, "reason", LONGEST_REASON),
            task=task_of(body) if "task" in body else None,
            metadata=metadata_of(body) if "metadata" in body else None,
            expires_in=expires_in * 1000,
            return_url=_text(body, "return_url", 2_000),
            callback_url=_callback(body, agent),
            key=key,
            body=canonical(body) if key is not None else b"",
            dry_run=dry_run,
        )

    def _by_tool_name(self, agent: Agent, body: dict[str, Any], name: str, params: dict[str, Any]) -> dict[str, Any]:
        """The same call by the action's full name: it is that one for keys, digests and the record too."""
        bundle = self._engine.bundle
        action = full_name(name, bundle.catalog.tools, bundle.allowed.get(agent.name, frozenset()))
        operation = bundle.operation(action)
        if operation is None or not params:
            return {**body, "action": action}
        return {**body, "action": action, "params": own_params(params, operation.renamed)}

    def response(self, agent: Agent, opened: Opened, *, joined: bool = False) -> web.Response:
        """The answer of /execute: 403 where it was denied, 202 where it is open, else 200."""
        execution = opened.execution
        document = self.document(agent, opened, joined=joined)
        if execution.state == "denied":
            error = execution.error
            body = problem.document(
                403,
                error.code if error else "denied",
                error.message if error else "",
                error.hint if error else "",
                {"execution": document},
            )
            return web.Response(body=_encode(body), status=403, content_type=problem.PROBLEM)
        if execution.state in OPEN:
            headers = {"Location": f"/executions/{execution.id}", "Retry-After": _retry_after(execution)}
            return web.Response(body=_encode(document), status=202, content_type="application/json", headers=headers)
        return web.Response(body=_encode(document), content_type="application/json")

    def document(self, agent: Agent, opened: Opened, *, joined: bool = False) -> dict[str, Any]:
        """The execution as JSON."""
        return answer(opened, self._engine.bundle, agent, self._engine.consents.link, joined=joined)


async def read_body(request: web.Request, largest: int = LARGEST_BODY) -> bytes:
    """A body of at most `largest` bytes (64 KiB). Raises TooLarge, BadRequest."""
    length = request.content_length
    if length is not None and length > largest:
        raise _too_large(largest)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(largest) from None
    if len(body) > largest:
        raise _too_large(largest)
    return body


def key_of(request: web.Request) -> str | None:
    """The Idempotency-Key. Raises BadRequest (`bad_key`)."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise BadRequest(f"An Idempotency-Key has 1 to {LONGEST_KEY} visible characters.", code="bad_key")
    return key


def _too_large(largest: int) -> TooLarge:
    return TooLarge(
        f"A call has at most {largest >> 10} KiB.", hint="Put large content elsewhere and send a reference."
    )


def _retry_after(execution: Execution) -> str:
    return "5" if execution.state == "paused" else "1"


def _text(body: dict[str, Any], name: str, longest: int) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise _missing(f"/{name}", f"is a string of at most {longest} characters")
    return value


def _callback(body: dict[str, Any], agent: Agent) -> str | None:
    """Where events of this call go, made plain; none but what lies under the agent's `callback_urls`."""
    url = _text(body, "callback_url", LONGEST)
    if url is None:
        return None
    plain = callback(url, agent.callback_urls)
    if plain is None:
        raise _missing("/callback_url", "is none of this agent's callback_urls")
    return plain


def _missing(pointer: str, message: str) -> Problem:
    return Unprocessable(
        f"{pointer[1:]} {message}.",
        code="invalid_params",
        hint="Correct the members that `faults` names.",
        members={"faults": [{"pointer": pointer, "message": message}]},
    )
