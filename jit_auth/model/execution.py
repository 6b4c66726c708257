"""An execution and what people owe it: decision, asks, votes, cards (all frozen; one row each)."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from jit_auth.model.wire import Result

Millis = int
"""Unix time or a duration, in milliseconds."""

State = Literal["paused", "released", "executing", "succeeded", "failed", "denied", "expired", "cancelled", "unknown"]
OPEN: frozenset[str] = frozenset({"paused", "released", "executing"})
CLAIMED = "claim"
"""How `Execution.process` begins while the agent itself is at it: it has claimed a function of its own, until
`deadline`. After a colon: a MAC of the key it was claimed with, until the agent has shown that it has its claim."""

DecisionEffect = Literal["allow", "require_approval", "deny"]
AskKind = Literal["consent", "approval", "outcome"]
AskState = Literal["open", "met", "denied", "expired", "superseded", "closed"]
Verdict = Literal["approve", "deny"]
CardRole = Literal["decide", "consent", "notice", "resolve", "gather"]


class Escalate(Struct, frozen=True):
    """More people are asked once a round is `after` old; only with `counts` do their votes count."""

    after: Millis
    to: tuple[str, ...]
    counts: bool = False


class Want(Struct, frozen=True):
    """One requirement of an approval after merging: `need` votes of people that `of` names.

    `of` holds `requester`, `user:ID` and `group:NAME`; `expires` is a duration. `rules` are the rules it comes from.
    """

    of: tuple[str, ...]
    need: int = 1
    expires: Millis = 3_600_000
    rules: tuple[str, ...] = ()
    escalate: tuple[Escalate, ...] = ()


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
    labels: tuple[str, ...] = ()
    """Sorted; one whose condition failed ends in `?`."""
    remind: Millis | None = None
    """How often who was asked is reminded (the shortest of all rules)."""
    for_max: Millis | None = None
    """Longest "approve for a while" (the shortest of all rules; None: not offered)."""
    max_uses: int = 10
    """Of one "approve for a while" (the fewest of all rules)."""
    editable: tuple[str, ...] = ()
    """Parameters that an approver may change (those that all rules name)."""
    passkey: bool = False
    """Decided only with a passkey (as any rule says)."""


class Trouble(Struct, frozen=True):
    """Why an execution ended as it did: the `error` member of an answer."""

    code: str
    message: str
    hint: str = ""
    by: str | None = None
    feedback: str | None = None


class History(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was attempted before a call (THREAT_MODEL 21): the facts `history.*` and `task.*`. Only what some rule for
    the action names is counted; the rest is as here."""

    same_action_1h: int = 0
    same_action_24h: int = 0
    denied_24h: int = 0
    agent_action_1h: int = 0
    agent_writes_1h: int = 0
    first_seen: bool = False
    task_private: bool = False
    task_untrusted: bool = False
    task_external: bool = False
    task_count: int = 0


class Task(Struct, frozen=True):
    """What a call is part of, in its agent's own words: nobody has checked them."""

    id: str
    title: str | None = None


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
    task: Task | None = None
    metadata: dict[str, Any] | None = None
    """What the agent wants to be told again, in answers and events. Never a fact, and shown to nobody else."""
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
    """Whose hands it is in: a process of ours, or CLAIMED."""
    deadline: Millis | None = None
    """When the current attempt's process gives up, or the claim runs out."""
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
    edited_by: tuple[str, ...] = ()
    """Approvers who changed parameters: requesters from then on, who decide nothing."""
    before: dict[str, Any] | None = None
    """The parameters as the agent gave them, once somebody has changed them."""
    callback_url: str | None = None
    """Where the agent wants its events; one of its `callback_urls`, normalised and judged at admission."""
    gone: tuple[str, ...] = ()
    """What is not to be had any more, of `params` (with reasons) and `result`: erased, or removed after its time."""
    standing: str | None = None
    """The pass ("approve for a while") that it was sent under."""
    history: dict[str, int | bool] | None = None
    """What was counted before it, as it was admitted (`Past.known`); None where no rule read any of it."""
    result: Result | None = None
    error: Trouble | None = None
    created: Millis
    updated: Millis
    expires: Millis

    @property
    def claimed(self) -> bool:
        """Whether the agent has claimed it, and its word on what came of it is waited for."""
        return self.intent and self.process is not None and self.process.startswith(CLAIMED)


