"""The blast radius: what an agent, or everybody in a user's name, can reach now, and what of it was ever used.

Attacks: a report that leaves something out lets an intruder keep it (whatever gives reach is read: globs, consents,
approvals for a while, credentials that all share; where a list ends, the report says so); one that is asked for to
learn about people (it is on record, THREAT_MODEL 35); names of agents and users are text that others wrote.
It reads the store and what the files name, never what a process believes, so that it works beside a service that does
not run, and without files that cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jit_auth.catalog.globs import match
from jit_auth.catalog.load import Operation
from jit_auth.config.people import People
from jit_auth.config.settings import Agent
from jit_auth.core.times import rfc3339
from jit_auth.core.toml import nearest
from jit_auth.credentials import KINDS
from jit_auth.engine.author import Author
from jit_auth.errors import NotFound
from jit_auth.model import Audit, Millis, Pass, Unit, Who
from jit_auth.storage.access import COUNTED, LISTED, Held, Reached, Used
from jit_auth.storage.store import Store

if TYPE_CHECKING:  # it brings the language of policies, which the command has no use for
    from jit_auth.engine.bundle import Bundle

WINDOW: Millis = 90 * 86_400_000
"""How far back uses are counted."""

Stopped = Collection[tuple[str, str]]
Report = dict[str, Any]
"""A document as JSON has it: nothing is done with a report but to show it."""


@dataclass(frozen=True)
class Known:
    """What the files name. `operations`: None where connectors cannot be read."""

    agents: Mapping[str, Agent]
    people: People
    operations: Mapping[str, Operation] | None
    shared: bool
    """What a user granted counts for every agent."""

    @classmethod
    def of(cls, bundle: Bundle) -> Known:
        """What a bundle names."""
        return cls(bundle.agents, bundle.people, bundle.catalog.actions, bundle.shared_consent)

    def allowed(self, agent: str) -> list[Operation]:
        """The actions that an agent's globs cover, by name."""
        known = self.agents.get(agent)
        if known is None or self.operations is None:
            return []
        found = ((name, each) for name, each in sorted(self.operations.items()))
        return [each for name, each in found if match(known.actions, name, each.action.risk)]

    def serves(self, agent: str, user: str) -> bool:
        """Whether an agent may act for this user."""
        known = self.agents.get(agent)
        return known is not None and ("*" in known.users or user in known.users) and user not in self.people.left


