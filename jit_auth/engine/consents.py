"""Consents: what a user is asked to connect, the round trip to the provider, and what it unblocks.

Attacks: another browser finishes the trip, or this one finishes another's (the flow is bound to a cookie and a state);
one agent's consent releases another's calls (consents are per agent, and only its own calls are advanced); a token
arrives after a kill switch (the write names the epoch at which the trip began; refused, the token is revoked).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from jit_auth.core.links import genuine, row_of, ticket
from jit_auth.core.scopes import expand
from jit_auth.credentials import KINDS
from jit_auth.engine.advance import Dispatcher
from jit_auth.engine.apps import Apps
from jit_auth.engine.claims import Claims
from jit_auth.engine.connect import Connection, Connects
from jit_auth.engine.current import Current
from jit_auth.engine.memory import Holding, Memory
from jit_auth.engine.pages import ConsentPage, Ending, Finished, Leaving, Onward, Wanted
from jit_auth.engine.proof import Visitor
from jit_auth.engine.sought import Sought, seek, void
from jit_auth.engine.stale import MOST_STALE
from jit_auth.engine.undo import Undo
from jit_auth.errors import Conflict, ConsentRefused, FlowRefused, Gone, NotFound, ProviderError, Unavailable
from jit_auth.model import Ask, Audit, Change, Flow, Grant, Op, Stale, Touch, Unit
from jit_auth.oauth.flow import Flows, Landed
from jit_auth.storage.store import Store

COOKIE_KEPT = 600_000
"""Milliseconds an OAuth round trip may take."""


@dataclass(frozen=True)
class Consents:
    """The user's side of the engine."""

    store: Store
    memory: Memory
    current: Current
    dispatcher: Dispatcher
    flows: Flows
    connects: Connects
    environment: str
    public_url: str
    ticket_key: bytes
    claims: Claims
    undo: Undo
    apps: Apps | None = None
    """Where the calling application says whose browser it is."""

    def link(self, ask: Ask) -> str:
        """The link by which this ask is answered; the same for as long as it is open."""
        return f"{self.public_url}/connect/{self._ticket(ask)}"

    def _ticket(self, ask: Ask) -> str:
        return ticket(self.ticket_key, "consent", ask.id, ask.user or "", ask.expires)

    def redirect_uri(self, provider_id: str) -> str:
        """One callback path per provider (RFC 9700 4.4.2)."""
        return f"{self.public_url}/oauth/callback/{provider_id}"

    async def page(self, link_ticket: str, visitor: Visitor | None = None) -> ConsentPage:
        """What is asked; changes nothing. Raises NotFound, Gone, Conflict, Forbidden (`other_person`)."""
        found = await self._find(link_ticket)
        needs = await self.claims.needs(found.ask.user or "", visitor)
        return replace(await self._page(found), needs=needs, app_host=self.apps.host if self.apps else "")

    async def shown(self, ask: Ask) -> ConsentPage:
        """What the user is told of a consent that is needed, whatever has become of it. Raises NotFound."""
        return await self._page(await self._of(ask.id))

    async def _page(self, sought: Sought) -> ConsentPage:
        ask, provider = sought.ask, sought.provider
        grant, holding = await self._grant(sought)
        granted = frozenset(grant.scopes) if grant is not None and grant.state == "live" else frozenset()
        consent = holding.consent(grant, ask.agent, shared=self.current.bundle.shared_consent)
        had = expand(consent.scopes, provider.implies) if consent is not None else frozenset()
        needed, trip = sought.lacking(frozenset()), _trip(ask, grant)
        new = tuple(
            dict.fromkeys((*ask.scopes, *(scope for scope in needed if scope not in had or scope not in granted)))
        )
        return ConsentPage(
            environment=self.environment,
            ask=ask,
            execution=sought.execution,
            wants=tuple(Wanted(each.action, each.connector.name) for each in sought.operations),
            provider_id=provider.id,
            provider_name=sought.provider_name,
            provider_host=(urlsplit(provider.authorize_url or provider.issuer or "").hostname or "") if trip else "",
            scope_titles=provider.scope_titles,
            new=new,
            held=tuple(sorted(granted - set(new))),
            account=ask.account,
            manage_url=provider.manage_url,
            trip=trip,
            now=self.store.now(),
        )

    async def begin(self, link_ticket: str, visitor: Visitor | None = None) -> Leaving | Finished | Onward:
        """Yes. Binds a round trip to this browser, or, where nothing is missing at the provider, lets the agent in
        (once the application has confirmed it, where it has to). Raises Forbidden where this browser is not the
        user's."""
        sought = await self._find(link_ticket)
        ask = sought.ask
        await self.claims.check(ask.user or "", visitor)
        grant, _ = await self._grant(sought)
        try:
            await self.connects.refuse_stopped(sought, grant)
        except FlowRefused:
            await self._advance(sought)
            raise
        if not _trip(ask, grant) and grant is not None:
            if self.apps is not None:
                return await self.apps.hold(ask, link_ticket, "allow", self.memory.belief.epoch)
            connection = await self.connects.let_in(sought, grant)
            await self._unblock(sought)
            return self._finished("connected", sought, connection)
        provider = sought.provider
        held = grant.scopes if grant is not None and grant.state == "live" else ()
        needed = sought.lacking(frozenset())
        scopes = tuple(dict.fromkeys((*provider.base_scopes, *held, *needed, *ask.scopes)))
        begun = await self.flows.begin(
            ask, provider, scopes, redirect_uri=self.redirect_uri(provider.id), epoch=self.memory.belief.epoch
        )
        return Leaving(
            url=begun.url,
            cookie=begun.cookie,
            lifetime=COOKIE_KEPT,
            environment=self.environment,
            provider_name=sought.provider_name,
        )

    async def refuse(self, link_ticket: str, visitor: Visitor | None = None) -> Finished | Onward:
        """No: the call is denied (once the application has confirmed it, where it has to). Raises Forbidden where this
        browser is not the user's."""
        sought = await self._find(link_ticket)
        await self.claims.check(sought.ask.user or "", visitor)
        if self.apps is not None:
            return await self.apps.hold(sought.ask, link_ticket, "refuse", self.memory.belief.epoch)
        return await self._refused(sought)

    async def finish(self, provider_id: str, query: Mapping[str, str], cookie: str | None) -> Finished | Onward:
        """The provider sent the browser back. Raises FlowRefused, Away, Misconfigured: no execution was changed."""
        provider = self.current.bundle.catalog.providers.get(provider_id)
        if provider is None or not KINDS[provider.kind].connects:
            raise NotFound("There is no such provider.")
        apps = self.apps
        try:
            if apps is not None:
                nonce = apps.held.nonce()
                held = await self.flows.hold(
                    provider, query, cookie, lambda flow, code: apps.held.of(flow, code, nonce)
                )
                return apps.onward(self._ticket((await self._of(held.ask)).ask), nonce)
            landed = await self.flows.finish(provider, query, cookie, redirect_uri=self.redirect_uri(provider_id))
        except ConsentRefused as refused:
            if apps is not None:
                # Nobody has said whose browser it was: the call waits on, and the link still takes an answer.
                return await self._failed(refused.flow, refused)
            return await self._refused(await self._of(refused.flow.ask))
        except ProviderError as error:
            flow = getattr(error, "flow", None)
            if flow is None or isinstance(error, FlowRefused):
                raise
            return await self._failed(flow, error)
        return await self._landed(landed)

    async def confirm(self, link_ticket: str, nonce: str, person: str) -> Finished:
        """The calling application says that this person's browser gave the answer that waits for the nonce.

        Raises NotFound, Gone, Conflict; Forbidden (for another person it is spent); Away and Misconfigured where the
        provider cannot be asked just now: then the nonce is good still.
        """
        if self.apps is None:
            raise NotFound("Nothing is confirmed here.")
        sought = await self._find(link_ticket)
        flow = await self.apps.judge(sought.ask, nonce, person)
        provider = await self.flows.ready(sought.provider) if flow.answer == "code" else sought.provider
        await self.apps.spend(flow, "connect.confirmed")
        if flow.answer == "refuse":
            return await self._refused(sought)
        if flow.answer == "code":
            try:
                redirect_uri = self.redirect_uri(provider.id)
                landed = await self.flows.exchange(flow, provider, flow.code, redirect_uri)
            except ProviderError as error:
                return await self._failed(flow, error)
            return await self._landed(landed)
        grant, _ = await self._grant(sought)
        if grant is None or _trip(sought.ask, grant):
            changed = ProviderError("The access has changed since you said yes.", code="changed")
            return await self._failed(flow, changed)
        connection = await self.connects.let_in(sought, grant)
        await self._unblock(sought)
        return self._finished("connected", sought, connection)

    async def _landed(self, landed: Landed) -> Finished:
        sought = await self._of(landed.flow.ask)
        try:
            connection = await self.connects.store(sought, landed)
        except FlowRefused:
            await self._advance(sought)
            raise
        kind: Ending = "connected" if connection.complete else "partly"
        finished = self._finished(kind, sought, connection)
        await self._unblock(sought)
        return finished

    async def _failed(self, flow: Flow, error: ProviderError) -> Finished:
        sought = await self._of(flow.ask)
        await self._note(sought.ask, error)
        return self._finished("error", sought, None, error)

    async def _unblock(self, sought: Sought) -> None:
        """Advance this call and the same agent's others that wait for the same; no other agent's (THREAT_MODEL 2)."""
        ask = sought.ask
        waiting = await self.store.waiting(ask.agent, ask.user or "", sought.provider.id)
        for execution_id in dict.fromkeys((*((ask.execution,) if ask.execution else ()), *waiting)):
            self.dispatcher.spawn(self.dispatcher.advance(execution_id))

    async def _advance(self, sought: Sought) -> None:
        if sought.execution is not None:
            await self.dispatcher.advance(sought.execution.id)

    async def _find(self, link_ticket: str) -> Sought:
        """The open ask that a ticket stands for. One answer for every way in which it is none."""
        named = row_of(link_ticket)
        ask = await self.store.ask(named[0]) if named is not None and named[0].startswith("cns_") else None
        if ask is None or not genuine(self.ticket_key, "consent", ask.id, ask.user or "", ask.expires, link_ticket):
            raise NotFound("There is no such link.", hint="Links are personal and complete: copy the whole of it.")
        if ask.state == "superseded":
            raise Conflict("This was asked again in another form.", code="superseded", hint="Open the newer link.")
        found = await self._of(ask.id)
        if found.execution is not None and found.execution.state == "cancelled":
            raise Gone("The agent withdrew this request.", code="cancelled")
        ends = self.memory.belief.until(ask.expires, ask.created)
        if ask.state == "expired" or (ask.state == "open" and self.store.now() >= ends):
            raise Gone("This request ran out before it was answered.", code="expired")
        if ask.state != "open":
            raise Conflict("This was answered already.", code="already_finished", hint="There is nothing left to do.")
        if found.execution is None and void(found, self.current.bundle, (await self.store.stops())[2]):
            raise Gone("The agent may not ask for this any more.", code="revoked", hint="Nothing was connected.")
        return found

    async def _of(self, ask_id: str) -> Sought:
        return await seek(self.store, self.current.bundle, ask_id)

    async def _grant(self, sought: Sought) -> tuple[Grant | None, Holding]:
        holding = await self.memory.holding(sought.ask.user or "", sought.provider.id, fresh=True)
        return sought.choose(holding), holding

    async def _refused(self, sought: Sought) -> Finished:
        ask = sought.ask
        to: dict[str, Any] = {"state": "denied"}
        if sought.execution is None:
            to["answered"] = self.store.now()
        await self._change(ask, to, {"do": "consent.refused", "ask": ask.id, "provider": ask.provider})
        await self._advance(sought)
        return self._finished("refused", await self._of(ask.id), None)

    async def _note(self, ask: Ask, error: ProviderError) -> None:
        fact = {"do": "consent.error", "ask": ask.id, "provider": ask.provider, "error": error.code}
        await self._change(ask, {"last_error": f"{error.code}: {error.message}"[:500]}, fact)

    async def _change(self, ask: Ask, to: dict[str, Any], fact: dict[str, Any]) -> None:
        """Change an ask that is still open; one that was answered meanwhile stays as it is."""
        current: Ask | None = ask
        for _ in range(MOST_STALE):
            if current is None or current.state != "open":
                return
            audit = Audit(
                actor=f"person:{current.user}",
                what=(fact,),
                user=current.user,
                agent=current.agent,
                execution=current.execution or None,
            )
            ops: list[Op] = [Change(current, to)]
            if not current.execution:
                ops.append(Touch(current.id, self.store.now()))  # of a call's questions its own steps see to that
            if not isinstance(await self.store.apply(Unit(None, tuple(ops), audit)), Stale):
                return
            current = await self.store.ask(current.id)
        raise Unavailable("Others are answering this very moment.", hint="Try again.")

    def _finished(
        self,
        kind: Ending,
        sought: Sought,
        connection: Connection | None,
        error: ProviderError | None = None,
    ) -> Finished:
        provider, ask = sought.provider, connection.ask if connection else sought.ask
        return Finished(
            kind=kind,
            environment=self.environment,
            execution=sought.execution,
            agent=ask.agent,
            user=ask.user or "",
            provider_id=provider.id,
            provider_name=sought.provider_name,
            scope_titles=provider.scope_titles,
            granted=connection.granted if connection else (),
            missing=connection.missing if connection else (),
            account=connection.account if connection else None,
            another_account=connection.another if connection else False,
            error=error.code if error else "",
            error_description=error.message if error else "",
            link=self.link(ask) if kind in ("partly", "error") else None,
            return_url=sought.return_url,
            manage_url=provider.manage_url,
            undo=self.undo.ticket(connection.grant, ask.agent, ask.user or "", connection.at) if connection else None,
        )


def _trip(ask: Ask, grant: Grant | None) -> bool:
    """Whether the provider has to be asked: not where the grant holds everything and only the agent is new."""
    return bool(ask.scopes) or not ask.new_agent or grant is None or grant.state != "live"
