"""An execution and what people owe it: decision, asks, votes, cards (all frozen; one row each)."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from jit_auth.model.wire import Result

Millis = int
"""Unix time or a duration, in milliseconds."""

State = Literal["paused", "executing", "succeeded", "failed", "denied", "expired", "cancelled", "unknown"]
OPEN: frozenset[str] = frozenset({"paused", "executing"})

DecisionEffect = Literal["allow", "require_approval", "deny"]
AskKind = Literal["consent", "approval"]
AskState = Literal["open", "met", "denied", "expired", "superseded", "closed"]
Verdict = Literal["approve", "deny"]


class Want(Struct, frozen=True):
    """One requirement of an approval after merging: `need` votes of people that `of` names.

    `of` holds `requester` and `user:ID`; `expires` is a duration. `rules` are the rules it comes from.
    """

    of: tuple[str, ...]
    need: int = 1
    expires: Millis = 3_600_000
    rules: tuple[str, ...] = ()


class Decision(Struct, frozen=True):
    """What the policy says of one call, with its reasons. A value: it changes nothing."""

    effect: DecisionEffect
    rules: tuple[str, ...] = ()
    """Ids of the rules that won, sorted."""
    reasons: tuple[str, ...] = ()
    wants: tuple[Want, ...] = ()
    errors: tuple[str, ...] = ()
    """`RULE: what went wrong` for each condition in error."""
    policy: str = ""
    """`sha256:` of the policy that decided."""
    via: tuple[str, ...] = ("page",)


class Trouble(Struct, frozen=True):
    """Why an execution ended as it did: the `error` member of an answer."""

    code: str
    message: str
    hint: str = ""
    by: str | None = None
    feedback: str | None = None


class Execution(Struct, frozen=True, kw_only=True):
    """The aggregate: one call of an agent, from admission to its end. Every change raises `version`."""

    id: str
    version: int = 1
    state: State
    agent: str
    chain: tuple[str, ...]
    user: str | None
    verified: bool
    action: str
    params: dict[str, Any]
    reason: str | None = None
    asked_account: str | None = None
    """What the call named as `account`, if anything."""
    account: str | None = None
    """The provider's id of the account in the digest; None where none was connected when it was decided."""
    account_name: str | None = None
    grant: str | None = None
    digest: str
    decision: Decision
    open_key: str | None = None
    """While paused: what a second equal call would have; unique, so that it joins."""
    intent: bool = False
    """An intent is durable and its outcome is not: whether the call happened is not known to the row."""
    attempt: int = 0
    process: str | None = None
    deadline: Millis | None = None
    """When the current attempt's process gives up."""
    due: Millis | None = None
    """When the worker must look again; None where nothing is owed."""
    not_after: Millis | None = None
    """Earliest of all deadlines of the decision; judged in the intent's transaction."""
    met: Millis | None = None
    """When the last thing people owed was given."""
    trouble_since: Millis | None = None
    """Start of the outage or lost answer that is being retried."""
    tries: int = 0
    refreshed: bool = False
    """The one forced refresh after a 401 was used."""
    rescoped: bool = False
    """The one consent after a 403 insufficient_scope was used."""
    lost: bool = False
    """The answer of an attempt was lost: from now on only an answer, or `unknown`, can end a write."""
    return_url: str | None = None
    """Where the browser goes after a consent; one of the agent's `return_urls`, judged at admission."""
    extra: tuple[str, ...] = ()
    """Scopes that a 403 insufficient_scope named beyond the action's own."""
    result: Result | None = None
    error: Trouble | None = None
    created: Millis
    updated: Millis
    expires: Millis


class Ask(Struct, frozen=True, kw_only=True):
    """One question put to people: a consent (`cns_...`) or one round of approval (`apr_...`). Never re-opened."""

    id: str
    version: int = 1
    execution: str
    kind: AskKind
    state: AskState = "open"
    agent: str
    user: str | None
    provider: str | None = None
    digest: str = ""
    wants: tuple[Want, ...] = ()
    scopes: tuple[str, ...] = ()
    """Consent: the scopes that are missing (empty with `new_agent`)."""
    new_agent: bool = False
    account: str | None = None
    """Consent: the provider account that has to give it, where one is named or known."""
    why: str = ""
    """Why it was asked again, for people."""
    last_error: str | None = None
    created: Millis
    expires: Millis


class Vote(Struct, frozen=True, kw_only=True):
    """What one person said to one round; at most one, for ever."""

    ask: str
    person: str
    verdict: Verdict
    digest: str
    seen: str
    """SHA-256 of what was shown."""
    how: str
    """How the person was authenticated: link, ..."""
    feedback: str | None = None
    at: Millis


class Card(Struct, frozen=True, kw_only=True):
    """One copy of an ask for one person on one channel. True when `shown` equals the execution's version."""

    id: str
    version: int = 1
    ask: str
    execution: str
    person: str
    via: str
    ref: str | None = None
    shown: int = 0
    due: Millis | None = None
    tries: int = 0
    expires: Millis
    process: str | None = None


class Opened(Struct, frozen=True):
    """An execution with all that people owe and gave, read in one snapshot."""

    execution: Execution
    asks: tuple[Ask, ...] = ()
    votes: tuple[Vote, ...] = ()
    cards: tuple[Card, ...] = ()