@dataclass(frozen=True)
class Access:
    """Makes reports of one store. Each is on record."""

    store: Store
    known: Known

    async def agent(self, name: str, author: Author) -> Report:
        """What an agent can reach. Raises NotFound for a name that is in no file and no row."""
        now = self.store.now()
        stopped = await self._stopped()
        found = await self.store.access.agent(name, now - WINDOW, now, shared=self.known.shared)
        known = self.known.agents.get(name)
        if known is None and not found.calls and not found.held and ("agent", name) not in stopped:
            raise NotFound(
                f"There is no agent {name[:80]!r}.", hint=_near(name, self.known.agents, "Its name, as in [agents].")
            )
        await record(self.store, author, Audit(actor="", what=({"do": "access.read", "agent": name},), agent=name))
        allowed = self.known.allowed(name)
        used = {each.action: each for each in found.used}
        actions = [_action(each, used.get(each.action.name), stopped) for each in allowed]
        never = [each["name"] for each in actions if each["last_use"] is None]
        providers = {each.provider.id for each in allowed}
        accounts = [self._account(each, name, providers, stopped) for each in found.held[:LISTED]]
        more = len(found.held) > LISTED
        scopes: Iterable[tuple[str, Collection[str]]] = (
            ((each.provider, each.scopes) for each in found.scoped)
            if more
            else ((each["provider"], each["scopes"]) for each in accounts if each["reachable"])
        )
        touched = found.touched
        names = {each.action.name for each in allowed}
        return {
            "agent": name,
            "at": rfc3339(now),
            **_standing(name, known, stopped),
            "last_use": _time(max((each.last for each in found.used), default=None)),
            "declared": list(known.actions) if known is not None else [],
            "actions": actions,
            "no_longer_allowed": [_use(each) for each in found.used if each.action not in names],
            "never_used": never,
            "narrower": narrower(set(names) - set(never)) if never and self.known.operations is not None else None,
            "users": {
                "declared": list(known.users) if known is not None else [],
                "acted_for": [{"user": user, "last_use": rfc3339(at)} for user, at in touched.persons],
                "total": touched.total,
                "more": touched.more or touched.total > len(touched.persons),
            },
            "scopes": _scopes(scopes),
            "accounts": accounts,
            "more_accounts": more,
            "shared_credentials": _shared(allowed),
            "approvals": [_pass(each) for each in found.passes],
        }

    async def user(self, person: str, author: Author) -> Report:
        """What agents can reach in a person's name. Raises NotFound for whom no file and no row knows."""
        now = self.store.now()
        stopped = await self._stopped()
        found = await self.store.access.user(person, now - WINDOW, now)
        if not found.calls and person not in self.known.people.ids:
            hint = _near(person, self.known.people.names, "An id of a person, as in [people] or in calls.")
            raise NotFound(f"Nobody is known as {person[:254]!r}.", hint=hint)
        about = person if found.calls else None  # nobody is made a row of by being looked at
        fact = {"do": "access.read", "of": Who(person)} if found.calls else {"do": "access.read"}
        await record(self.store, author, Audit(actor="", what=(fact,), user=about))
        agents = [self._agent_for(name, person, found, stopped) for name in self._agents_of(person, found)]
        return {
            "user": person,
            "at": rfc3339(now),
            "left": person in self.known.people.left,
            "halted": ("all", "") in stopped,
            "stopped_agents": ("own", f"*/{person}") in stopped,
            "last_use": _time(max((each.last for each in found.used), default=None)),
            "agents": agents,
            "scopes": _scopes((each["provider"], each["scopes"]) for agent in agents for each in agent["accounts"]
                              if each["reachable"]),
            "accounts": [
                {
                    "grant": grant.id,
                    "provider": grant.provider,
                    "account": grant.account_name or grant.account,
                    "state": grant.state,
                    "scopes": list(grant.scopes),
                    "since": rfc3339(grant.created),
                    "agents": sorted(each.consent.agent for each in found.held if each.grant.id == grant.id),
                }
                for grant in found.grants
            ],
            "approvals": [_pass(each) for each in found.passes],
        }  # fmt: skip

    def _agents_of(self, person: str, found: Reached) -> list[str]:
        names = {name for name in self.known.agents if self.known.serves(name, person)}
        names |= {each.consent.agent for each in found.held} | {each.agent for each in found.used}
        return sorted(names)

    def _agent_for(self, name: str, person: str, found: Reached, stopped: Stopped) -> Report:
        """What one agent can reach in a person's name."""
        known = self.known.agents.get(name)
        allowed = self.known.allowed(name)
        used = {each.action: each for each in found.used if each.agent == name}
        providers = {each.provider.id for each in allowed}
        held = [each for each in found.held if self.known.shared or each.consent.agent == name]
        names = {each.action.name for each in allowed}
        may = self.known.serves(name, person)
        return {
            "agent": name,
            **_standing(name, known, stopped),
            "may_act": may,
            "stopped_by_user": _own(name, person, stopped),
            "last_use": _time(max((each.last for each in used.values()), default=None)),
            "actions": [_action(each, used.get(each.action.name), stopped) for each in allowed] if may else [],
            "no_longer_allowed": [_use(each) for each in used.values() if not may or each.action not in names],
            "accounts": [self._account(each, name, providers, stopped) for each in held],
            "shared_credentials": _shared(allowed) if may else [],
        }

    def _account(self, held: Held, agent: str, providers: Collection[str], stopped: Stopped) -> Report:
        """One account and what the agent may use of it; `why_not`: what stands between them now."""
        grant, may = held.grant, frozenset(held.grant.scopes)
        why: str | None = None
        if grant.state != "live":
            why = grant.state
        elif not self.known.serves(agent, grant.user):
            why = "user_not_permitted"
        elif _own(agent, grant.user, stopped):
            why = "stopped_by_user"
        elif self.known.operations is not None and grant.provider not in providers:
            why = "no_action"
        return {
            "grant": grant.id,
            "user": grant.user,
            "provider": grant.provider,
            "account": grant.account_name or grant.account,
            "scopes": [scope for scope in held.consent.scopes if scope in may],
            "consent_of": held.consent.agent,
            "since": rfc3339(held.consent.at),
            "reachable": why is None,
            "why_not": why,
        }

    async def _stopped(self) -> Stopped:
        _, _, stops = await self.store.stops()
        return {(stop.kind, stop.id) for stop in stops if stop.active}


