"""The accounts that an agent may use, as `/connections` lists and ends them; and who may ask for that at all.

Attacks (THREAT_MODEL 68): an agent looks for accounts that were connected for others (what it has no consent for does
not exist); it ends what others use (then only its own consent ends); it goes on after it was stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from jit_auth.catalog.load import Operation
from jit_auth.config.settings import Agent
from jit_auth.core.cursor import cursor_of, read_cursor
from jit_auth.core.ids import is_id
from jit_auth.core.scopes import expand
from jit_auth.engine.author import Author
from jit_auth.engine.current import Current
from jit_auth.engine.cuts import Cuts
from jit_auth.engine.memory import Belief, Holding, Memory
from jit_auth.engine.sought import own_stops, subjects
from jit_auth.errors import Forbidden, NotFound
from jit_auth.model import Consent, Grant, Millis, Page
from jit_auth.storage.store import Store


class Connected(Struct, frozen=True, kw_only=True):
    """One account of one user, as far as one agent may use it."""

    grant: Grant
    scopes: tuple[str, ...]
    """Those that the agent was given and the provider grants."""
    used: Millis | None
    """When the agent used it last, among the last calls."""


class Ended(Struct, frozen=True):
    """`revoked`: nobody uses the account any more; `withdrawn`: this agent does not, others do. `provider`: of a
    revoked one, whether the provider has confirmed it (`revoked`), is still being asked (`pending`), or takes nothing
    back (`unsupported`)."""

    grant: str
    status: Literal["revoked", "withdrawn"]
    provider: Literal["revoked", "pending", "unsupported"] | None


@dataclass(frozen=True)
class Accounts:
    """Lists and ends connections."""

    store: Store
    memory: Memory
    current: Current
    cuts: Cuts

    async def list(self, agent: Agent, user: str, limit: int, cursor: str | None) -> Page:
        """The user's accounts that this agent may use, as `Connected`, newest first."""
        permit(agent)
        self._serve(agent, user)
        before = None if cursor is None else read_cursor(cursor, "connections", agent.name, user)
        await refuse_stopped(self.memory, agent.name, user, ())
        grants, consents = await self.store.own.grants(user)
        holding = Holding(grants, {(each.grant, each.agent): each for each in consents})
        mine = [(grant, given) for grant in reversed(grants) if (given := self._given(agent, grant, holding))]
        mine = [each for each in mine if before is None or each[0].id < before]
        last: dict[str, Millis] = {}
        for use in await self.store.own.uses(user) if mine else ():
            if use.agent == agent.name:
                last[use.grant] = max(use.at, last.get(use.grant, 0))
        items = tuple(self._connected(grant, given, last) for grant, given in mine[:limit])
        return Page(
            items, cursor_of(items[-1].grant.id, "connections", agent.name, user) if len(mine) > limit else None
        )

    async def end(self, agent: Agent, id: str) -> Ended:
        """This agent uses the account no longer; where no other does, it is ended for good and given back to its
        provider. Raises NotFound, for what this agent may not use too."""
        permit(agent)
        grant = await self.store.grant(id) if is_id(id, "grt") else None
        if grant is None or grant.state == "revoked":
            raise _no_connection()
        grants, consents = await self.store.grants(grant.user, grant.provider)
        holding = Holding(grants, {(each.grant, each.agent): each for each in consents})
        if self._given(agent, grant, holding) is None:
            raise _no_connection()
        await refuse_stopped(self.memory, agent.name, grant.user, ())
        author = Author(f"agent:{agent.name}", "disconnected by the agent")
        alone = None if self.current.bundle.shared_consent else agent.name
        report = await self.cuts.grant(id, author, alone)
        if not report.grants:
            if not report.consents:
                raise _no_connection()
            return Ended(id, "withdrawn", None)
        return Ended(id, "revoked", "unsupported" if report.unrevocable else "pending" if report.pending else "revoked")

    def _serve(self, agent: Agent, user: str) -> None:
        if not self.current.bundle.serves(agent.name, user):
            raise Forbidden(
                f"The agent {agent.name} may not act for this user.",
                code="user_not_permitted",
                hint="An operator names an agent's users in config.toml.",
            )

    def _given(self, agent: Agent, grant: Grant, holding: Holding) -> Consent | None:
        """What the agent may use of a grant; None where for this agent there is none."""
        bundle = self.current.bundle
        if bundle.shared_consent:
            names = bundle.allowed.get(agent.name, frozenset())
            reached = {one.provider.id for name in names if (one := bundle.operation(name)) is not None}
            if grant.provider not in reached or not bundle.serves(agent.name, grant.user):
                return None
        return holding.consent(grant, agent.name, shared=bundle.shared_consent)

    def _connected(self, grant: Grant, given: Consent, last: Mapping[str, Millis]) -> Connected:
        provider = self.current.bundle.catalog.providers.get(grant.provider)
        granted = expand(grant.scopes, provider.implies if provider is not None else {})
        scopes = tuple(scope for scope in given.scopes if scope in granted)
        return Connected(grant=grant, scopes=scopes, used=last.get(grant.id))


def permit(agent: Agent) -> None:
    """Raises Forbidden (`connections_not_permitted`)."""
    if not agent.connections:
        raise Forbidden(
            f"The agent {agent.name} may not ask for connections.",
            code="connections_not_permitted",
            hint=f"An operator sets `connections = true` in [agents.{agent.name}].",
        )


async def refuse_stopped(memory: Memory, agent: str, user: str, operations: Sequence[Operation]) -> Belief:
    """Raises Forbidden where an operator, or the user, has stopped what this is about."""
    belief = await memory.reread()
    if any(one in belief.stops for one in (*subjects(agent, user, operations), *own_stops(agent, user, "*"))):
        raise Forbidden(
            "Access was stopped.", code="revoked", hint="An operator, or the user who stopped it, can allow it."
        )
    return belief


def _no_connection() -> NotFound:
    return NotFound("There is no such connection.", hint="GET /connections?user= lists those that this agent may use.")
