"""The values that the pages for people are made of, and the calls by which they are got (all frozen).

The engine reads rows and decides; `web` turns these values into HTML or JSON. Nothing here holds a ticket, a
credential or a provider's client secret, except where a field says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from jit_auth.engine.proof import Visitor
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


class Decide(Protocol):
    """What a channel asks the engine for, in the name of a person whom the channel has authenticated itself.

    All raise as `Doors`: NotFound, Gone, Conflict (`already_decided` with the member `decided`, `superseded`,
    `digest_mismatch`), Forbidden (`not_eligible`: the person may not decide this round).
    """

    async def round_as(self, person: str, ask: str, how: str = "slack") -> ApprovalPage:
        """The round `apr_...` as this person would see it. Changes nothing."""
        ...

    async def vote_as(self, person: str, ask: str, choice: Choice) -> Voted:
        """One atomic vote of this person."""
        ...

    async def resolve_as(self, person: str, ask: str, outcome: str, note: str, how: str) -> Execution:
        """`outcome` succeeded or failed, of the call that the ask `unk_...` is about."""
        ...


class SignedDoors(Protocol):
    """What the pages ask for a person who is signed in. Whoever has nothing to do with a request is answered NotFound,
    as if there were none."""

    async def round_as(self, person: str, ask: str, how: str = "slack") -> ApprovalPage:
        """The round `apr_...` as this person may see it; `how` they signed in."""
        ...

    async def outcome_as(self, person: str, ask: str, how: str) -> ApprovalPage:
        """The question `unk_...` likewise."""
        ...

    async def open_rounds_as(self, person: str, how: str) -> tuple[ApprovalPage, ...]:
        """All open rounds that wait for this person."""
        ...

    async def vote_as(self, person: str, ask: str, choice: Choice) -> Voted:
        """One atomic vote of this person."""
        ...

    async def vote_together_as(self, person: str, choices: Mapping[str, Choice]) -> tuple[Voted, ...]:
        """Several, all or nothing."""
        ...

    async def resolve_as(self, person: str, ask: str, outcome: str, note: str, how: str) -> Execution:
        """What became of the call that `unk_...` is about."""
        ...


class Doors(Protocol):
    """What the pages ask the engine for. It is the engine's half of `web/approve.py` and `web/connect.py`.

    `signed` is who is signed in at that browser, if anybody: a link of another person is refused then
    (Forbidden, `other_person`). All raise NotFound for a ticket that is none, Gone(code "expired" | "cancelled") for
    one that has run out, and Conflict(code "superseded") for a round that was asked again under a new id.
    """

    async def approval_page(self, ticket: str, signed: Visitor | None = None) -> ApprovalPage:
        """The page of an open or decided round. Changes nothing. Raises NotFound also for a link of another kind."""
        ...

    async def vote(self, ticket: str, choose: Choose, signed: Visitor | None = None) -> Voted:
        """One atomic vote: what is chosen on seeing the page, without what is around it. Raises NotFound also for a
        link of another kind, Conflict: `already_decided`, with the member `decided` = [{"by", "decision", "at"}]
        (RFC 3339) or `digest_mismatch`; in both nothing was decided."""
        ...

    async def open_rounds(self, ticket: str, signed: Visitor | None = None) -> tuple[ApprovalPage, ...]:
        """All open rounds that wait for the person whose link this is (of a card or of a gathered message)."""
        ...

    async def vote_together(
        self, ticket: str, choices: Mapping[str, Choice], signed: Visitor | None = None
    ) -> tuple[Voted, ...]:
        """Several rounds (by their ids) decided at once, each by its own digest: all or nothing. Raises Conflict whose
        member `stale` lists {"id", "code", "detail"} of what refused the whole; then nothing was decided."""
        ...

    async def outcome_page(self, ticket: str, signed: Visitor | None = None) -> ApprovalPage:
        """What an `unk_...` ask shows: the call whose outcome is unknown. Changes nothing."""
        ...

    async def resolve(self, ticket: str, outcome: str, note: str, signed: Visitor | None = None) -> Execution:
        """The person of this link says what became of the call. Final."""
        ...

    async def notice(self, ask: str) -> ApprovalPage:
        """What `/approvals/apr_...` may tell to whoever holds that address: its environment, action and risk alone."""
        ...

    async def consent_page(self, ticket: str, signed: Visitor | None = None) -> ConsentPage:
        """The question of an open consent. Changes nothing. An answered one: Conflict(`already_finished`)."""
        ...

    async def consent_begin(self, ticket: str, signed: Visitor | None = None) -> Leaving | Finished | Onward:
        """Yes: bind state, nonce and PKCE to a browser; or, where no trip is needed, grant at once (`Onward`: once the
        application has said whose browser it is)."""
        ...

    async def consent_refuse(self, ticket: str, signed: Visitor | None = None) -> Finished | Onward:
        """No: the call is denied, `consent_refused` (`Onward`: as above)."""
        ...

    async def consent_finish(self, provider_id: str, query: Mapping[str, str], cookie: str | None) -> Finished | Onward:
        """A provider sent the browser back. Raises FlowRefused (`already_finished` for a second run), Away,
        Misconfigured: no execution was changed."""
        ...


class ConfirmDoors(Protocol):
    """What the calling application asks for (`[users] verify = "app"`)."""

    async def consent_confirm(self, ticket: str, nonce: str, user: str) -> Finished:
        """This user is in the browser that was sent on with this nonce: its answer counts. Raises NotFound, Gone,
        Conflict, BadRequest (`bad_user`), Forbidden (`other_person`: nothing counts), Away, Misconfigured."""
        ...


class UndoDoors(Protocol):
    """What the last page of a consent asks for. Both raise NotFound and Gone."""

    async def undo_page(self, ticket: str) -> UndoPage:
        """What would be undone. Changes nothing."""
        ...

    async def undo(self, ticket: str) -> UndoPage:
        """Undo it."""
        ...
