"""Which scopes a call lacks: what the action needs against what the user granted, and granted to this agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from jit_auth.model import Action, Consent, Grant, Millis, Provider


def expand(scopes: Iterable[str], implies: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """All scopes that these stand for, through the provider's `implies`, transitively."""
    held = set(scopes)
    if not implies:
        return frozenset(held)
    todo = list(held)
    while todo:
        for scope in implies.get(todo.pop(), ()):
            if scope not in held:
                held.add(scope)
                todo.append(scope)
    return frozenset(held)


def lacking(action: Action, extra: Iterable[str], held: frozenset[str]) -> tuple[str, ...]:
    """The scopes to ask for: all of `scopes` that are not held, and the first of `any_scopes` if none of them is."""
    missing = [scope for scope in (*action.scopes, *extra) if scope not in held]
    if action.any_scopes and held.isdisjoint(action.any_scopes):
        missing.append(action.any_scopes[0])
    return tuple(dict.fromkeys(missing)) if missing else ()


def lacking_of(actions: Iterable[Action], held: frozenset[str]) -> tuple[str, ...]:
    """The scopes to ask for before all of these actions: the union of what each lacks, with as few of the `any_scopes`
    as will do."""
    actions = tuple(actions)
    missing = dict.fromkeys(scope for action in actions for scope in action.scopes if scope not in held)
    for action in actions:
        if action.any_scopes and held.isdisjoint(action.any_scopes) and missing.keys().isdisjoint(action.any_scopes):
            missing[action.any_scopes[0]] = None
    return tuple(missing)


class Lack(Struct, frozen=True):
    """What a call waits for from its user: `scopes` to grant at the provider, or only that the agent is let in."""

    provider: str
    scopes: tuple[str, ...]
    new_agent: bool
    """The user has an account connected, but this agent was not named to them for what it needs."""


def usable(grant: Grant | None, now: Millis) -> bool:
    """Whether a grant can still give an access token: live, and not run out without a way to refresh it."""
    if grant is None or grant.state != "live":
        return False
    return grant.refreshable or grant.expires is None or grant.expires > now


def lack(
    action: Action,
    provider: Provider,
    extra: Iterable[str],
    grant: Grant | None,
    consent: Consent | None,
    now: Millis,
) -> Lack | None:
    """What is missing before `grant` may serve this action for the agent of `consent`; None: nothing.

    The agent needs a consent of its own for the same scopes: what was given to
    other agents does not count for it.
    """
    if grant is None or not usable(grant, now):
        return Lack(provider.id, lacking(action, extra, frozenset()), False)
    missing = lacking(action, extra, expand(grant.scopes, provider.implies))
    named = consent is not None and not lacking(action, extra, expand(consent.scopes, provider.implies))
    return Lack(provider.id, missing, consent is None or not missing) if missing or not named else None


def lack_of(
    actions: Iterable[Action], provider: Provider, grant: Grant | None, consent: Consent | None, now: Millis
) -> Lack | None:
    """The same for several actions of one provider at once, before any of them is called."""
    actions = tuple(actions)
    if grant is None or not usable(grant, now):
        return Lack(provider.id, lacking_of(actions, frozenset()), False)
    missing = lacking_of(actions, expand(grant.scopes, provider.implies))
    named = consent is not None and not lacking_of(actions, expand(consent.scopes, provider.implies))
    return Lack(provider.id, missing, consent is None or not missing) if missing or not named else None
