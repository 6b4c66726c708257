"""Keep access tokens fresh: one refresh of one grant at a time, across processes, with nothing lost on the way.

A refresh token may be good once, and using it twice may end the whole grant. So: callers in one process share
one refresh; across processes the row names its refresher by compare-and-set, for longer than the exchange can take;
the mark is durable before the token leaves, and the new token before anybody uses it; the write is refused where the
row or its owner was stopped meanwhile (THREAT_MODEL 25), and what then cannot be kept goes to the revocation outbox.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from jit_auth.egress import Egress
from jit_auth.errors import Broken, ProviderError, StorageError
from jit_auth.model import Applied, At, Audit, Change, Grant, Insert, Millis, Op, Provider, Stale, Token, Unit
from jit_auth.oauth.call import TIMEOUT, Unanswered, call
from jit_auth.oauth.freshness import due
from jit_auth.oauth.metadata import Discovery
from jit_auth.oauth.owed import owed, revocable
from jit_auth.oauth.protocol import refresh_request
from jit_auth.oauth.replies import Fresh, read_token
from jit_auth.storage.store import Store

CLAIM: Millis = TIMEOUT + 10_000
"""How long a refresher is believed to be at it: longer than its exchange can take."""

_POLL = (0.02, 0.25)
_KEEP_TRYING: Millis = 60_000
"""How long the write of a fresh token is tried while the database is away."""

_OWN_STOPS = ("user", "provider", "grant")
"""What makes a fresh token unwanted. A token is the grant's: an agent or connector that was stopped loses its intents,
while other agents go on using the same grant, whose refresh token was spent already."""


class _Job(Struct, frozen=True, kw_only=True):
    """What one caller wants of one grant."""

    grant: Grant
    provider: Provider
    subjects: tuple[tuple[str, str], ...]
    epoch: int
    bundle: str
    force: bool
    used: str | None

    def __repr__(self) -> str:
        return f"_Job({self.grant.id!r})"


class Refresher:
    """Refreshes grants for one process. `close` waits for what is under way: a spent token's successor is not lost."""

    def __init__(
        self,
        store: Store,
        egress: Egress,
        *,
        discovery: Discovery | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._egress = egress
        self._discovery = discovery or Discovery(egress, store.now)
        self._pause = pause
        self._running: dict[str, asyncio.Task[Grant]] = {}

    async def fresh(
        self,
        grant: Grant,
        provider: Provider,
        *,
        subjects: tuple[tuple[str, str], ...],
        epoch: int,
        bundle: str,
        force: bool = False,
        used: str | None = None,
    ) -> Grant:
        """The grant with a token that can be used now, as it is in the store.

        `force`: the access token `used` was refused (401); a row that has another one by now is taken as it is.
        A grant that cannot be refreshed comes back as it is while its token lasts. Raises Broken (committed: the grant
        is broken, or was revoked), Away, Misconfigured, StorageError, VaultError.
        """
        if not force and grant.state == "live" and not due(grant, self._store.now()):
            return grant
        job = _Job(
            grant=grant, provider=provider, subjects=subjects, epoch=epoch, bundle=bundle, force=force, used=used
        )
        while True:
            task = self._running.get(grant.id)
            own = task is None
            if task is None:
                task = asyncio.create_task(self._run(job), name=f"refresh {grant.id}")
                self._running[grant.id] = task
                task.add_done_callback(lambda done: self._ended(grant.id, done))
            # Shielded: the caller may give up, the exchange under way may not.
            row = await asyncio.shield(task)
            if own or await self._serves(row, job):
                return row

    async def close(self) -> None:
        """Wait for the refreshes under way (at most as long as one exchange takes)."""
        while self._running:
            await asyncio.gather(*self._running.values(), return_exceptions=True)
            await asyncio.sleep(0)

    def _ended(self, grant_id: str, task: asyncio.Task[Grant]) -> None:
        if self._running.get(grant_id) is task:
            del self._running[grant_id]
        if not task.cancelled():
            task.exception()  # read, so that a failure nobody waits for any more is not reported as forgotten

    async def _serves(self, row: Grant, job: _Job) -> bool:
        """Whether the row, as it is now, is what the caller needs."""
        if due(row, self._store.now()):
            return False
        if not job.force:
            return True
        if job.used is None:
            return row.token != job.grant.token
        return (await self._store.reveal(row)).access != job.used

    async def _run(self, job: _Job) -> Grant:
        wait = _POLL[0]
        while True:
            row, now = await self._live(job.grant.id), self._store.now()
            if await self._serves(row, job):
                return row
            if not row.refreshable:
                if not due(row, now):
                    return row
                await self._give_up(row, "expired, no refresh token")
                continue
            if row.refresher is not None and (row.refresher_until or 0) > now:
                await self._pause(wait)  # another process is at it: look until the row has moved
                wait = min(wait * 1.5, _POLL[1])
                continue
            # Before the claim: whatever may take long, or fail for other reasons than the exchange itself.
            token = await self._store.reveal(row)
            provider = await self._discovery.complete(job.provider)
            claimed = await self._claim(row, job)
            if claimed is not None:
                # A refresher that never came back may have spent the token: that is why it can be refused now.
                fresh = await self._exchange(claimed, token, provider, job, lost=row.refresher is not None)
                if fresh is not None:
                    return fresh

    async def _live(self, grant_id: str) -> Grant:
        row = await self._store.grant(grant_id)
        if row is None or row.state != "live":
            raise Broken("The account has to be connected again.", hint="Call again: the user is asked to connect.")
        return row

    async def _claim(self, row: Grant, job: _Job) -> Grant | None:
        """Make the row ours for the time of an exchange; None where somebody else moved it first."""
        owner = f"{self._store.process}/{secrets.token_hex(8)}"
        until = self._store.now() + CLAIM
        change = Change(row, {"refresher": owner, "refresher_until": until})
        fact = {"do": "refresh", "grant": row.id, "provider": job.provider.id, "step": "begin"}
        if not isinstance(await self._store.apply(Unit(None, (change,), _audit(row, fact))), Applied):
            return None
        claimed = await self._live(row.id)
        return claimed if claimed.refresher == owner else None

    async def _exchange(
        self, claimed: Grant, token: Token, provider: Provider, job: _Job, *, lost: bool
    ) -> Grant | None:
        """Spend the refresh token; None where the row has to be read anew."""
        sent = self._store.now()
        try:
            request = refresh_request(provider, refresh=token.refresh or "", now=sent, unique=secrets.token_urlsafe(16))
            async with asyncio.timeout(TIMEOUT / 1000):
                reply = await call(self._egress, request, provider)
            fresh = read_token(reply, provider, sent=sent, last=token, secrets=(provider.client_secret, token.refresh))
        except Broken:
            await self._give_up(claimed, "invalid_grant, a refresh was lost before" if lost else "invalid_grant")
            return None  # either broken now, which the next look tells, or another token is there
        except TimeoutError as error:
            await self._release(claimed, "unanswered", lost=True)
            raise Unanswered(f"The provider {job.provider.id} did not answer.") from error
        except ProviderError as error:
            await self._release(claimed, error.code, lost=isinstance(error, Unanswered))
            raise
        return await self._keep(claimed, fresh, job)

    async def _release(self, claimed: Grant, why: str, *, lost: bool) -> None:
        """Let others try. A claim whose exchange may have happened stays written, run out: it tells why, should the
        provider refuse the token next time."""
        to = {"refresher_until": self._store.now()} if lost else {"refresher": None, "refresher_until": None}
        fact = {"do": "refresh", "grant": claimed.id, "provider": claimed.provider, "step": "failed", "why": why}
        await self._store.apply(Unit(None, (Change(claimed, to),), _audit(claimed, fact)))

    async def _give_up(self, row: Grant, why: str) -> None:
        """Break the grant, unless it was given another token meanwhile (a reconnect, another refresher)."""
        current = await self._store.grant(row.id)
        while current is not None and current.state == "live" and current.token == row.token:
            fact = {"do": "grant.broken", "grant": row.id, "provider": row.provider, "why": why}
            to = {"state": "broken", "token": None, "refreshable": False, "updated": self._store.now(), **_IDLE}
            if isinstance(await self._store.apply(Unit(None, (Change(current, to),), _audit(row, fact))), Applied):
                return
            current = await self._store.grant(row.id)

    async def _keep(self, claimed: Grant, fresh: Fresh, job: _Job) -> Grant | None:
        """Write the fresh token, as a decision of the epoch that the refresh began at."""
        base, epoch, bundle = claimed, job.epoch, job.bundle
        subjects = tuple(subject for subject in job.subjects if subject[0] in _OWN_STOPS)
        give_up = self._store.now() + _KEEP_TRYING
        while True:
            unit = Unit(At(epoch, bundle, subjects), (_token_change(base, fresh, self._store.now()),),
                        _audit(claimed, *_facts(base, fresh)))  # fmt: skip
            try:
                outcome = await self._store.apply(unit)
                if isinstance(outcome, Applied):
                    return await self._live(claimed.id)
                if outcome.which != "version":
                    epoch, bundle, stops = await self._store.stops()
                    own = {(stop.kind, stop.id) for stop in stops if stop.epoch > job.epoch}
                    if own & set(subjects):
                        await self._too_late(claimed, fresh, job)
                        return None
                    continue  # halted, or another bundle: nothing stops a fact, least of all a token that replaced one
                row = await self._store.grant(claimed.id)
                if row is None or row.state == "revoked":
                    await self._too_late(claimed, fresh, job)
                    return None
                if row.state == "live" and row.token != claimed.token:
                    return None  # ours (a commit whose answer was lost), or a newer one: whichever it is, it holds
                base = row  # moved otherwise; or called broken by somebody to whom our exchange made the old token dead
            except StorageError:
                if self._store.now() >= give_up:
                    raise
                await self._pause(_POLL[1])

    async def _too_late(self, claimed: Grant, fresh: Fresh, job: _Job) -> None:
        """Revoked or stopped while we were at it: the token is given back, the old one is dead (THREAT_MODEL 25)."""
        row = await self._store.grant(claimed.id)
        while True:
            now = self._store.now()
            ops: list[Op] = []
            facts: list[Mapping[str, Any]] = [
                {"do": "refresh", "grant": claimed.id, "provider": claimed.provider, "step": "too late"}
            ]
            if revocable(job.provider):
                ops.append(Insert(owed(claimed.user, job.provider.id, fresh.token, now)))
            if row is not None and row.state == "live" and row.token == claimed.token:
                to = {"state": "broken", "token": None, "refreshable": False, "updated": now, **_IDLE}
                ops.append(Change(row, to))
                facts.append(
                    {"do": "grant.broken", "grant": claimed.id, "provider": claimed.provider, "why": "stopped"}
                )
            outcome = await self._store.apply(Unit(None, tuple(ops), _audit(claimed, *facts)))
            if not isinstance(outcome, Stale):
                return
            row = await self._store.grant(claimed.id)


_IDLE: dict[str, Any] = {"refresher": None, "refresher_until": None}


def _token_change(base: Grant, fresh: Fresh, now: Millis) -> Change:
    token = fresh.token
    to: dict[str, Any] = {
        "token": token, "expires": token.expires, "lifetime": token.lifetime, "state": "live",
        "refreshable": token.refresh is not None, "updated": now, **_IDLE,
    }  # fmt: skip
    if fresh.scopes is not None:
        to["scopes"] = fresh.scopes
    return Change(base, to)


def _facts(base: Grant, fresh: Fresh) -> list[Mapping[str, Any]]:
    facts: list[Mapping[str, Any]] = [{"do": "refresh", "grant": base.id, "provider": base.provider, "step": "done"}]
    if base.state == "broken":
        facts.append({"do": "grant.recovered", "grant": base.id, "provider": base.provider})
    if fresh.scopes is not None and set(fresh.scopes) != set(base.scopes):
        lost, new = set(base.scopes) - set(fresh.scopes), set(fresh.scopes) - set(base.scopes)
        facts.append({"do": "grant.scopes_changed", "grant": base.id, "provider": base.provider,
                      "lost": sorted(lost), "new": sorted(new)})  # fmt: skip
    return facts


def _audit(grant: Grant, *facts: Mapping[str, Any]) -> Audit:
    return Audit(actor="engine", what=tuple(dict(fact) for fact in facts), user=grant.user)
