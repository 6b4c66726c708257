"""The values that the pages for people are made of, and the calls by which they are got (all frozen).

The engine reads rows and decides; `web` turns these values into HTML or JSON. Nothing here holds a ticket, a
credential or a provider's client secret, except where a field says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from msgspec import Struct

from jit_auth.model import Action, Ask, Card, Execution, Millis, Place, Request, Verdict, Vote

Ending = Literal["connected", "partly", "refused", "error"]


class ApprovalPage(Struct, frozen=True, kw_only=True):
    """One copy of one round of approval, as its person may see it now."""

    environment: str
    person: str
    """Whose link it is: the person of `card`."""
    card: Card
    ask: Ask
    execution: Execution
    action: Action
    connector_name: str
    provider_name: str
    request: Request
    """What would leave, built anew from the row and never with the credential; its digest is `ask.digest`."""
    places: tuple[Place, ...] = ()
    """Where the credential will be added."""
    votes: tuple[Vote, ...] = ()
    """All votes of this round so far, oldest first."""
    connects: bool = True
    """Whether the provider has accounts that users connect (False: kind none)."""
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
    now: Millis


class ConsentPage(Struct, frozen=True, kw_only=True):
    """What a user is asked to connect, before anything happens."""

    environment: str
    ask: Ask
    execution: Execution
    action: Action
    connector_name: str
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


class Finished(Struct, frozen=True, kw_only=True):
    """The end of a consent, whichever way.

    `connected`: all that was asked for is there. `partly`: `missing` was not given, the call still waits, `link` asks
    again. `refused`: the person said no, the call is denied. `error`: the provider answered `error`, the call still
    waits, `link` asks again.
    """

    kind: Ending
    environment: str
    execution: Execution
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


class Doors(Protocol):
    """What the pages ask the engine for. It is the engine's half of `web/approve.py` and `web/connect.py`.

    All raise NotFound for a ticket that is none, Gone(code "expired" | "cancelled") for one that has run out, and
    Conflict(code "superseded") for a round that was asked again under a new id.
    """

    async def approval_page(self, ticket: str) -> ApprovalPage:
        """The page of an open or decided round. Changes nothing."""
        ...

    async def vote(
        self, ticket: str, verdict: Verdict, *, digest: str | None, feedback: str | None, how: str, seen: str
    ) -> Voted:
        """One atomic vote. `digest` None: the poster relied on the ticket alone. `seen`: the hash of what
        was shown. Raises Conflict: `already_decided`, with the member `decided` = [{"by", "decision", "at"}] (RFC 3339)
        or `digest_mismatch`; in both nothing was decided."""
        ...

    async def consent_page(self, ticket: str) -> ConsentPage:
        """The question of an open consent. Changes nothing. An answered one: Conflict(`already_finished`)."""
        ...

    async def consent_begin(self, ticket: str) -> Leaving | Finished:
        """Yes: bind state, nonce and PKCE to a browser; or, where no trip is needed, grant at once."""
        ...

    async def consent_refuse(self, ticket: str) -> Finished:
        """No: the call is denied, `consent_refused`."""
        ...

    async def consent_finish(self, provider_id: str, query: Mapping[str, str], cookie: str | None) -> Finished:
        """A provider sent the browser back. Raises FlowRefused (`already_finished` for a second run), Away,
        Misconfigured: no execution was changed."""
        ...
