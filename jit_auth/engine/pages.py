"""The values that the pages for people are made of (all frozen); `doors` are the calls by which they are got.

The engine reads rows and decides; `web` turns these values into HTML or JSON. Nothing here holds a ticket, a
credential or a provider's client secret, except where a field says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from jit_auth.model import Action, Ask, Card, Execution, Millis, Op, Place, Request, Verdict, Vote

Ending = Literal["connected", "partly", "refused", "error"]


class ApprovalPage(Struct, frozen=True, kw_only=True):
    """One copy of one round of approval, as its person may see it now."""

    environment: str
    person: str
    """Who sees it."""
    card: Card | None
    """The copy's row; None for a person who has none of his own (a click in a place that many see)."""
    ask: Ask
    execution: Execution
    action: Action
    connector_name: str
    provider_name: str
    request: Request | None
    """What would leave, built anew from the row and never with the credential; its digest is `ask.digest`. None where
    the agent runs a function of its own."""
    places: tuple[Place, ...] = ()
    """Where the credential will be added."""
    votes: tuple[Vote, ...] = ()
    """All votes of this round so far, oldest first."""
    connects: bool = True
    """Whether the provider has accounts that users connect; without, and with `places`: a credential for all."""
    eligible: tuple[str, ...] = ()
    """All whose vote would count now, sorted."""
    recent: tuple[Execution, ...] = ()
    """The last five of this agent and action that have ended, newest first."""
    asked: int = 0
    """How often exactly this (agent, user, action, parameters) was put to people before."""
    denied: int = 0
    waiting: int = 0
    """How many other requests wait for this person."""
    rounds: int = 1
    """How many rounds of this execution there were."""
    how: str = "link"
    """What stands behind this person: see `proof.How`."""
    short: str | None = None
    """What is still needed for a decision of this person to count: `signin`, `passkey`, or nothing."""
    steps_up: bool = False
    """It takes a passkey: other channels only open the page."""
    hides: bool = False
    """Sensitive values are not for whoever holds a link."""
    now: Millis


class Voted(Struct, frozen=True, kw_only=True):
    """A vote that counted, and what became of the call at that moment."""

    environment: str
    person: str
    verdict: Verdict
    ask: Ask
    """As it is after the vote."""
    execution: Execution
    """As it is when the answer leaves."""
    action: Action
    provider_name: str = ""
    """"": the action's `provider`."""
    votes: tuple[Vote, ...] = ()
    edited: bool = False
    """Parameters were changed instead: the question is asked anew, and this person decides nothing of it."""
    now: Millis


class Wanted(Struct, frozen=True):
    """One action that an access is asked for."""

    action: Action
    connector_name: str


class ConsentPage(Struct, frozen=True, kw_only=True):
    """What a user is asked to connect, before anything happens."""

    environment: str
    ask: Ask
    execution: Execution | None
    """The call that waits for it; None: an agent asks before it calls."""
    wants: tuple[Wanted, ...]
    """Never empty; of a call the one action."""
    provider_id: str
    provider_name: str
    provider_host: str = ""
    """Host of the provider's consent screen, where the browser will go; "" without a trip."""
    scope_titles: Mapping[str, str] = {}
    new: tuple[str, ...] = ()
    """Scopes that this agent gets by saying yes and does not hold now."""
    held: tuple[str, ...] = ()
    """Scopes that the token holds already and will hold afterwards."""
    account: str | None = None
    """The provider account that has to give it, as people know it, where one is known."""
    manage_url: str | None = None
    trip: bool = True
    """False: answered on our own page (a new agent for scopes that are granted already)."""
    needs: str = "nothing"
    """What the browser has to prove first: see `claims.Needs`."""
    app_host: str = ""
    """The calling application's, where it has to say whose browser this is (`needs` = "app")."""
    now: Millis


class Leaving(Struct, frozen=True, kw_only=True):
    """The consent began: the browser goes to `url`, holding `cookie` (a secret: one OAuth round trip hangs on it)."""

    url: str
    cookie: str
    lifetime: Millis
    """How long the cookie is good, a duration."""
    environment: str
    provider_name: str

    def __repr__(self) -> str:
        return "Leaving(...)"

    __str__ = __repr__


class Onward(Struct, frozen=True, kw_only=True):
    """The browser goes to the calling application, which says whose it is. `url` holds a nonce that nobody else may
    see."""

    url: str
    host: str

    def __repr__(self) -> str:
        return f"Onward({self.host!r})"

    __str__ = __repr__


class UndoPage(Struct, frozen=True, kw_only=True):
    """A consent that can be undone, or (`done`) was."""

    environment: str
    user: str
    agent: str
    provider_name: str
    account: str | None
    until: Millis
    ends: bool
    """No other agent uses the account: with this consent the access itself ends."""
    told: bool
    """The provider can be told to end it."""
    done: bool
    manage_url: str | None = None


class Finished(Struct, frozen=True, kw_only=True):
    """The end of a consent, whichever way.

    `connected`: all that was asked for is there. `partly`: `missing` was not given, the call still waits, `link` asks
    again. `refused`: the person said no, the call is denied. `error`: the provider answered `error`, the call still
    waits, `link` asks again.
    """

    kind: Ending
    environment: str
    execution: Execution | None
    """The call that waited, if one did."""
    agent: str
    user: str
    provider_id: str
    provider_name: str
    scope_titles: Mapping[str, str] = {}
    granted: tuple[str, ...] = ()
    """What the agent may use now."""
    missing: tuple[str, ...] = ()
    account: str | None = None
    """The provider account that was connected, as the provider names it."""
    another_account: bool = False
    """It is another account than the one that was connected before: both are kept."""
    error: str = ""
    """The provider's own word (foreign text)."""
    error_description: str = ""
    link: str | None = None
    """A fresh link to the same question (holds a ticket)."""
    return_url: str | None = None
    """Where the agent's application wants the browser back; judged when the call was admitted."""
    manage_url: str | None = None
    undo: str | None = None
    """The ticket that undoes it (a secret of whoever sees this page)."""


class Choice(Struct, frozen=True, kw_only=True):
    """What a person posted about one round. `digest` None: the poster relied on a link that stands for one round."""

    verdict: Verdict
    digest: str | None = None
    feedback: str | None = None
    hold: Millis | None = None
    """Approve for a while: how long (a duration)."""
    params: Mapping[str, Any] | None = None
    """Changed parameters (`editable`): drops all votes, asks anew."""
    how: str = "link"
    """What stands behind it: see `proof.How`."""
    via: str = ""
    """The channel that brought the link."""
    receipt: Mapping[str, Any] | None = None
    """What a passkey signed: kept with the vote."""
    also: tuple[Op, ...] = ()
    """Rows that change with it: what a passkey signed is spent, its counter grows."""
    seen: str = ""
    """SHA-256 of what was shown."""


Choose = Callable[[ApprovalPage], Choice]
"""What was posted, as a decision about the page as it is now. May refuse, by raising a Problem."""
