"""From the files that the settings name to what decides: the catalog, the policy and the bundle of both."""

from __future__ import annotations

import msgspec

from jit_auth.catalog.globs import match
from jit_auth.catalog.load import Catalog
from jit_auth.catalog.provider import public
from jit_auth.channels import CHANNELS
from jit_auth.config.load import policy_texts
from jit_auth.config.settings import Settings
from jit_auth.core.digest import canonical, sha256_text
from jit_auth.core.reach import Reach
from jit_auth.credentials.catalog import catalog_of
from jit_auth.credentials.supplied import unsupplied
from jit_auth.engine.bundle import Bundle, bundle_hash
from jit_auth.errors import Faults
from jit_auth.model import Action
from jit_auth.policy.rules import Policy
from jit_auth.policy.rules import load as load_policy


def load_bundle(settings: Settings) -> Bundle:
    """Everything that decides, from the files that the settings name. Raises Faults."""
    catalog = catalog_of(settings)
    if faults := unsupplied(catalog, settings.agents, settings.document):
        raise Faults(faults)
    actions = {name: operation.action for name, operation in catalog.actions.items()}
    policy = load_policy(
        policy_texts(settings),
        actions,
        settings.people.ids,
        vias=settings.vias,
        groups=settings.people.groups,
        aliases=settings.people.names,
        strict=not settings.loopback,
    )
    return _bundle(settings, catalog, policy)


def _bundle(settings: Settings, catalog: Catalog, policy: Policy) -> Bundle:
    allowed = {
        name: frozenset(
            full for full, operation in catalog.actions.items() if match(agent.actions, full, operation.action.risk)
        )
        for name, agent in settings.agents.items()
    }
    content = {
        "agents": msgspec.to_builtins(settings.agents),
        "people": msgspec.to_builtins(settings.people),
        "catalog": catalog.hash,
        "policy": policy.hash,
        "consent": settings.users.consent,
        "verify": [settings.users.verify, settings.users.issuer, settings.users.app_url],
        "issuers": {name: [each.issuer, each.domains, each.user_claim] for name, each in settings.issuers.items()},
        "send_within": settings.limits.approved_send_within,
    }
    reads = {name: policy.reads(name) for name in catalog.actions}
    return Bundle(
        catalog=catalog,
        policy=policy,
        agents=settings.agents,
        people=settings.people,
        allowed=allowed,
        reads=reads,
        beyond=frozenset(name for name, read in reads.items() if not all(fact.startswith("params.") for fact in read)),
        shared_consent=settings.users.consent == "shared",
        send_within=settings.limits.approved_send_within,
        touch=_touch(catalog, policy),
        hash=bundle_hash(content),
        left=frozenset(settings.people.left),
        reach=_reach(settings),
        readers=_readers(catalog),
        bearers={agent.secret_sha256: agent for agent in settings.agents.values()},
    )


def _touch(catalog: Catalog, policy: Policy) -> dict[str, str]:
    """What decides each action, as one hash: its rules, and the action and provider as they are defined (the canonical
    JSON of these three in a list)."""
    providers: dict[str, bytes] = {}
    found: dict[str, str] = {}
    for name, operation in catalog.actions.items():
        provider = operation.provider
        if provider.id not in providers:  # dozens of actions have one
            providers[provider.id] = canonical(public(provider))
        rules, action = canonical(policy.hash_of(name)), canonical(msgspec.to_builtins(operation.action))
        found[name] = sha256_text(b"[%b,%b,%b]" % (rules, action, providers[provider.id]))
    return found


def _reach(settings: Settings) -> Reach:
    """How people are reached: by each configured channel, and on loopback by the terminal."""
    ways = [
        channel.way(settings.channels.get(name), settings.people)
        for name, channel in CHANNELS.items()
        if name in settings.channels or (channel.settings is None and settings.loopback)
    ]
    return Reach(tuple(ways))


def _readers(catalog: Catalog) -> dict[str, tuple[Action, ...]]:
    """Per channel the actions whose results can hold its messages."""
    found: dict[str, tuple[Action, ...]] = {}
    for operation in catalog.actions.values():
        for channel in operation.action.reads:
            found[channel] = (*found.get(channel, ()), operation.action)
    return found
