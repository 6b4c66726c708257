"""An agent asks its user to connect what is missing, before a call needs it: consents that hang on no execution.

Attacks (THREAT_MODEL 66, 67): it asks for scopes of actions that it may not use (each action is judged as a call's
would be, and scopes come from connectors alone); it wears its user down with links and mails (an equal question is the
one that is open, a refusal holds for a while, an hour has its number, a user is told once per provider). What it is
given is a link, and a link alone is nobody's consent: see `claims`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from jit_auth.catalog.load import Operation
from jit_auth.config.settings import Agent
from jit_auth.core.digest import canonical
from jit_auth.core.scopes import Lack, lack_of, lacking_of
from jit_auth.core.urls import within
from jit_auth.credentials import KINDS
from jit_auth.engine.accounts import permit, refuse_stopped
from jit_auth.engine.bundle import Bundle
from jit_auth.engine.coming import Coming
from jit_auth.engine.copies import Copies
from jit_auth.engine.current import Current
from jit_auth.engine.memory import Memory
from jit_auth.engine.sought import sought_of, subjects, void
from jit_auth.engine.stale import MOST_STALE
from jit_auth.engine.submit import Call, Submit
from jit_auth.errors import Forbidden, TooMany, Unavailable, Unprocessable
from jit_auth.model import Ask, At, Audit, Change, Grant, Insert, Millis, Op, Stale, Stop, Tally, Unit
from jit_auth.storage.store import Store

OPEN: Millis = 86_400_000
"""How long a link is good, as that of a call with the usual `expires_in`."""
HOUR: Millis = 3_600_000
PER_HOUR = 20
"""New questions of one agent for one user within an hour."""


class Wish(Struct, frozen=True, kw_only=True):
    """What an agent wants to be ready for. Nothing in it is checked yet but its shape."""

    agent: Agent
    user: str
    actions: tuple[str, ...]
    account: str | None = None
    """The account that is to serve them; None: the user's only one, or the one that they connect."""
    another: bool = False
    """One more account, whatever is connected."""
    return_url: str | None = None


