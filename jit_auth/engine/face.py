"""The engine's face: what web and worker may call, each handed to the part that does it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.approvals import Approvals
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.consents import Consents
from jit_auth.engine.own import Own
from jit_auth.engine.pages import ApprovalPage, ConsentPage, Finished, Leaving, Voted
from jit_auth.engine.submit import Call, Submit
from jit_auth.errors import Problem, TooMany
from jit_auth.model import Execution, Opened, Verdict


@dataclass(frozen=True)
class Engine:
    """One per process; keeps nothing that matters."""

    bundle: Bundle
    submitter: Submit
    dispatcher: Dispatcher
    own: Own
    approvals: Approvals
    consents: Consents

    async def submit(self, call: Call) -> Execution:
        """Admit a call and take it as far as it goes without people."""
        return await self.submitter.submit(call)

    async def refused(self, agent: str, refusal: Problem) -> None:
        """Put down that an agent's call was not admitted, and why."""
        await self.submitter.refused(agent, refusal)

    async def submit_and_leave(self, call: Call, seconds: float) -> Opened:
        """Admit a call and answer after `seconds` at the latest; it goes on by itself."""
        first: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()

        def admitted(execution: Execution) -> None:
            if not first.done():
                first.set_result(execution)

        async def drive() -> None:
            try:
                admitted(await self.submitter.submit(call, admitted))
            except BaseException as error:
                if first.done():
                    raise
                first.set_exception(error)

        self.dispatcher.spawn(drive())
        execution = await first
        try:
            return await self.own.wait(call.agent.name, execution.id, seconds)
        except TooMany:
            # It is admitted: a refusal now would hide that. The agent gets what there is.
            return await self.own.get(call.agent.name, execution.id)

    async def approval_page(self, ticket: str) -> ApprovalPage:
        return await self.approvals.page(ticket)

    async def vote(
        self, ticket: str, verdict: Verdict, *, digest: str | None, feedback: str | None, how: str, seen: str
    ) -> Voted:
        return await self.approvals.vote(ticket, verdict, digest=digest, feedback=feedback, how=how, seen=seen)

    async def consent_page(self, ticket: str) -> ConsentPage:
        return await self.consents.page(ticket)

    async def consent_begin(self, ticket: str) -> Leaving | Finished:
        return await self.consents.begin(ticket)

    async def consent_refuse(self, ticket: str) -> Finished:
        return await self.consents.refuse(ticket)

    async def consent_finish(self, provider_id: str, query: Mapping[str, str], cookie: str | None) -> Finished:
        return await self.consents.finish(provider_id, query, cookie)
