"""The engine's face: what web and worker may call, each handed to the part that does it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.approvals import Approvals
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.consents import Consents
from jit_auth.engine.current import Current
from jit_auth.engine.outcomes import Outcomes
from jit_auth.engine.own import Own
from jit_auth.engine.pages import ApprovalPage, Choice, Choose, ConsentPage, Finished, Leaving, Onward, UndoPage, Voted
from jit_auth.engine.preview import Previews
from jit_auth.engine.proof import Visitor
from jit_auth.engine.submit import Admitted, Call, Submit
from jit_auth.engine.waits import Waits
from jit_auth.errors import Problem, TooMany
from jit_auth.model import Execution, Opened
from jit_auth.storage.audit import Entry


@dataclass(frozen=True)
class Engine:
    """One per process; keeps nothing that matters."""

    current: Current
    submitter: Submit
    dispatcher: Dispatcher
    own: Own
    approvals: Approvals
    consents: Consents
    outcomes: Outcomes
    previews: Previews

    @property
    def bundle(self) -> Bundle:
        """What decides at this moment."""
        return self.current.bundle

    @property
    def waits(self) -> Waits:
        """Who waits in this process for an execution to move."""
        return self.own.waits

    async def events(self, agent: str, execution_id: str, after: str | None) -> Sequence[Entry]:
        """What is on record of an agent's own execution, after an opaque id. Raises NotFound."""
        await self.own.get(agent, execution_id)
        return await self.own.store.audit.after(execution_id, after)

    async def submit(self, call: Call) -> Admitted:
        """Admit a call and take it as far as it goes without people."""
        return await self.submitter.submit(call)

    async def refused(self, agent: str, refusal: Problem) -> None:
        """Put down that an agent's call was not admitted, and why."""
        await self.submitter.refused(agent, refusal)

    async def submit_and_leave(self, call: Call, seconds: float) -> tuple[Opened, bool]:
        """Admit a call and answer after `seconds` at the latest; it goes on by itself. With whether it joined."""
        first: asyncio.Future[Admitted] = asyncio.get_running_loop().create_future()

        def durable(execution: Execution) -> None:
            answered(Admitted(execution))

        def answered(admitted: Admitted) -> None:
            if not first.done():
                first.set_result(admitted)

        async def drive() -> None:
            try:
                answered(await self.submitter.submit(call, durable))
            except BaseException as error:
                if first.done():
                    raise
                first.set_exception(error)

        self.dispatcher.spawn(drive())
        admitted = await first
        execution_id = admitted.execution.id
        try:
            return await self.own.wait(call.agent.name, execution_id, seconds), admitted.joined
        except TooMany:
            # It is admitted: a refusal now would hide that. The agent gets what there is.
            return await self.own.get(call.agent.name, execution_id), admitted.joined

    async def approval_page(self, ticket: str, signed: Visitor | None = None) -> ApprovalPage:
        return await self.approvals.page(ticket, signed)

    async def vote(self, ticket: str, choose: Choose, signed: Visitor | None = None) -> Voted:
        return await self.approvals.vote(ticket, choose, signed)

    async def open_rounds(self, ticket: str, signed: Visitor | None = None) -> tuple[ApprovalPage, ...]:
        return await self.approvals.open_rounds(ticket, signed)

    async def vote_together(
        self, ticket: str, choices: Mapping[str, Choice], signed: Visitor | None = None
    ) -> tuple[Voted, ...]:
        return await self.approvals.vote_together(ticket, choices, signed)

    async def notice(self, ask: str) -> ApprovalPage:
        return await self.approvals.notice(ask)

    async def outcome_page(self, ticket: str, signed: Visitor | None = None) -> ApprovalPage:
        return await self.outcomes.page(ticket, signed)

    async def resolve(self, ticket: str, outcome: str, note: str, signed: Visitor | None = None) -> Execution:
        return await self.outcomes.by_link(ticket, outcome, note, signed)

    async def round_as(self, person: str, ask: str, how: str = "slack") -> ApprovalPage:
        return await self.approvals.page_as(person, ask, how)

    async def outcome_as(self, person: str, ask: str, how: str) -> ApprovalPage:
        return await self.outcomes.page_as(person, ask, how)

    async def open_rounds_as(self, person: str, how: str) -> tuple[ApprovalPage, ...]:
        return await self.approvals.open_rounds_as(person, how)

    async def vote_together_as(self, person: str, choices: Mapping[str, Choice]) -> tuple[Voted, ...]:
        return await self.approvals.vote_together_as(person, choices)

    async def vote_as(self, person: str, ask: str, choice: Choice) -> Voted:
        return await self.approvals.vote_as(person, ask, choice)

    async def resolve_as(self, person: str, ask: str, outcome: str, note: str, how: str) -> Execution:
        return await self.outcomes.by_person(person, ask, outcome, note, how)

    async def consent_page(self, ticket: str, signed: Visitor | None = None) -> ConsentPage:
        return await self.consents.page(ticket, signed)

    async def consent_begin(self, ticket: str, signed: Visitor | None = None) -> Leaving | Finished | Onward:
        return await self.consents.begin(ticket, signed)

    async def consent_refuse(self, ticket: str, signed: Visitor | None = None) -> Finished | Onward:
        return await self.consents.refuse(ticket, signed)

    async def consent_finish(self, provider_id: str, query: Mapping[str, str], cookie: str | None) -> Finished | Onward:
        return await self.consents.finish(provider_id, query, cookie)

    async def consent_confirm(self, ticket: str, nonce: str, user: str) -> Finished:
        return await self.consents.confirm(ticket, nonce, self.bundle.people.person(user))

    async def undo_page(self, ticket: str) -> UndoPage:
        return await self.consents.undo.page(ticket)

    async def undo(self, ticket: str) -> UndoPage:
        return await self.consents.undo.undo(ticket)
