"""The calls by which pages and channels ask the engine: one protocol for each kind of visitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jit_auth.engine.pages import (
    ApprovalPage,
    Choice,
    Choose,
    ConsentPage,
    Finished,
    Leaving,
    Onward,
    UndoPage,
    Voted,
)
from jit_auth.engine.proof import Visitor
from jit_auth.model import Execution


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