class Ask(Struct, frozen=True, kw_only=True):
    """One question put to people: a consent (`cns_...`) or one round of approval (`apr_...`). Never re-opened."""

    id: str
    version: int = 1
    execution: str
    """The call that waits for it; "" of a consent that is asked for before any call."""
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
    reminded: int = 0
    """How often those who were asked have been reminded."""
    warned: bool = False
    """That it runs out soon has been said."""
    escalated: tuple[Escalate, ...] = ()
    """Escalations that have taken place."""
    actions: tuple[str, ...] = ()
    """Consent before any call (`execution` is "" then): the actions that the agent wants to be ready for, sorted."""
    account_id: str | None = None
    """Of such a consent: the provider's id of the account that has to give it; None: the user chooses one."""
    another: bool = False
    """Of such a consent: for one more account than those that are connected."""
    return_url: str | None = None
    """Of such a consent: where the browser goes then; one of the agent's `return_urls`."""
    epoch: int = 0
    """Of such a consent: when it was asked. What was stopped later ends it for good (THREAT_MODEL 25)."""
    answered: Millis | None = None
    """Of such a consent: when the user said no."""
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
    hold: Millis | None = None
    """Approve for a while: for how long (a duration)."""
    receipt: dict[str, Any] | None = None
    """What a passkey signed: everything that is needed to check it without us."""
    at: Millis
    gone: tuple[str, ...] = ()
    """Not empty where feedback and receipt were erased, or removed after their time."""


class Card(Struct, frozen=True, kw_only=True):
    """One copy of an ask for one person on one channel. True when `shown` equals the execution's version.

    `role` is what the person is to do: decide, consent, resolve an unknown outcome, or only know (notice). A `gather`
    card stands for many requests at once: it has neither ask nor execution ("").
    """

    id: str
    version: int = 1
    role: CardRole = "decide"
    ask: str
    execution: str
    person: str
    """A person's id; `channel:NAME` for the one copy that a channel shows to all of a group."""
    via: str
    ref: str | None = None
    shown: int = 0
    due: Millis | None = None
    tries: int = 0
    expires: Millis
    process: str | None = None


class Pass(Struct, frozen=True, kw_only=True):
    """Approve for a while: equal calls need no further votes (THREAT_MODEL 16). Ended by its uses, its time, a voter
    who is no longer eligible, a change of what decides its action, a stop in its chain, or a denial of its digest."""

    id: str
    version: int = 1
    digest: str
    agent: str
    chain: tuple[str, ...]
    user: str | None
    action: str
    account: str | None = None
    voters: tuple[str, ...] = ()
    ask: str = ""
    """The round that gave it."""
    touch: str = ""
    """Fingerprint of what decided this action then (`Bundle.touch`)."""
    summary: str = ""
    uses: int
    """Uses left."""
    until: Millis
    ended: str | None = None
    """Why it ended before its time."""
    created: Millis


class Tally(Struct, frozen=True, kw_only=True):
    """How often one request (first agent, user, action, parameters: `key`) was put to people, and denied."""

    key: str
    version: int = 1
    times: int = 0
    """How often people were asked."""
    denied: int = 0
    denied_at: Millis | None = None
    until: Millis
    """When it is forgotten."""


class Crowd(Struct, frozen=True):
    """What a call that would ask people comes upon: how many of its agent's wait (counted no further than asked for),
    and its tally."""

    paused: int = 0
    tally: Tally | None = None


class Opened(Struct, frozen=True):
    """An execution with all that people owe and gave, read in one snapshot."""

    execution: Execution
    asks: tuple[Ask, ...] = ()
    votes: tuple[Vote, ...] = ()
