"""Who is calling: an agent's bearer token, an operator's bearer token. Neither reads cookies."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from aiohttp import web

from jit_auth.config.settings import Agent
from jit_auth.errors import Unauthenticated


class Bearers:
    """Maps tokens to agents and operators by their SHA-256: the tokens themselves are nowhere."""

    def __init__(self, agents: Mapping[str, Agent], admins: Mapping[str, str]) -> None:
        self._agents = {agent.secret_sha256: agent for agent in agents.values()}
        self._admins = dict(admins)

    def agent(self, request: web.Request) -> Agent:
        """The agent of this request. Raises Unauthenticated."""
        found = self._agents.get(_hash(request))
        if found is None:
            raise _who()
        return found

    def admin(self, request: web.Request) -> str:
        """`admin:NAME` of this request. Raises Unauthenticated, for agents too."""
        name = self._admins.get(_hash(request))
        if name is None:
            raise _who()
        return f"admin:{name}"


def _hash(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _who()
    # A look-up by hash leaks nothing about a token of 256 random bits: no comparison in constant time is needed.
    return hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()


def _who() -> Unauthenticated:
    return Unauthenticated("The bearer token is missing or unknown.", headers={"WWW-Authenticate": "Bearer"})
