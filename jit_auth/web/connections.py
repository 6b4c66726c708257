"""/connections: an agent asks for what its user has still to connect, lists what it may use, and ends it.

Attacks: a page in the user's browser asks by itself (the agent's bearer token is needed, and no cookie is read);
`return_url` leads elsewhere (THREAT_MODEL 70: one of the agent's `return_urls`, by parsed scheme, host, port and path).
"""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from jit_auth.catalog.tools import full_name
from jit_auth.config.settings import Agent
from jit_auth.core.digest import parse_json
from jit_auth.core.times import rfc3339
from jit_auth.engine.accounts import Accounts, Connected, permit
from jit_auth.engine.connections import Connections, Wish
from jit_auth.engine.consents import Consents
from jit_auth.engine.current import Current
from jit_auth.errors import BadRequest, Problem, Unprocessable
from jit_auth.model import Ask
from jit_auth.web.agents import Bearers
from jit_auth.web.answer import consent_item
from jit_auth.web.execute import read_body
from jit_auth.web.query import limit, only, parameters

KNOWN = ("user", "actions", "account", "another_account", "return_url")
MOST_ACTIONS = 100
LONGEST_NAME = 200

_encode = msgspec.json.Encoder().encode


class ConnectionRoutes:
    """The handlers."""

    def __init__(
        self, connections: Connections, accounts: Accounts, consents: Consents, current: Current, bearers: Bearers
    ) -> None:
        self._connections = connections
        self._accounts = accounts
        self._consents = consents
        self._current = current
        self._bearers = bearers

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/connections", self.ask),
            web.get("/connections", self.list, allow_head=False),
            web.delete("/connections/{id}", self.end),
        ]

    async def ask(self, request: web.Request) -> web.Response:
        """201 with a link per provider that something is missing at; with none where nothing is."""
        agent = self._permitted(request)
        try:
            parameters(request, ())
            raw = await read_body(request)
            agent = self._bearers.again(agent)
            wish = self._wish(agent, parse_json(raw))
            asks = await self._connections.ask(wish)
        except Problem as refusal:
            if refusal.status < 429:
                await self._connections.submit.refused(agent.name, refusal)
            raise
        return _json(self._document(wish, asks), status=201)

    async def list(self, request: web.Request) -> web.Response:
        """The accounts of one user that this agent may use."""
        agent = self._permitted(request)
        query = parameters(request, ("user", "limit", "cursor"))
        if "user" not in query:
            raise BadRequest("`user` says whose connections.", code="bad_query", hint="GET /connections?user=ID.")
        user = self._current.bundle.people.person(query["user"])
        page = await self._accounts.list(agent, user, limit(query.get("limit")), query.get("cursor"))
        return _json({"items": [_item(each) for each in page.items], "next": page.next})

    async def end(self, request: web.Request) -> web.Response:
        """This agent uses the account no longer; where nobody else does, its tokens are revoked at the provider."""
        agent = self._permitted(request)
        parameters(request, ())
        if await read_body(request) not in (b"", b"{}"):
            raise BadRequest("This takes no body.", code="unknown_field", hint="Leave the body out.")
        ended = await self._accounts.end(self._bearers.again(agent), request.match_info["id"])
        return _json({"id": ended.grant, "status": ended.status, "at_provider": ended.provider})

    def _permitted(self, request: web.Request) -> Agent:
        agent = self._bearers.agent(request)
        permit(agent)
        return agent

    def _wish(self, agent: Agent, body: dict[str, Any]) -> Wish:
        only(body, KNOWN, "member")
        user, actions, another = body.get("user"), body.get("actions"), body.get("another_account", False)
        if not isinstance(user, str):
            raise _invalid("/user", "is the id of a person, a string")
        if not isinstance(actions, list) or not 0 < len(actions) <= MOST_ACTIONS:
            raise _invalid("/actions", f"is a list of 1 to {MOST_ACTIONS} names of actions")
        for number, name in enumerate(actions):
            if not isinstance(name, str) or len(name) > LONGEST_NAME:
                raise _invalid(f"/actions/{number}", "is the name of an action, a string")
        if not isinstance(another, bool):
            raise _invalid("/another_account", "is true or false")
        account = _text(body, "account", 254)
        if account is not None and another:
            raise _invalid("/another_account", "asks for an account that is not connected: leave `account` out")
        bundle = self._current.bundle
        allowed = bundle.allowed.get(agent.name, frozenset())
        return Wish(
            agent=agent,
            user=bundle.people.person(user),
            actions=tuple(dict.fromkeys(full_name(name, bundle.catalog.tools, allowed) for name in actions)),
            account=account,
            another=another,
            return_url=_text(body, "return_url", 2_000),
        )

    def _document(self, wish: Wish, asks: tuple[Ask, ...]) -> dict[str, Any]:
        items = [consent_item(ask, self._consents.link(ask)) for ask in asks]
        return {
            "user": wish.user,
            "agent": wish.agent.name,
            "actions": wish.actions,
            "status": "open" if items else "connected",
            "url": items[0]["url"] if items else None,
            "waiting_for": items,
        }


def _item(each: Connected) -> dict[str, Any]:
    grant = each.grant
    return {
        "id": grant.id,
        "user": grant.user,
        "provider": grant.provider,
        "account": grant.account or None,
        "account_name": grant.account_name,
        "scopes": each.scopes,
        "status": grant.state,
        "created_at": rfc3339(grant.created),
        "updated_at": rfc3339(grant.updated),
        "last_used_at": rfc3339(each.used) if each.used is not None else None,
    }


def _text(body: dict[str, Any], name: str, longest: int) -> str | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > longest):
        raise _invalid(f"/{name}", f"is a string of at most {longest} characters")
    return value


def _invalid(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(
        f"{pointer[1:]} {message}.",
        hint="Correct the members that `faults` names.",
        members={"faults": [{"pointer": pointer, "message": message}]},
    )


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=_encode(value), status=status, content_type="application/json")
