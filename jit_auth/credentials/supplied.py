"""Which shared credentials are missing although an agent may call for them: found when files are loaded, not at a call.

A connector that came with the program is left out: that it is there does not say that it is used. Its calls end as
`provider_misconfigured`, as those of an OAuth provider without a client do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jit_auth.catalog.globs import match
from jit_auth.catalog.load import Catalog
from jit_auth.config.settings import Agent
from jit_auth.core.toml import Document
from jit_auth.credentials import KINDS
from jit_auth.errors import Fault, Misconfigured
from jit_auth.model import Provider


def lacks(provider: Provider) -> Misconfigured | None:
    """Why no call can be made with this deployment's own credential; None also where users connect their own."""
    kind = KINDS[provider.kind]
    if kind.connects:
        return None
    try:
        kind.open(provider, None)
    except Misconfigured as fault:
        return fault
    return None


def unsupplied(catalog: Catalog, agents: Mapping[str, Agent], config: Document) -> list[Fault]:
    """A fault in config.toml per provider that lacks its credential: at its table, else at the agent that may call."""
    return list({fault.message: fault for fault in _found(catalog, agents, config)}.values())


def _found(catalog: Catalog, agents: Mapping[str, Agent], config: Document) -> Iterator[Fault]:
    missing = {name: why for name, provider in catalog.providers.items() if (why := lacks(provider)) is not None}
    for full, operation in catalog.actions.items() if missing else ():
        provider = operation.provider.id
        if provider not in missing:
            continue
        written = ("providers", provider) in config.places
        if operation.connector.id in catalog.shipped and not written:
            continue
        for name, agent in agents.items():
            if match(agent.actions, full, operation.action.risk):
                at = ("providers", provider) if written else ("agents", name, "actions")
                why = missing[provider]
                yield config.fault(at, f"providers.{provider}: {why.message} {why.hint}")
                break
