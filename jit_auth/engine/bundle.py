"""What decides: policies, connectors, providers, agents and people, as one frozen value with one hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from msgspec import Struct

from jit_auth.catalog.globs import match
from jit_auth.catalog.load import Catalog, Operation
from jit_auth.config.people import People
from jit_auth.config.settings import Agent
from jit_auth.core.digest import canonical, sha256_text
from jit_auth.core.reach import Reach
from jit_auth.model import Action, Exposes, Millis
from jit_auth.policy.facts import history_of
from jit_auth.policy.rules import Policy


class Kinds(Struct, frozen=True):
    """Actions by what they do: the full names of those that are no reads, and what each one exposes."""

    writes: tuple[str, ...]
    exposes: Mapping[str, tuple[Exposes, ...]]


@dataclass(frozen=True)
class Bundle:
    """One consistent set of what decides. `hash` covers its parsed, normalised content and nothing else."""

    catalog: Catalog
    policy: Policy
    agents: Mapping[str, Agent]
    people: People
    allowed: Mapping[str, frozenset[str]]
    """Per agent, the full names of the actions it may use: its globs, expanded when this was loaded."""
    reads: Mapping[str, tuple[str, ...]]
    """Per action the facts and parameters that its rules name: put on record with each decision."""
    beyond: frozenset[str]
    """The actions whose rules read more than parameters, which the request's own row commits to already."""
    shared_consent: bool
    """`[users] consent = "shared"`: what a user granted counts for every agent."""
    send_within: Millis
    touch: Mapping[str, str]
    """Per action a fingerprint of what decides it: rules, groups, the action and its provider as they are defined."""
    hash: str
    left: frozenset[str]
    """People who have left."""
    reach: Reach
    """How its people are reached."""
    readers: Mapping[str, tuple[Action, ...]]
    """Per channel the actions whose results can hold its messages."""
    bearers: Mapping[str, Agent]
    """Agents by the SHA-256 of their tokens."""

    @cached_property
    def history(self) -> Mapping[str, tuple[str, ...]]:
        """Per action what its rules read of `History`: the fields' names. An action without such rules is not here."""
        found = {action: history_of(reads) for action, reads in self.reads.items()}
        return {action: names for action, names in found.items() if names}

    @cached_property
    def kinds(self) -> Kinds:
        """Its actions by what they do."""
        return kinds_of(self.catalog)

    def operation(self, name: str) -> Operation | None:
        """The action of that full name, or None."""
        return self.catalog.actions.get(name)

    def names(self, agent: str, action: str) -> bool:
        """Whether an agent's globs cover this name, were there such an action."""
        known = self.agents.get(agent)
        return known is not None and match(known.actions, action, "low")

    def serves(self, agent: str, user: str) -> bool:
        """Whether an agent may act for this user."""
        known = self.agents.get(agent)
        return known is not None and ("*" in known.users or user in known.users) and user not in self.left


def kinds_of(catalog: Catalog) -> Kinds:
    """All actions by what they do."""
    writes = sorted([name for name, one in catalog.actions.items() if one.action.effect != "read"])
    return Kinds(tuple(writes), {name: one.action.exposes for name, one in catalog.actions.items()})


def bundle_hash(parts: Mapping[str, Any]) -> str:
    """`sha256:` of what decides, given as plain JSON values."""
    return sha256_text(canonical(parts))