async def record(store: Store, author: Author, audit: Audit) -> None:
    """Put on record that somebody has looked. Raises StorageError."""
    (fact,) = audit.what
    made = Audit(
        actor=author.actor,
        what=({**fact, "as": author.system} if author.system else fact,),
        user=audit.user,
        agent=audit.agent,
        execution=audit.execution,
    )
    await store.apply(Unit(None, (), made))


def narrower(names: Iterable[str]) -> str:
    """The line for `[agents.NAME]` that covers these actions alone: full names, so that risk critical stays named."""
    return f"actions = [{', '.join(json.dumps(name) for name in sorted(names))}]"


def _standing(name: str, known: Agent | None, stopped: Stopped) -> Report:
    return {
        "configured": known is not None,
        "suspended": ("agent", name) in stopped,
        "halted": ("all", "") in stopped,
        "stopped_connectors": sorted(id for kind, id in stopped if kind == "connector"),
    }


def _action(operation: Operation, used: Used | None, stopped: Stopped) -> Report:
    action = operation.action
    return {
        "name": action.name,
        "risk": action.risk,
        "effect": action.effect,
        "scopes": list(action.scopes or action.any_scopes),
        "stopped": ("connector", action.connector) in stopped,
        "used": used.count if used is not None else 0,
        "used_more": used is not None and used.count >= COUNTED,
        "last_use": _time(used.last if used is not None else None),
    }


def _use(used: Used) -> Report:
    return {"name": used.action, "used": used.count, "last_use": rfc3339(used.last)}


def _pass(found: Pass) -> Report:
    return {
        "id": found.id,
        "agent": found.agent,
        "user": found.user,
        "action": found.action,
        "account": found.account,
        "by": list(found.voters),
        "uses_left": found.uses,
        "until": rfc3339(found.until),
    }


def _shared(allowed: Iterable[Operation]) -> list[str]:
    """Providers at which one credential serves everybody: no consent stands between an agent and them."""
    kinds = {each.provider.id: each.provider.kind for each in allowed}
    return sorted(id for id, kind in kinds.items() if kind != "none" and kind in KINDS and not KINDS[kind].connects)


def _scopes(found: Iterable[tuple[str, Collection[str]]]) -> dict[str, list[str]]:
    made: dict[str, set[str]] = {}
    for provider, scopes in found:
        made.setdefault(provider, set()).update(scopes)
    return {provider: sorted(scopes) for provider, scopes in sorted(made.items())}


def _own(agent: str, user: str, stopped: Stopped) -> bool:
    return any(("own", f"{which}/{user}") in stopped for which in (agent, "*"))


def _time(at: Millis | None) -> str | None:
    return None if at is None else rfc3339(at)


def _near(name: str, known: Iterable[str], otherwise: str) -> str:
    near = nearest(name, known)
    return f"Did you mean {near!r}?" if near else otherwise
