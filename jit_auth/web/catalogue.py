"""GET /actions, GET /actions/{name}: what this agent may use, for programs and as tools of the two model APIs.

Attacks: a question, a cursor or a near name tells of actions of others (only the agent's own are looked at; an unknown
one and one of others are answered alike); a long question costs (its length and its words are bounded).
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from jit_auth.catalog.formats import FORMATS
from jit_auth.catalog.search import LONGEST, Index
from jit_auth.catalog.tools import full_name
from jit_auth.core.cursor import cursor_of, read_cursor
from jit_auth.core.toml import nearest
from jit_auth.engine.face import Engine
from jit_auth.engine.submit import LONGEST_NAME
from jit_auth.errors import BadRequest, NotFound
from jit_auth.web.agents import Bearers
from jit_auth.web.query import limit, parameters

_encode = msgspec.json.Encoder().encode


class Actions:
    """The handlers."""

    def __init__(self, engine: Engine, bearers: Bearers) -> None:
        self._engine = engine
        self._bearers = bearers
        self._index = Index(engine.bundle.catalog)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/actions", self.actions, allow_head=False),
            web.get("/actions/{name}", self.action, allow_head=False),
        ]

    async def actions(self, request: web.Request) -> web.Response:
        """By name, or, with `q`, by how well they fit. A model's format is a bare array: all of them, or `limit`."""
        agent = self._bearers.agent(request)
        query = parameters(request, ("q", "format", "limit", "cursor"))
        form = query.get("format", "json")
        if form not in FORMATS:
            raise BadRequest(
                f"There is no format {form[:40]!r}.", code="bad_query", hint=f"One of {', '.join(sorted(FORMATS))}."
            )
        question = _question(query.get("q", ""))
        names = self._names(agent.name, question)
        if form != "json":
            if "cursor" in query:
                raise BadRequest(
                    f"format={form} is a bare array: it has no pages.",
                    code="bad_query",
                    hint="Leave `cursor` out; `limit` gives the first ones.",
                )
            most = limit(query["limit"]) if "limit" in query else len(names)
            return _json([self._describe(name, form) for name in names[:most]])
        size = limit(query.get("limit"))
        of = ("actions", agent.name, question)
        if "cursor" in query:
            names = _after(names, read_cursor(query["cursor"], *of), ranked=bool(question))
        page = names[:size]
        after = cursor_of(page[-1], *of) if len(names) > size else None
        return _json({"items": [self._describe(name, form) for name in page], "next": after})

    async def action(self, request: web.Request) -> web.Response:
        """One action this agent may use, by its full name or its tool_name."""
        agent = self._bearers.agent(request)
        parameters(request, ())
        bundle, given = self._engine.bundle, request.match_info["name"]
        allowed = bundle.allowed[agent.name]
        name = full_name(given, bundle.catalog.tools, allowed)
        if name not in allowed:
            near = nearest(given[:LONGEST_NAME], allowed)
            raise NotFound(
                f"This agent has no action {given[:LONGEST_NAME]!r}.",
                code="unknown_action",
                hint=f"Did you mean {near}?" if near else "GET /actions lists them.",
            )
        return _json(self._describe(name, "json"))

    def _names(self, agent: str, question: str) -> list[str]:
        bundle = self._engine.bundle
        names = sorted(name for name in bundle.allowed[agent] if bundle.operation(name) is not None)
        if not question:
            return names
        if self._index.catalog is not bundle.catalog:
            self._index = Index(bundle.catalog)
        return self._index.search(question, names)

    def _describe(self, name: str, form: str) -> dict[str, Any]:
        operation = self._engine.bundle.operation(name)
        if operation is None:
            raise NotFound(f"There is no action {name!r}.", code="unknown_action")
        return FORMATS[form](operation)


def _question(text: str) -> str:
    text = text.strip()
    if len(text) > LONGEST or not text.isprintable():
        raise BadRequest(
            f"`q` has at most {LONGEST} characters, all of them printable.",
            code="bad_query",
            hint="Ask with a few words.",
        )
    return text


def _after(names: list[str], last: str, *, ranked: bool) -> list[str]:
    """What comes after an action; where it is gone from a ranking meanwhile, nobody knows, and it begins anew."""
    if last in names:
        return names[names.index(last) + 1 :]
    return names if ranked else [name for name in names if name > last]


def _json(value: Any) -> web.Response:
    return web.Response(body=_encode(value), content_type="application/json")
