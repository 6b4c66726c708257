"""`[users] verify = "app"`: the calling application says whose browser answered a consent, before the answer counts.

Attacks (THREAT_MODEL 15): Mallory lets Alice walk through his own trip (the application finds Alice, the ticket is his:
refused, and the trip is spent); the agent, which knows the ticket, confirms itself (it has no nonce, and its token is
none of the application's: web); a nonce that is used twice, late, or with the ticket of another question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from jit_auth.engine.current import Current
from jit_auth.engine.pages import Onward
from jit_auth.errors import Conflict, FlowRefused, Forbidden
from jit_auth.model import Ask, Flow
from jit_auth.oauth.flow import Flows
from jit_auth.oauth.held import Held
from jit_auth.storage.store import Store

_WIRE = str.maketrans({"'": "%27", ";": "%3B"})


@dataclass(frozen=True)
class Apps:
    """Sends browsers to the application, and takes its word about them."""

    store: Store
    current: Current
    flows: Flows
    held: Held
    app_url: str

    @property
    def host(self) -> str:
        """Where browsers are sent, as people are told."""
        return urlsplit(self.app_url).netloc

    async def hold(self, ask: Ask, ticket: str, answer: Literal["allow", "refuse"], epoch: int) -> Onward:
        """Keep an answer, and send its browser to the application."""
        return self.onward(ticket, await self.held.hold(ask, answer, epoch))

    def onward(self, ticket: str, nonce: str) -> Onward:
        """To the application, with a nonce that only this browser sees."""
        mark = "&" if urlsplit(self.app_url).query else "?"
        url = f"{self.app_url.rstrip('?').translate(_WIRE)}{mark}nonce={nonce}&ticket={ticket}"
        return Onward(url=url, host=self.host)

    async def judge(self, ask: Ask, nonce: str, person: str) -> Flow:
        """The answer that waits for this nonce, where it is this question's and its user's.

        For anybody else it is spent, whoever they are. Raises Forbidden (`unknown_nonce`, `expired`, `other_person`),
        Conflict (`already_finished`).
        """
        flow = await self.held.find(nonce)
        if flow is None:
            raise Forbidden(
                "There is no such nonce.",
                code="unknown_nonce",
                hint="Take `nonce` and `ticket` from the address that the browser came with. Nothing was done.",
            )
        if flow.done:
            raise _finished()
        if self.store.now() >= flow.until:
            raise Forbidden(
                "This nonce has run out: it is good for five minutes.",
                code="expired",
                hint="Nothing was connected. The user opens the link again.",
            )
        if flow.ask != ask.id or person != ask.user or person in self.current.bundle.left:
            did = "connect.other_person" if flow.ask == ask.id else "connect.other_ticket"
            await self.spend(flow, did, actor="engine")
            raise Forbidden(
                "This question is for another person than the one in that browser.",
                code="other_person",
                hint="Nothing was connected, and the nonce is spent. The user opens a link of their own.",
            )
        return flow

    async def spend(self, flow: Flow, did: str, *, actor: str | None = None) -> None:
        """Mark it done, before anything of it is used. Raises Conflict (`already_finished`)."""
        try:
            await self.flows.spend(flow, {"do": did, "ask": flow.ask, "provider": flow.provider}, actor=actor)
        except FlowRefused:
            raise _finished() from None


def _finished() -> Conflict:
    return Conflict("This nonce was used already.", code="already_finished", hint="Each is good once.")
