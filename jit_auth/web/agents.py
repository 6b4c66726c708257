"""Who is calling: an agent's bearer token, an operator's bearer token. Neither reads cookies."""

from __future__ import annotations

import hashlib

from aiohttp import web

from jit_auth.config.settings import Admin, Agent, Role
from jit_auth.engine.current import Current
from jit_auth.errors import Forbidden, Unauthenticated

ROLES: tuple[Role, ...] = ("viewer", "operator", "security")
"""Each may do what those before it may."""


class Bearers:
    """Maps tokens to agents and operators by their SHA-256: the tokens themselves are nowhere."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def agent(self, request: web.Request) -> Agent:
        """The agent of this request. Raises Unauthenticated."""
        found = self._current.bundle.bearers.get(_hash(request))
        if found is None:
            raise _who()
        return found

    def knows(self, agent: Agent) -> bool:
        """Whether the token that gave this agent still does: a reload may have come since."""
        return self._now(agent) is not None

    def again(self, agent: Agent) -> Agent:
        """The agent as it is now, after its body or an end was waited for. Raises Unauthenticated."""
        found = self._now(agent)
        if found is None:
            raise _who()
        return found

    def _now(self, agent: Agent) -> Agent | None:
        found = self._current.bundle.bearers.get(agent.secret_sha256)
        return found if found is not None and found.name == agent.name else None

    def administers(self, request: web.Request) -> bool:
        """Whether it comes with an admin's token, of whatever role. Raises Unauthenticated where there is none."""
        return self._admin(request) is not None

    def _admin(self, request: web.Request) -> Admin | None:
        mark = _hash(request)
        admins = self._current.settings.admins.values()
        return next((admin for admin in admins if admin.secret_sha256 == mark), None)

    def admin(self, request: web.Request, role: Role) -> str:
        """`admin:NAME` of this request. Raises Unauthenticated, for agents too; Forbidden (`role_required`)."""
        found = self._admin(request)
        if found is None:
            raise _who()
        if ROLES.index(found.role) < ROLES.index(role):
            raise Forbidden(
                f"This takes an admin of role {role}.",
                code="role_required",
                hint=f"{found.name} is of role {found.role} ([admins]). Nothing was done.",
            )
        return f"admin:{found.name}"


def _hash(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _who()
    # A look-up by hash leaks nothing about a token of 256 random bits: no comparison in constant time is needed.
    return hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).hexdigest()


def _who() -> Unauthenticated:
    return Unauthenticated("The bearer token is missing or unknown.", headers={"WWW-Authenticate": "Bearer"})
