"""One attempt of one call: a fresh credential before the intent; after it, inject, send once, and say what came."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from jit_auth.core.view import Came, Kind
from jit_auth.credentials import KINDS
from jit_auth.credentials.supplied import lacks
from jit_auth.engine.judge import Judged
from jit_auth.engine.memory import Memory
from jit_auth.errors import Away, Broken, Misconfigured, StorageError, VaultError
from jit_auth.model import Audit, Change, Grant, Missed, Reply, Request, Stale, Unit
from jit_auth.oauth.call import Unanswered
from jit_auth.oauth.refresh import Refresher
from jit_auth.send.reply import classify, reduce
from jit_auth.send.sender import Sender
from jit_auth.storage.store import Store

MOST_SCOPES = 20
"""Scopes that a refusal may name."""
REFUSED = (401, 403)
"""How an API says that a credential is none, or may not do this."""
TRIES = 5
"""Writes of one piece of news to a grant whose row moves."""


@dataclass(frozen=True)
class Attempts:
    """Prepares and makes attempts. Never repeats one: whether there is another is `next_step`'s to say."""

    store: Store
    memory: Memory
    sender: Sender
    refresher: Refresher
    window: float
    """Seconds from the intent to the first byte (`send_window`)."""

    def due(self, judged: Judged) -> bool:
        """Whether the token must be refreshed before the intent."""
        if judged.operation is None:
            return False
        kind = KINDS[judged.operation.provider.kind]
        return kind.due(judged.grant, judged.view.now)

    async def ready(self, judged: Judged) -> Came | None:
        """All that is slow before a connection, or refuses it (no shared credential, names, addresses), before the
        intent. None: go on."""
        if judged.request is None or judged.operation is None:
            return None
        if (lack := lacks(judged.operation.provider)) is not None:
            return Came("misconfigured", message=lack.message, code=lack.code)
        missed = await self.sender.ready(judged.request, judged.operation.provider)
        if missed is None:
            return None
        kind: Kind = "refused" if missed.code in ("address_refused", "request_refused") else "never_left"
        return Came(kind, message=missed.message, code=missed.code)

    async def freshen(self, judged: Judged, *, force: bool = False, used: str | None = None) -> Came | None:
        """Refresh the token; None: done, judge again (also when the grant turned out to be broken)."""
        grant, operation = judged.grant, judged.operation
        if grant is None or operation is None:
            return None
        try:
            await self.refresher.fresh(
                grant,
                operation.provider,
                subjects=judged.at.subjects,
                epoch=judged.at.epoch,
                bundle=judged.at.bundle,
                force=force,
                used=used,
            )
        except Broken:
            return None
        except Away as away:
            # A refresh that is refused for now (Exact Online: because it comes early) is no reason to wait while the
            # token lasts. Where its answer was lost the old token may be dead by now.
            lasts = grant.expires is not None and grant.expires > self.store.now() + self.window * 1000
            if lasts and not force and not isinstance(away, Unanswered):
                return None
            return Came("never_left", message=away.message)
        except Misconfigured as fault:
            kind: Kind = "refused" if fault.code == "address_refused" else "misconfigured"
            return Came(kind, message=fault.message, code=fault.code)
        finally:
            self.memory.forget(grant.user, grant.provider)
        return None

    async def make(self, judged: Judged) -> Came:
        """Release the credential, send the very bytes that were judged, reduce the answer. The intent is durable."""
        operation, request = judged.operation, judged.request
        if operation is None or request is None:
            return Came("never_left", message="There is nothing to send.")
        kind = KINDS[operation.provider.kind]
        try:
            token = await self.store.reveal(judged.grant) if judged.grant is not None else None
        except (VaultError, StorageError) as error:
            return Came("never_left", message=error.message)
        try:
            secret = kind.open(operation.provider, token)
            final = kind.apply(operation.provider, request, secret, judged.view.now)
        except Misconfigured as fault:
            return Came("misconfigured", message=fault.message, code=fault.code)
        traces = kind.traces(secret)

        def onward(hop: Request) -> Request:
            try:
                return kind.apply(operation.provider, replace(hop, headers=request.headers), secret, judged.view.now)
            except Misconfigured:  # its place is taken: the redirect repeated what it was asked with
                return hop

        reply = await self.sender.attempt(
            final, operation.action, operation.provider, traces, window=self.window, onward=onward
        )
        outcome = classify(reply, operation.action)
        result = None if isinstance(reply, Missed) else reduce(reply, operation.action, traces)
        message, code = (reply.message, reply.code) if isinstance(reply, Missed) else ("", "")
        if traces and not kind.connects and isinstance(reply, Reply) and reply.status in REFUSED:
            # Nobody has to consent, and to send it again changes nothing: the deployment's own credential is refused.
            said = f"The API refused this deployment's credential for {operation.provider.id} ({reply.status})."
            return Came("misconfigured", result, said)
        if outcome.kind == "unauthorized":
            surely_not = outcome.invalid_token or operation.action.unauthorized_is_unexecuted
            fresh = False
            with suppress(StorageError, VaultError):  # what came is known: it is put down whatever becomes of the token
                fresh = await self._replace(judged, token.access if token is not None else None, surely_not)
            return Came("unauthorized", result, message, surely_not=surely_not, fresh=fresh)
        if outcome.kind == "insufficient_scope" and judged.grant is not None:
            with suppress(StorageError):
                await self._narrow(judged.grant, outcome.scopes or operation.action.scopes)
        named = outcome.scopes[:MOST_SCOPES]
        return Came(outcome.kind, result, message, code, retry_after=outcome.retry_after, scopes=named)

    async def _replace(self, judged: Judged, used: str | None, surely_not: bool) -> bool:
        """A 401: force one refresh. True where the next attempt would go with something else: a token, or a consent."""
        grant, operation = judged.grant, judged.operation
        if grant is None or operation is None or used is None or judged.execution.refreshed:
            return False
        if grant.refreshable:
            return await self.freshen(judged, force=True, used=used) is None
        if surely_not:
            await self._break(grant)
        return surely_not

    async def _break(self, grant: Grant) -> None:
        """A token that was refused and cannot be refreshed: its user has to connect again."""
        now = self.store.now()
        fact = {"do": "grant.broken", "grant": grant.id, "provider": grant.provider, "why": "refused, no refresh token"}
        await self._change(grant, {"state": "broken", "updated": now}, fact)

    async def _narrow(self, grant: Grant, scopes: tuple[str, ...]) -> None:
        """The provider says that these scopes are not held, whatever it said before."""
        left = tuple(scope for scope in grant.scopes if scope not in scopes)
        fact = {"do": "grant.scopes_changed", "grant": grant.id, "provider": grant.provider, "lost": list(scopes)}
        await self._change(grant, {"scopes": left, "updated": self.store.now()}, fact)

    async def _change(self, grant: Grant, to: dict[str, Any], fact: dict[str, Any]) -> None:
        """Record what a provider told of a grant; a row that moved meanwhile is newer than the news."""
        for _ in range(TRIES):
            current = await self.store.grant(grant.id)
            if current is None or current.state != "live" or current.token != grant.token:
                break
            unit = Unit(None, (Change(current, to),), Audit(actor="engine", what=(fact,), user=grant.user))
            # Stale: somebody else wrote the row in between, a refresh that begins, say; the news is still news.
            if not isinstance(await self.store.apply(unit), Stale):
                break
        self.memory.forget(grant.user, grant.provider)