@dataclass(frozen=True)
class Connections:
    """Asks. `cooldown`: `[limits] deny_cooldown`; `most_open`: `open_per_agent`."""

    store: Store
    memory: Memory
    current: Current
    submit: Submit
    copies: Copies
    make_id: Callable[[str], str]
    cooldown: Millis
    most_open: int
    coming: Coming = field(default_factory=Coming)

    async def ask(self, wish: Wish) -> tuple[Ask, ...]:
        """The open questions for what is missing, one per provider; none: nothing is missing. An equal one that is open
        is the answer, and nobody is told again.

        Raises Problem as a call would where it is not admitted; Forbidden (`recently_denied`, `revoked`), TooMany
        (`too_many_connections`, `too_many_open`).
        """
        permit(wish.agent)
        if wish.return_url is not None and not any(within(wish.return_url, one) for one in wish.agent.return_urls):
            raise _invalid("/return_url", "is none of this agent's return_urls")
        for _ in range(MOST_STALE):
            found = await self._asked(wish)
            if found is not None:
                return found
        raise Unavailable("Others are asking this very moment.", hint="Try again: nothing was asked.")

    async def _asked(self, wish: Wish) -> tuple[Ask, ...] | None:
        """One try; None: something has moved, and nothing was written."""
        agent, user, bundle = wish.agent, wish.user, self.current.bundle
        operations = [self._permitted(wish, name) for name in sorted({*wish.actions})]
        belief = await refuse_stopped(self.memory, agent.name, user, operations)
        if belief.halted:
            raise Unavailable(
                "Everything is halted by an operator.", code="halted", hint="Try again when it is resumed."
            )
        by_provider: dict[str, list[Operation]] = {}
        for each in operations:
            if KINDS[each.provider.kind].connects and (each.action.scopes or each.action.any_scopes):
                by_provider.setdefault(each.provider.id, []).append(each)
        key = canonical(["connections", agent.name, user]).decode()
        # The tally first: whoever asks between this and what is read now makes it stale, and is found next time.
        tally = (await self.store.circles.crowd(agent.name, key, 0)).tally
        now, known = self.store.now(), await self.store.circles.connecting(agent.name, user)
        _, _, stops = await self.store.stops()
        live = [one for one in known if now < belief.until(one.expires, one.created) and _live(one, bundle, stops)]
        found: list[Ask] = []
        new: list[Ask] = []
        for of in by_provider.values():
            lack, grant = await self._lack(wish, of, now)
            if lack is None:
                continue
            made = self._made(wish, of, lack, grant, now, belief.epoch)
            same = next((one for one in live if _matter(one) == _matter(made)), None)
            found.append(same or made)
            if same is None:
                new.append(made)
        if not new:
            return tuple(found)
        await self._refuse_worn(agent.name, new, known, now)
        ops: list[Op] = [_counted(tally, key, now)]
        told = {one.provider for one in live}
        for ask in new:
            ops.append(Insert(ask))
            if ask.provider not in told:
                ops += self.copies.consent(bundle, ask, now)
        audit = Audit(actor=f"agent:{agent.name}", what=tuple(map(_fact, new)), user=user, agent=agent.name)
        at = At(belief.epoch, bundle.hash, subjects(agent.name, user, operations))
        with self.coming.place(agent.name, user):
            return None if isinstance(await self.store.apply(Unit(at, tuple(ops), audit)), Stale) else tuple(found)

    async def _refuse_worn(self, agent: str, new: Sequence[Ask], known: Sequence[Ask], now: Millis) -> None:
        """Raises Forbidden where the user has just said no, TooMany where the agent waits for too many answers."""
        providers = {ask.provider for ask in new}
        refused = [one.answered for one in known if one.provider in providers and one.answered is not None]
        if refused and now < max(refused) + self.cooldown:
            raise Forbidden(
                "The user refused this access a moment ago; they are not asked again so soon.",
                code="recently_denied",
                hint="Do not repeat it. Ask the person directly whether they want it.",
            )
        mark = self.coming.mark(agent)
        waits = await self.store.circles.connecting_now(agent, self.most_open)
        if waits + self.coming.unseen(agent, mark) >= self.most_open:
            raise TooMany(
                f"This agent has {self.most_open} connections that wait for people.",
                code="too_many_open",
                hint="Wait until some are answered or have run out.",
                headers={"Retry-After": "60"},
            )

    async def _lack(self, wish: Wish, of: Sequence[Operation], now: Millis) -> tuple[Lack | None, Grant | None]:
        """What is missing at one provider, and of which account."""
        actions, provider = [each.action for each in of], of[0].provider
        if wish.another:
            return Lack(provider.id, lacking_of(actions, frozenset()), False), None
        grant = await self.submit.account(wish.user, provider.id, wish.account)
        holding = await self.memory.holding(wish.user, provider.id, fresh=True)
        grant = next((each for each in holding.grants if grant is not None and each.id == grant.id), None)
        consent = holding.consent(grant, wish.agent.name, shared=self.current.bundle.shared_consent)
        return lack_of(actions, provider, grant, consent, now), grant

    def _made(
        self, wish: Wish, of: Sequence[Operation], lack: Lack, grant: Grant | None, now: Millis, epoch: int
    ) -> Ask:
        settled = grant if wish.account is not None else None
        return Ask(
            id=self.make_id("cns"),
            execution="",
            kind="consent",
            agent=wish.agent.name,
            user=wish.user,
            provider=lack.provider,
            scopes=lack.scopes,
            new_agent=lack.new_agent,
            account=(settled.account_name or settled.account) if settled is not None else None,
            actions=tuple(sorted({each.action.name for each in of})),
            account_id=settled.account if settled is not None else None,
            another=wish.another,
            return_url=wish.return_url,
            epoch=epoch,
            created=now,
            expires=now + OPEN,
        )

    def _permitted(self, wish: Wish, name: str) -> Operation:
        return self.submit.permitted(Call(agent=wish.agent, action=name, user=wish.user, params={}))


def _live(ask: Ask, bundle: Bundle, stops: Sequence[Stop]) -> bool:
    """Whether it can still be answered."""
    sought = sought_of(bundle, ask, None) if ask.state == "open" else None
    return sought is not None and not void(sought, bundle, stops)


def _counted(tally: Tally | None, key: str, now: Millis) -> Op:
    """One more in this hour. Of two at once one is written, and the other looks again. Raises TooMany."""
    if tally is None:
        return Insert(Tally(key=key, times=1, until=now + HOUR))
    if now >= tally.until:
        return Change(tally, {"times": 1, "until": now + HOUR})
    if tally.times >= PER_HOUR:
        raise TooMany(
            f"This agent has asked this user for {PER_HOUR} connections within an hour.",
            code="too_many_connections",
            hint="Name all actions that are needed in one request. The links that are open still work.",
            headers={"Retry-After": str(max(1, (tally.until - now) // 1000))},
        )
    return Change(tally, {"times": tally.times + 1})


def _matter(ask: Ask) -> tuple[object, ...]:
    return (
        ask.provider, ask.actions, ask.scopes, ask.new_agent, ask.account_id, ask.another, ask.return_url,
    )  # fmt: skip


def _fact(ask: Ask) -> dict[str, Any]:
    return {
        "do": "connection.asked",
        "ask": ask.id,
        "provider": ask.provider,
        "actions": ask.actions,
        "scopes": ask.scopes,
        "new_agent": ask.new_agent,
        "another": ask.another,
    }


def _invalid(pointer: str, message: str) -> Unprocessable:
    return Unprocessable(
        f"{pointer[1:]} {message}.",
        hint="Correct the members that `faults` names.",
        members={"faults": [{"pointer": pointer, "message": message}]},
    )
