"""What a consent is asked for: one call that waits for it, or actions that an agent wants to be ready for.

Attack: a link that was asked for before a kill switch, or by an agent that may no longer ask, is answered afterwards
(THREAT_MODEL 69; `void`: a call ends with its agent, and its question with it; a question without a call is judged
here, every time).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from jit_auth.catalog.load import Operation
from jit_auth.core.scopes import lacking, lacking_of
from jit_auth.core.urls import within
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.judge import choose
from jit_auth.engine.memory import Holding
from jit_auth.errors import NotFound
from jit_auth.model import Ask, Execution, Grant, Provider, Stop
from jit_auth.storage.store import Store

Subjects = tuple[tuple[str, str], ...]


class Sought(Struct, frozen=True, kw_only=True):
    """A consent ask with what it is for. `operations`: never empty, all of one provider."""

    ask: Ask
    operations: tuple[Operation, ...]
    execution: Execution | None = None
    """The call that waits; None: nothing waits yet."""

    @property
    def provider(self) -> Provider:
        return self.operations[0].provider

    @property
    def provider_name(self) -> str:
        return self.operations[0].provider_name

    @property
    def account(self) -> str | None:
        """The provider's id of the account that has to give it, if one is settled."""
        return self.ask.account_id if self.execution is None else self.execution.account

    @property
    def return_url(self) -> str | None:
        return self.ask.return_url if self.execution is None else self.execution.return_url

    def lacking(self, held: frozenset[str]) -> tuple[str, ...]:
        """What is needed beyond these scopes."""
        if self.execution is not None:
            return lacking(self.operations[0].action, self.execution.extra, held)
        return lacking_of([each.action for each in self.operations], held)

    def choose(self, holding: Holding) -> Grant | None:
        """The grant that it is about: what it holds is asked for again with what is missing."""
        if self.execution is not None:
            return choose(holding, self.execution)
        if self.ask.another:
            return None
        if self.ask.account_id is not None:
            return next((grant for grant in holding.grants if grant.account == self.ask.account_id), None)
        return holding.grants[0] if len(holding.grants) == 1 else None

    def subjects(self, grant: Grant | None) -> Subjects:
        """Whose stop it is that stops this."""
        return subjects(self.ask.agent, self.ask.user or "", self.operations, grant)


def subjects(agent: str, user: str, operations: Iterable[Operation], grant: Grant | None = None) -> Subjects:
    """(kind, id) of the agent, the user, providers and connectors, and of the grant where there is one."""
    found = [("agent", agent), ("user", user)]
    for each in operations:
        found += [("provider", each.provider.id), ("connector", each.connector.id)]
    if grant is not None:
        found.append(("grant", grant.id))
    return tuple(dict.fromkeys(found))


def own_stops(agent: str, user: str, *more: str) -> Subjects:
    """The stops by which a user bars this agent (and `more`: `*` all, "" what was decided before)."""
    return tuple(("own", f"{name}/{user}") for name in (agent, *more))


def sought_of(bundle: Bundle, ask: Ask, execution: Execution | None) -> Sought | None:
    """What this ask is for; None where an action is no more, or belongs to another provider now."""
    names = ask.actions if execution is None else (execution.action,)
    operations = [operation for name in names if (operation := bundle.operation(name)) is not None]
    moved = execution is None and any(each.provider.id != ask.provider for each in operations)
    if not operations or len(operations) < len(names) or moved:
        return None
    return Sought(ask=ask, operations=tuple(operations), execution=execution)


async def seek(store: Store, bundle: Bundle, ask_id: str) -> Sought:
    """What this ask is for. Raises NotFound where the call or an action is no more."""
    ask = await store.ask(ask_id)
    execution = await store.execution(ask.execution) if ask is not None and ask.execution else None
    found = sought_of(bundle, ask, execution) if ask is not None else None
    if found is None:
        raise NotFound("There is no such request any more.")
    return found


def void(sought: Sought, bundle: Bundle, stops: Iterable[Stop]) -> bool:
    """Whether a question without a call may not be answered any more: its agent could not ask it today, or something of
    it was stopped since, though that were restored. `stops`: all, lifted ones too."""
    ask, user = sought.ask, sought.ask.user or ""
    if sought.execution is not None:
        return False
    agent = bundle.agents.get(ask.agent)
    if agent is None or not agent.connections or not bundle.serves(ask.agent, user):
        return True
    if not bundle.allowed[ask.agent].issuperset(ask.actions):
        return True
    if ask.return_url is not None and not any(within(ask.return_url, prefix) for prefix in agent.return_urls):
        return True
    barring = {*sought.subjects(None), *own_stops(ask.agent, user, "*")}
    for stop in stops:
        named = (stop.kind, stop.id)
        if (named in barring and (stop.active or stop.epoch > ask.epoch)) or (
            named == ("cut", user) and stop.epoch > ask.epoch
        ):
            return True
    return False
